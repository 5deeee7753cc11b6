package dev.edgekit.core

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.exp

/** One class of an answer. holds: of classes that do not exclude each other, whether it is on the picture; else null. */
data class ClassScore(val index: Int, val label: String, val probability: Float, val holds: Boolean? = null)

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

    /** Of scores of any kind: themselves, their powers, a sigmoid of each, or their softmax. A new array. */
    fun probabilities(scores: FloatArray): FloatArray = when (spec.scores) {
        Scores.PROBABILITIES -> scores.copyOf()
        Scores.LOG_PROBABILITIES -> FloatArray(scores.size) { exp(scores[it]) }
        Scores.LOGITS -> if (spec.independent) FloatArray(scores.size) { sigmoid(scores[it]) } else softmax(scores)
    }

    /** The labels that hold, by their classes: those of independent classes, or the best one. */
    fun named(scores: FloatArray): Set<Int> {
        if (!spec.independent) return setOfNotNull(scores.indices.maxByOrNull { scores[it] })
        val probabilities = probabilities(scores)
        return probabilities.indices.filter { probabilities[it] >= spec.threshold }.toSet()
    }

    private fun sigmoid(logit: Float): Float {
        val power = exp(-abs(logit))  // of the absolute value: it cannot overflow
        return (if (logit >= 0) 1f else power) / (1 + power)
    }

    private fun softmax(scores: FloatArray): FloatArray {
        val largest = scores.max()
        val powers = FloatArray(scores.size) { exp(scores[it] - largest) }
        val sum = powers.sum()
        return FloatArray(scores.size) { powers[it] / sum }
    }

    /** The k most probable classes, and every one that holds by itself, best first; ties by the lower class. */
    fun top(scores: FloatArray, k: Int): List<ClassScore> {
        val probabilities = probabilities(scores)
        val holding = if (spec.independent) named(scores) else null
        return probabilities.indices.sortedByDescending { probabilities[it] }.take(maxOf(k, holding?.size ?: 0))  // stable
            .map { ClassScore(it, spec.labels[it], probabilities[it], holding?.contains(it)) }
    }
}
