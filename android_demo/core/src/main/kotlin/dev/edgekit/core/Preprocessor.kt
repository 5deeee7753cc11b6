package dev.edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.round

/**
 * Pixels to the tensor that the file takes, equal to edgekit/preprocess.py to the last bit; where it takes clips, to one frame of it,
 * which `Clip` puts in its place. Of one thread.
 *
 * Each call fills the same direct buffer (native order, rewound) and returns it. Frames of one size allocate nothing
 * after the first. All throw PictureTooLarge, PictureTooNarrow or BadPicture.
 */
public class Preprocessor(private val spec: ModelSpec) {
    private val tensor = ByteBuffer.allocateDirect(spec.input.bytes / spec.preprocess.frames).order(ByteOrder.nativeOrder())
    private val writer = if (spec.input.type == ElementType.FLOAT32) FloatWriter(spec, tensor) else ByteWriter(spec, tensor)
    private val argb = ArgbRows()
    private val rgba = RgbaRows()
    private val yuv = YuvRows()
    private val grey = if (spec.preprocess.channels == 1) GreyRows() else null
    private var resizer: Resizer? = null

    /** Where on the last picture the tensor lies. */
    public val placement: Placement get() = checkNotNull(resizer) { "no picture yet" }.placement

    /** Of `Bitmap.getPixels`: not premultiplied, [height * width] from the top left. */
    public fun argb(pixels: IntArray, width: Int, height: Int): ByteBuffer {
        Fit.check(width, height)
        return fill(argb.of(pixels, width, height))
    }

    /** A picture that is in memory. */
    public fun argb(picture: Picture): ByteBuffer = argb(picture.argb, picture.width, picture.height)

    /** Of `Bitmap.copyPixelsToBuffer` (ARGB_8888: the bytes R, G, B, A), rows of `rowStride` bytes. */
    public fun rgba(pixels: ByteBuffer, rowStride: Int, width: Int, height: Int): ByteBuffer {
        Fit.check(width, height)
        return fill(rgba.of(pixels, rowStride, width, height))
    }

    /** A frame of a camera, turned upright. */
    public fun yuv(frame: YuvFrame): ByteBuffer {
        Fit.check(frame.width, frame.height)
        return fill(yuv.of(frame))
    }

    private fun fill(picture: Rows): ByteBuffer {
        var made = resizer
        if (made == null || made.width != picture.width || made.height != picture.height) {
            made = Resizer(picture.width, picture.height, spec.preprocess)
            resizer = made
        }
        made.run(grey?.of(picture) ?: picture, writer)
        tensor.rewind()
        return tensor
    }

    public companion object {
        /** Refuse a size before anything is decoded. Throws PictureTooLarge, BadPicture. */
        public fun check(width: Int, height: Int): Unit = Fit.check(width, height)
    }
}

private val PLANES = setOf(Layout.NCHW, Layout.NCTHW)

/** Stores the fitted picture as the file wants it. */
private abstract class RowWriter(spec: ModelSpec) : RowSink {
    protected val width = spec.preprocess.width
    protected val channels = spec.preprocess.channels
    private val plane = if (spec.input.layout in PLANES) width * spec.preprocess.height else 0

    override fun write(row: Int, pixels: IntArray) {
        if (plane == 0) {
            for (c in 0 until channels) look(c, pixels, c, channels)
            put(channels * row * width, 0, channels * width)
        } else for (c in 0 until channels) {
            look(c, pixels, c * width, 1)
            put(c * plane + row * width, c * width, width)
        }
    }

    /** Look the channel's values up, into a line from `start` on. */
    protected abstract fun look(channel: Int, pixels: IntArray, start: Int, step: Int)

    /** `count` numbers of the line to the tensor. */
    protected abstract fun put(to: Int, from: Int, count: Int)
}

/** Step 5 for each value of a pixel: what is left to normalise. */
private fun values(spec: ModelSpec, channel: Int): FloatArray {
    val mean = (spec.preprocess.mean[channel] * 255).toFloat()
    val std = (spec.preprocess.std[channel] * 255).toFloat()
    return FloatArray(256) { if (spec.folded) it.toFloat() else (it.toFloat() - mean) / std }
}

private class FloatWriter(spec: ModelSpec, tensor: ByteBuffer) : RowWriter(spec) {
    private val out = tensor.asFloatBuffer()
    private val tables = Array(channels) { values(spec, it) }
    private val line = FloatArray(channels * width)

    override fun look(channel: Int, pixels: IntArray, start: Int, step: Int) {
        val table = tables[channel]
        for (x in 0 until width) line[start + x * step] = table[pixels[3 * x + channel]]
    }

    override fun put(to: Int, from: Int, count: Int) {
        out.position(to)
        out.put(line, from, count)
    }
}

private class ByteWriter(spec: ModelSpec, private val out: ByteBuffer) : RowWriter(spec) {
    private val tables = Array(channels) { stored(spec.input, values(spec, it)) }
    private val line = ByteArray(channels * width)

    override fun look(channel: Int, pixels: IntArray, start: Int, step: Int) {
        val table = tables[channel]
        for (x in 0 until width) line[start + x * step] = table[pixels[3 * x + channel]]
    }

    override fun put(to: Int, from: Int, count: Int) {
        out.position(to)
        out.put(line, from, count)
    }

    /** `encode` of edgekit/artifact.py. */
    private fun stored(input: Port, values: FloatArray): ByteArray {
        val limits = if (input.type == ElementType.UINT8) 0..255 else -128..127
        return ByteArray(256) {
            val number = if (input.scale == null) values[it].toInt() else round(values[it] / input.scale).toInt() + input.zeroPoint
            number.coerceIn(limits).toByte()
        }
    }
}
