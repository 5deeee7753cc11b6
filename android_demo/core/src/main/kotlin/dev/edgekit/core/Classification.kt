package dev.edgekit.core

import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.ln

/** What the numbers of a class are; see edgekit/tasks/classification.py. */
public enum class Scores { LOGITS, PROBABILITIES, LOG_PROBABILITIES }

/**
 * One score a class.
 *
 * independent  each class by itself: its label holds from a probability of `threshold` on; else a picture is of one class
 */
public class Classification(public val labels: List<String>, public val scores: Scores, public val independent: Boolean, public val threshold: Float) : Task {
    override fun read(values: Values, at: Placement): Answer.Classes = read(values[0])

    /** Of the scores themselves, as the file has them. */
    public fun read(scores: FloatArray): Answer.Classes = Answer.Classes(labels, probabilities(scores), if (independent) named(scores) else null)

    override fun alike(golden: Values, values: Values): Double = if (named(golden[0]) == named(values[0])) 1.0 else 0.0

    /** Scores of the mean of the windows' probabilities. */
    override fun mean(windows: List<Values>): Values {
        if (windows.size == 1) return windows[0]
        val each = windows.map { probabilities(it[0]) }
        return listOf(FloatArray(labels.size) { i ->
            val share = each.sumOf { it[i].toDouble() } / each.size
            when {
                scores == Scores.PROBABILITIES -> share
                scores == Scores.LOGITS && independent -> log(share) - log(1 - share)
                else -> log(share)
            }.toFloat()
        })
    }

    private fun log(share: Double) = ln(share.coerceAtLeast(SMALLEST))

    /** Of scores of any kind: themselves, their powers, a sigmoid of each, or their softmax. A new array. */
    public fun probabilities(scores: FloatArray): FloatArray = when (this.scores) {
        Scores.PROBABILITIES -> scores.copyOf()
        Scores.LOG_PROBABILITIES -> FloatArray(scores.size) { exp(scores[it]) }
        Scores.LOGITS -> if (independent) FloatArray(scores.size) { sigmoid(scores[it]) } else softmax(scores)
    }

    /** The labels that hold, by their classes: those of independent classes, or the best one. */
    public fun named(scores: FloatArray): Set<Int> {
        if (!independent) return setOfNotNull(scores.indices.maxByOrNull { scores[it] })
        val probabilities = probabilities(scores)
        return probabilities.indices.filter { probabilities[it] >= threshold }.toSet()
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

    private companion object {
        const val SMALLEST = 1.1754944e-38  // a float's
    }
}
