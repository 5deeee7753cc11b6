package dev.edgekit.core

import java.nio.ByteBuffer

/**
 * A camera frame: the planes of android.media.Image in YUV_420_888, which camera2 delivers in JFIF's colours (BT.601,
 * full range: `HAL_DATASPACE_V0_JFIF`). Fields may be set anew for each frame, so that one object serves all of them.
 *
 * width, height   of the luma plane, as the sensor lies
 * rotation        0, 90, 180 or 270 degrees clockwise, after which the picture stands upright
 * nanos           when it was taken, on any clock that runs evenly
 * pixelStride     between neighbours of u and of v: 1 (planar) or 2 (interleaved). Luma has 1, as Android promises.
 */
public class YuvFrame(
    public var width: Int,
    public var height: Int,
    public var rotation: Int,
    public var y: ByteBuffer,
    public var rowStride: Int,
    public var u: ByteBuffer,
    public var v: ByteBuffer,
    public var chromaRowStride: Int,
    public var pixelStride: Int,
    public var nanos: Long = 0,
)

/**
 * Camera frames: planes copied upright, then converted as libjpeg does (jdcolor.c; edgekit/preprocess.py: `yuv_to_rgb`).
 * A chroma value serves its 2 x 2 pixels.
 */
internal class YuvRows : Rows() {
    private var luma = ByteArray(0)
    private var blue = ByteArray(0)
    private var red = ByteArray(0)
    private var line = ByteArray(0)
    private var chromaWidth = 0
    private var phaseX = 0  // 1 where turning an odd side puts the half-filled chroma pixel first
    private var phaseY = 0
    private var reds = IntArray(0)
    private var greens = IntArray(0)
    private var blues = IntArray(0)
    private var coloured = -1  // the row of chroma that they hold

    /** Throws BadPicture for planes that are too small for what they are said to hold. */
    fun of(frame: YuvFrame) = apply {
        val turned = frame.rotation == 90 || frame.rotation == 270
        if (!turned && frame.rotation != 0 && frame.rotation != 180) throw BadPicture("a rotation of ${frame.rotation}")
        val chromaAcross = (frame.width + 1) / 2
        val chromaDown = (frame.height + 1) / 2
        width = if (turned) frame.height else frame.width
        height = if (turned) frame.width else frame.height
        chromaWidth = if (turned) chromaDown else chromaAcross
        phaseX = if (frame.rotation == 90 || frame.rotation == 180) width and 1 else 0
        phaseY = if (frame.rotation == 180 || frame.rotation == 270) height and 1 else 0
        if (luma.size != width * height) luma = ByteArray(width * height)
        if (blue.size != chromaAcross * chromaDown) {
            blue = ByteArray(chromaAcross * chromaDown)
            red = ByteArray(chromaAcross * chromaDown)
        }
        if (reds.size < chromaWidth) {
            reds = IntArray(chromaWidth)
            greens = IntArray(chromaWidth)
            blues = IntArray(chromaWidth)
        }
        coloured = -1
        upright(frame.y, frame.width, frame.height, frame.rowStride, 1, frame.rotation, luma)
        upright(frame.u, chromaAcross, chromaDown, frame.chromaRowStride, frame.pixelStride, frame.rotation, blue)
        upright(frame.v, chromaAcross, chromaDown, frame.chromaRowStride, frame.pixelStride, frame.rotation, red)
    }

    private fun upright(
        plane: ByteBuffer, across: Int, down: Int, rowStride: Int, pixelStride: Int, rotation: Int, out: ByteArray,
    ) {
        val length = (across - 1) * pixelStride + 1  // the last row of a plane may end here
        if (pixelStride < 1 || rowStride < length || plane.limit() < (down - 1L) * rowStride + length) {
            throw BadPicture("a plane of ${plane.limit()} bytes for $across x $down values, rows of $rowStride")
        }
        if (line.size < length) line = ByteArray(length)
        for (row in 0 until down) {
            if (rotation == 0 && pixelStride == 1) {
                plane.bulk(row * rowStride, out, across, row * across)
                continue
            }
            plane.bulk(row * rowStride, line, length)
            when (rotation) {
                0 -> spread(line, across, pixelStride, out, row * across, 1)
                90 -> spread(line, across, pixelStride, out, down - 1 - row, down)
                180 -> spread(line, across, pixelStride, out, (down - row) * across - 1, -1)
                else -> spread(line, across, pixelStride, out, (across - 1) * down + row, -down)
            }
        }
    }

    private fun spread(line: ByteArray, count: Int, pixelStride: Int, out: ByteArray, start: Int, step: Int) {
        var to = start
        for (i in 0 until count) {
            out[to] = line[i * pixelStride]
            to += step
        }
    }

    override fun read(row: Int, from: Int, to: Int, out: IntArray) {
        colour(row + phaseY shr 1, from + phaseX shr 1, (to - 1 + phaseX shr 1) + 1)
        val lumaRow = row * width
        var o = 0
        for (x in from until to) {
            val chroma = x + phaseX shr 1
            val y = luma[lumaRow + x].toInt() and 255
            out[o] = clip(y + reds[chroma])
            out[o + 1] = clip(y + greens[chroma])
            out[o + 2] = clip(y + blues[chroma])
            o += 3
        }
    }

    /** What a row of chroma adds to luma; the row serves two of luma. */
    private fun colour(chromaRow: Int, from: Int, to: Int) {
        if (chromaRow == coloured) return
        coloured = chromaRow
        val start = chromaRow * chromaWidth
        for (i in from until to) {
            val cb = (blue[start + i].toInt() and 255) - 128
            val cr = (red[start + i].toInt() and 255) - 128
            reds[i] = 91881 * cr + 32768 shr 16
            greens[i] = -22554 * cb - 46802 * cr + 32768 shr 16
            blues[i] = 116130 * cb + 32768 shr 16
        }
    }
}

/** Without a branch: in noise a branch costs more than all the rest. */
internal fun clip(value: Int) = maxOf(0, minOf(value, 255))
