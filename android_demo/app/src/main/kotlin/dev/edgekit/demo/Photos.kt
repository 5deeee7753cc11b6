package dev.edgekit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.ImageDecoder
import android.net.Uri
import dev.edgekit.core.BadPicture
import dev.edgekit.core.Preprocessor
import java.io.IOException

/** A decoded photo, upright; `sample`: read at 1/sample of its size. */
class Photo(val bitmap: Bitmap, val width: Int = bitmap.width, val height: Int = bitmap.height, val sample: Int = 1) {
    fun argb() = IntArray(bitmap.width * bitmap.height).also { bitmap.getPixels(it, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height) }
}

object Photos {
    /** Above it, a bitmap and its pixels would take 200 MB. */
    private const val WHOLE = 25_000_000L

    /**
     * Turned as its EXIF data say, in sRGB. A size beyond the preprocessing's limit is refused before a pixel is read.
     *
     * Throws PictureTooLarge, BadPicture.
     */
    fun read(context: Context, uri: Uri): Photo {
        var sample = 1
        var size = android.util.Size(0, 0)
        val bitmap = try {
            ImageDecoder.decodeBitmap(ImageDecoder.createSource(context.contentResolver, uri)) { decoder, info, _ ->
                size = info.size
                Preprocessor.check(size.width, size.height)
                while (size.width.toLong() * size.height / (sample * sample) > WHOLE) sample++
                decoder.setTargetSampleSize(sample)
                decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE  // a bitmap on the GPU has no pixels to read
                decoder.setTargetColorSpace(android.graphics.ColorSpace.get(android.graphics.ColorSpace.Named.SRGB))
            }
        } catch (error: SecurityException) {
            throw BadPicture(context.getString(R.string.photo_gone))
        } catch (error: IOException) {
            throw BadPicture(context.getString(R.string.photo_damaged, error.message?.lineSequence()?.first() ?: error.javaClass.simpleName))
        }
        // of more than 8 bits: twice the memory, and more than a screen can be asked to draw
        val plain = if (bitmap.config == Bitmap.Config.RGBA_F16) bitmap.copy(Bitmap.Config.ARGB_8888, false).also { bitmap.recycle() } else bitmap
        return Photo(plain, size.width, size.height, sample)
    }
}
