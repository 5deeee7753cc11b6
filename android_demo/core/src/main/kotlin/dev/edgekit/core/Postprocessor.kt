package dev.edgekit.core

import java.nio.ByteBuffer
import kotlin.math.exp

/** One class of an answer. */
data class ClassScore(val index: Int, val label: String, val probability: Float)

/** What the file returned, as scores, probabilities and names. Of one thread: `scores` fills the same array each time. */
class Postprocessor(private val spec: ModelSpec) {
    private val scores = FloatArray(spec.classes)

    /** Real numbers, [classes]: `scale * (stored - zero point)` where the output is quantized. The buffer is rewound. */
    fun scores(raw: ByteBuffer): FloatArray {
        raw.rewind()
        val output = spec.output
        for (i in scores.indices) {
            val stored = when (output.type) {
                ElementType.FLOAT32 -> raw.getFloat(4 * i)
                ElementType.UINT8 -> (raw.get(i).toInt() and 255).toFloat()
                ElementType.INT8 -> raw.get(i).toFloat()
            }
            scores[i] = if (output.scale == null) stored else (stored - output.zeroPoint) * output.scale
        }
        return scores
    }

    /** The scores themselves where the file gives probabilities, else their softmax. A new array. */
    fun probabilities(scores: FloatArray): FloatArray {
        if (spec.probabilities) return scores.copyOf()
        val largest = scores.max()
        val powers = FloatArray(scores.size) { exp(scores[it] - largest) }
        val sum = powers.sum()
        return FloatArray(scores.size) { powers[it] / sum }
    }

    /** The k most probable classes, best first; ties by the lower class. */
    fun top(scores: FloatArray, k: Int): List<ClassScore> {
        val probabilities = probabilities(scores)
        return probabilities.indices.sortedByDescending { probabilities[it] }.take(k)  // stable
            .map { ClassScore(it, spec.labels[it], probabilities[it]) }
    }
}
