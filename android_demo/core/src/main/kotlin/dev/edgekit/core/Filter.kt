package dev.edgekit.core

import kotlin.math.abs
import kotlin.math.ceil

/** Pillow's resampling filters: how far they reach in pixels of the smaller picture, and their weight at a distance. */
public enum class Filter(internal val support: Double) {
    NEAREST(0.0) {
        override fun weight(x: Double) = 1.0
    },
    BILINEAR(1.0) {
        override fun weight(x: Double) = if (abs(x) < 1) 1 - abs(x) else 0.0
    },
    BICUBIC(2.0) {
        override fun weight(x: Double): Double {
            val d = abs(x)
            return when {
                d < 1 -> (1.5 * d - 2.5) * d * d + 1
                d < 2 -> (((d - 5) * d + 8) * d - 4) * -0.5
                else -> 0.0
            }
        }
    },
    LANCZOS(3.0) {
        override fun weight(x: Double) = if (x >= -3 && x < 3) sinc(x) * sinc(x / 3) else 0.0
    };

    internal abstract fun weight(x: Double): Double

    // StrictMath: the same bits on every phone
    internal fun sinc(x: Double): Double = if (x == 0.0) 1.0 else StrictMath.sin(x * Math.PI) / (x * Math.PI)
}

/**
 * One direction of the resize: output pixel i is made of `taps[i]` source pixels from `first[i]` on, with fixed-point
 * weights at `weights[i * stride]`. For the `count` outputs from `start` on of `size` in all. Step 3 of
 * edgekit/preprocess.py, which is Pillow's (Resample.c).
 */
internal class Axis(source: Int, size: Int, filter: Filter, start: Int, val count: Int) {
    private val scale = source.toDouble() / size
    private val shrink = maxOf(scale, 1.0)
    private val support = filter.support * shrink
    val stride = ceil(support).toInt() * 2 + 1
    val first = IntArray(count)
    val taps = IntArray(count)
    val weights = IntArray(count * stride)

    init {
        if (filter == Filter.NEAREST) nearest(start) else for (i in 0 until count) smooth(i, start + i, source, filter)
    }

    val lowest get() = first[0]
    val highest get() = first[count - 1] + taps[count - 1]

    private fun nearest(start: Int) {
        var at = scale * 0.5
        repeat(start) { at += scale }  // added up, not multiplied: so does Pillow (Geometry.c)
        for (i in 0 until count) {
            first[i] = at.toInt()
            taps[i] = 1
            weights[i] = ONE
            at += scale
        }
    }

    private fun smooth(i: Int, place: Int, source: Int, filter: Filter) {
        val centre = (place + 0.5) * scale
        val from = maxOf((centre - support + 0.5).toInt(), 0)
        val n = minOf((centre + support + 0.5).toInt(), source) - from
        val inverse = 1.0 / shrink
        val exact = DoubleArray(n) { filter.weight((it + from - centre + 0.5) * inverse) }
        val sum = exact.fold(0.0) { total, weight -> total + weight }
        first[i] = from
        taps[i] = n
        for (k in 0 until n) {
            val weight = (if (sum == 0.0) exact[k] else exact[k] / sum) * ONE
            weights[i * stride + k] = (if (weight < 0) weight - 0.5 else weight + 0.5).toInt()
        }
    }

    companion object {
        const val BITS = 22
        const val ONE = 1 shl BITS
        const val HALF = 1 shl (BITS - 1)
    }
}
