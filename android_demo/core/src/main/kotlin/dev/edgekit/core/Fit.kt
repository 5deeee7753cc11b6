package dev.edgekit.core

import kotlin.math.floor
import kotlin.math.round

/** Where a picture of a size goes: steps 3 and 4 of edgekit/preprocess.py, in numbers. Throws PictureTooNarrow, ... */
internal class Fit(private val picture: Size, spec: PreprocessSpec) {
    val size = resized(picture, spec)
    val left = corner(size.width, spec.width, spec)
    val top = corner(size.height, spec.height, spec)

    val placement get() = Placement(
        picture.width, picture.height, size.width.toDouble() / picture.width, size.height.toDouble() / picture.height,
        -left.toDouble(), -top.toDouble(),
    )

    init {
        if (size.width.toLong() * size.height > MAX_PIXELS) throw PictureTooNarrow(picture.width, picture.height, spec)
    }

    data class Size(val width: Int, val height: Int)

    companion object {
        const val MAX_PIXELS = 178_000_000

        /** Throws PictureTooLarge, BadPicture. */
        fun check(width: Int, height: Int) {
            if (width < 1 || height < 1) throw BadPicture("an image of $width x $height pixels")
            if (width.toLong() * height > MAX_PIXELS) throw PictureTooLarge(width, height)
        }

        /** Where the input begins in the resized picture: below zero in a frame. */
        private fun corner(resized: Int, input: Int, spec: PreprocessSpec) =
            if (spec.cropMode == CropMode.LETTERBOX) -((input - resized) / 2) else round((resized - input) / 2.0).toInt()

        private fun resized(picture: Size, spec: PreprocessSpec): Size {
            val (w, h) = picture
            val scale = Size(floor(spec.width / spec.cropPct).toInt(), floor(spec.height / spec.cropPct).toInt())
            val short = scale.width.toLong()
            return when {
                spec.cropMode == CropMode.LETTERBOX -> {
                    val factor = minOf(spec.height.toDouble() / h, spec.width.toDouble() / w)
                    Size(maxOf(round(w * factor).toInt(), 1), maxOf(round(h * factor).toInt(), 1))
                }
                spec.cropMode == CropMode.SQUASH -> scale
                scale.width == scale.height ->
                    if (w <= h) Size(scale.width, ((short * h).toDouble() / w).toInt())
                    else Size(((short * w).toDouble() / h).toInt(), scale.height)
                else -> {  // not square: the picture just covers the box
                    val factor = maxOf(scale.height.toDouble() / h, scale.width.toDouble() / w)
                    Size(maxOf(round(w * factor).toInt(), scale.width), maxOf(round(h * factor).toInt(), scale.height))
                }
            }
        }
    }
}
