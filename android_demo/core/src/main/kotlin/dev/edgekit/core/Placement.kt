package dev.edgekit.core

import kotlin.math.floor

/**
 * Where a picture of width x height lies in the model's input, which is scale * a point of the picture + offset, in pixels
 * from the upper left corner. `Placement` of edgekit/preprocess.py.
 */
class Placement(
    val width: Int, val height: Int, private val scaleX: Double, private val scaleY: Double, private val offsetX: Double, private val offsetY: Double,
) {
    /** A point of the input as one of the picture, x and y. */
    fun back(x: Double, y: Double) = Pair((x - offsetX) / scaleX, (y - offsetY) / scaleY)

    /** For each column of the picture the one of an input of `side` columns that lies under its centre. */
    internal fun columns(side: Int) = under(width, scaleX, offsetX, side)

    internal fun rows(side: Int) = under(height, scaleY, offsetY, side)

    private fun under(own: Int, scale: Double, offset: Double, side: Int) =
        IntArray(own) { floor((it + 0.5) * scale + offset).toInt().coerceIn(0, side - 1) }
}
