package dev.edgekit.core

import kotlin.math.ln

/**
 * A score for each class and pixel of the head; edgekit/tasks/segmentation.py. One channel is binary: the second label
 * holds where its probability reaches `threshold`.
 *
 * palette     opaque ARGB for each label
 * background  the class that means nothing in particular, where there is one
 */
public class Segmentation internal constructor(
    public val labels: List<String>, public val scores: Scores, public val threshold: Double, public val background: Int?, public val palette: IntArray,
    private val upsampling: Upsampling,
) : Task {
    private val bar = if (scores == Scores.LOGITS) ln(threshold / (1 - threshold)).toFloat() else threshold.toFloat()

    override fun read(values: Values, at: Placement): Answer.Mask {
        val width = upsampling.width
        val classes = ByteArray(width * upsampling.height)
        upsampling.rows(values[0]) { y, row -> name(row, width, classes, y * width) }
        return Answer.Mask(width, upsampling.height, classes, labels, palette, background, at)
    }

    /** The share of the pixels that have the same class. */
    override fun alike(golden: Values, values: Values): Double {
        val count = golden[0].size / upsampling.channels
        val (first, second) = listOf(golden, values).map { given -> ByteArray(count).also { name(given[0], count, it, 0) } }
        return first.indices.count { first[it] == second[it] } / count.toDouble()
    }

    override fun mean(windows: List<Values>): Nothing = throw UnsupportedOperationException("a task of pictures")

    /** The classes of `count` pixels, whose scores lie channel by channel, from `at` on; ties by the lower class. */
    private fun name(scores: FloatArray, count: Int, classes: ByteArray, at: Int) {
        for (i in 0 until count) {
            var best = 0
            for (c in 1 until upsampling.channels) if (scores[c * count + i] > scores[best * count + i]) best = c
            if (upsampling.channels == 1 && scores[i] >= bar) best = 1
            classes[at + i] = best.toByte()
        }
    }

    public companion object {
        /** The colours of PASCAL VOC's masks, by reversal of bits, where a manifest gives none: label 0 is black. */
        public fun colours(labels: Int): IntArray = IntArray(labels) { label ->
            (0 until 24).fold(255 shl 24) { argb, bit -> argb or ((label shr bit and 1) shl (16 - 8 * (bit % 3) + 7 - bit / 3)) }
        }
    }
}
