package dev.edgekit.core

import kotlin.math.floor

/**
 * Scores of the head, [channels, rows, columns], at the size of the model's input, one row at a time: a whole answer of
 * 21 classes would be 22 MB. `upsampled` of edgekit/tasks/segmentation.py, to the last bit.
 */
internal class Upsampling(
    val channels: Int, rows: Int, private val columns: Int, val height: Int, val width: Int, bilinear: Boolean, aligned: Boolean,
) {
    private val down = Between(rows, height, bilinear, aligned)
    private val across = Between(columns, width, bilinear, aligned)
    private val plane = rows * columns
    private val same = rows == height && columns == width
    private val narrow = FloatArray(columns)
    private val row = FloatArray(channels * width)

    /** `use` takes each row's number and its scores, [channels, width]; the same array each time. */
    fun rows(scores: FloatArray, use: (y: Int, row: FloatArray) -> Unit) {
        for (y in 0 until height) {
            for (c in 0 until channels) {
                if (same) {  // also of numbers that are infinite
                    System.arraycopy(scores, c * plane + y * width, row, c * width, width)
                    continue
                }
                blend(scores, c * plane + down.low[y] * columns, c * plane + down.high[y] * columns, down.share[y])
                stretch(c * width)
            }
            use(y, row)
        }
    }

    private fun blend(scores: FloatArray, upper: Int, lower: Int, share: Float) {
        for (x in 0 until columns) {
            val a = scores[upper + x]
            narrow[x] = a + (scores[lower + x] - a) * share
        }
    }

    private fun stretch(to: Int) {
        for (x in 0 until width) {
            val a = narrow[across.low[x]]
            row[to + x] = a + (narrow[across.high[x]] - a) * across.share[x]
        }
    }

    /** For each new place the two old ones it lies between, and how near it is to the second. */
    private class Between(old: Int, new: Int, bilinear: Boolean, aligned: Boolean) {
        private val at = DoubleArray(new) {
            when {
                !bilinear -> floor(it * (old.toDouble() / new))
                aligned -> it * ((old - 1.0) / maxOf(new - 1, 1))
                else -> maxOf((it + 0.5) * (old.toDouble() / new) - 0.5, 0.0)
            }
        }
        val low = IntArray(new) { minOf(at[it].toInt(), old - 1) }
        val high = IntArray(new) { minOf(low[it] + 1, old - 1) }
        val share = FloatArray(new) { (at[it] - low[it]).toFloat() }
    }
}
