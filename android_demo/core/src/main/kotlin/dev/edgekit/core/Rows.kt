package dev.edgekit.core

import java.nio.ByteBuffer

/**
 * An upright picture, read row by row: columns from until to of a row into `out` as R, G, B, R, G, B, ... of 0..255.
 * The columns are the same throughout a picture.
 */
internal abstract class Rows {
    var width = 0
        protected set
    var height = 0
        protected set

    abstract fun read(row: Int, from: Int, to: Int, out: IntArray)
}

/** Pixels as Android's `Bitmap.getPixels` gives them: ARGB in one Int, not premultiplied. Transparent ones over white. */
internal class ArgbRows : Rows() {
    private var pixels = IntArray(0)

    fun of(pixels: IntArray, width: Int, height: Int) = apply {
        if (pixels.size.toLong() < width.toLong() * height) throw BadPicture("${pixels.size} pixels for $width x $height")
        this.pixels = pixels
        this.width = width
        this.height = height
    }

    override fun read(row: Int, from: Int, to: Int, out: IntArray) {
        val source = pixels
        val start = row * width
        var o = 0
        for (i in start + from until start + to) {
            val p = source[i]
            val alpha = p ushr 24
            if (alpha == 255) {
                out[o] = p shr 16 and 255
                out[o + 1] = p shr 8 and 255
                out[o + 2] = p and 255
            } else {
                out[o] = overWhite(p shr 16 and 255, alpha)
                out[o + 1] = overWhite(p shr 8 and 255, alpha)
                out[o + 2] = overWhite(p and 255, alpha)
            }
            o += 3
        }
    }
}

/** The bytes of `Bitmap.copyPixelsToBuffer`: R, G, B, A. As above; a premultiplied bitmap gives other colours. */
internal class RgbaRows : Rows() {
    private var pixels: ByteBuffer = ByteBuffer.allocate(0)
    private var stride = 0
    private var bytes = ByteArray(0)

    fun of(pixels: ByteBuffer, rowStride: Int, width: Int, height: Int) = apply {
        val least = (height - 1L) * rowStride + 4L * width
        if (rowStride < 4 * width || pixels.limit() < least) {
            throw BadPicture("${pixels.limit()} bytes in rows of $rowStride for $width x $height pixels")
        }
        if (bytes.size < 4 * width) bytes = ByteArray(4 * width)
        this.pixels = pixels
        stride = rowStride
        this.width = width
        this.height = height
    }

    override fun read(row: Int, from: Int, to: Int, out: IntArray) {
        pixels.bulk(row * stride + 4 * from, bytes, 4 * (to - from))
        for (x in 0 until to - from) {
            val alpha = bytes[4 * x + 3].toInt() and 255
            for (c in 0..2) {
                val value = bytes[4 * x + c].toInt() and 255
                out[3 * x + c] = if (alpha == 255) value else overWhite(value, alpha)
            }
        }
    }
}

/** Another's pixels in grey, three times the same: Pillow's L (ITU-R 601-2), in fixed point. */
internal class GreyRows : Rows() {
    private var picture: Rows = this

    fun of(picture: Rows) = apply {
        this.picture = picture
        width = picture.width
        height = picture.height
    }

    override fun read(row: Int, from: Int, to: Int, out: IntArray) {
        picture.read(row, from, to, out)
        for (i in 0 until 3 * (to - from) step 3) {
            val grey = out[i] * 19595 + out[i + 1] * 38470 + out[i + 2] * 7471 + 0x8000 shr 16
            out[i] = grey
            out[i + 1] = grey
            out[i + 2] = grey
        }
    }
}

/** Pillow's `alpha_composite` over white (AlphaComposite.c): 7 extra bits, division by 255 rounded. */
internal fun overWhite(value: Int, alpha: Int): Int {
    val over = value * (alpha shl 7) + 255 * (255 - alpha shl 7) + (128 shl 7)
    return (over shr 8) + over shr 8 shr 7
}

/** `count` bytes from a place on; the buffer's position stays where it was. Absolute bulk reads are newer than Android 9. */
internal fun ByteBuffer.bulk(from: Int, into: ByteArray, count: Int, at: Int = 0) {
    val before = position()
    position(from)
    get(into, at, count)
    position(before)
}
