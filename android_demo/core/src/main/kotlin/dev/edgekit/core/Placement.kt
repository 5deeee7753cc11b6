package dev.edgekit.core

import kotlin.math.floor

/**
 * Where a picture of width x height lies in the model's input, which is scale * a point of the picture + offset, in pixels
 * from the upper left corner. `Placement` of edgekit/preprocess.py.
 */
public class Placement(
    public val width: Int, public val height: Int, private val scaleX: Double, private val scaleY: Double, private val offsetX: Double, private val offsetY: Double,
) {
    /** A point of the input as one of the picture, x and y. */
    public fun back(x: Double, y: Double): Pair<Double, Double> = Pair((x - offsetX) / scaleX, (y - offsetY) / scaleY)

    /** A part of the input as one of the picture, without what lies beyond its edges. */
    public fun back(part: Area): Area {
        val (left, top) = back(part.left.toDouble(), part.top.toDouble())
        val (right, bottom) = back(part.right.toDouble(), part.bottom.toDouble())
        fun across(x: Double) = x.coerceIn(0.0, width.toDouble()).toFloat()
        fun down(y: Double) = y.coerceIn(0.0, height.toDouble()).toFloat()
        return Area(across(left), down(top), across(right), down(bottom))
    }

    /** For each column of the picture the one of an input of `side` columns that lies under its centre. */
    internal fun columns(side: Int) = under(width, scaleX, offsetX, side)

    internal fun rows(side: Int) = under(height, scaleY, offsetY, side)

    private fun under(own: Int, scale: Double, offset: Double, side: Int) =
        IntArray(own) { floor((it + 0.5) * scale + offset).toInt().coerceIn(0, side - 1) }
}
