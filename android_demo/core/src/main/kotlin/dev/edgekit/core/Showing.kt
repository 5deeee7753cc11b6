package dev.edgekit.core

/**
 * How a picture's own pixels lie on the view that shows it, both in pixels from the upper left corner: turned clockwise, mirrored as
 * the preview of a front camera is, and scaled alike in both directions, middle upon middle. Previews, masks and boxes go by it.
 *
 * covers  the picture fills the view, and what does not fit is cut off, as a camera's; else all of it is seen
 * turned  degrees, a multiple of 90
 */
public class Showing(
    width: Int, height: Int, private val viewWidth: Int, private val viewHeight: Int, covers: Boolean, mirrored: Boolean = false, turned: Int = 0,
) {
    /** a to f of x' = a x + b y + c and y' = d x + e y + f, by which a point of the picture becomes one of the view. */
    public val numbers: DoubleArray

    init {
        val quarters = Math.floorMod(turned / 90, 4)
        val (wide, high) = if (quarters % 2 == 0) Pair(width, height) else Pair(height, width)
        val scales = listOf(viewWidth.toDouble() / wide, viewHeight.toDouble() / high)
        val scale = if (covers) scales.max() else scales.min()
        val (cosine, sine) = Pair(scale * listOf(1, 0, -1, 0)[quarters], scale * listOf(0, 1, 0, -1)[quarters])
        val across = if (mirrored) -1 else 1
        val (a, b) = Pair(across * cosine, -across * sine)
        val (middleX, middleY) = Pair(width / 2.0, height / 2.0)
        numbers = doubleArrayOf(
            a, b, viewWidth / 2.0 - a * middleX - b * middleY, sine, cosine, viewHeight / 2.0 - sine * middleX - cosine * middleY,
        )
    }

    /** A point of the picture as one of the view, x and y. */
    public fun point(x: Double, y: Double): Pair<Double, Double> = numbers.let { (a, b, c, d, e) -> Pair(a * x + b * y + c, d * x + e * y + numbers[5]) }

    /** What the view shows of a part of the picture; null where it shows nothing of it. */
    public fun seen(part: Area): Area? {
        val (x1, y1) = point(part.left.toDouble(), part.top.toDouble())
        val (x2, y2) = point(part.right.toDouble(), part.bottom.toDouble())
        val seen = Area(
            minOf(x1, x2).toFloat().coerceAtLeast(0f), minOf(y1, y2).toFloat().coerceAtLeast(0f),
            maxOf(x1, x2).toFloat().coerceAtMost(viewWidth.toFloat()), maxOf(y1, y2).toFloat().coerceAtMost(viewHeight.toFloat()),
        )
        return seen.takeIf { it.left < it.right && it.top < it.bottom }
    }
}

/** A rectangle. */
public data class Area(val left: Float, val top: Float, val right: Float, val bottom: Float) {
    public val width: Float get() = right - left
    public val height: Float get() = bottom - top

    /**
     * Where a tag of a size goes that names this part of a view: upon its upper edge, or under that where the view ends, and never over
     * a side of the view.
     */
    public fun tag(wide: Float, high: Float, viewWidth: Float): Area {
        val left = left.coerceIn(0f, maxOf(viewWidth - wide, 0f))
        val top = if (top >= high) top - high else top
        return Area(left, top, left + wide, top + high)
    }
}
