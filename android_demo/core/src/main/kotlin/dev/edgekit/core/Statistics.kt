package dev.edgekit.core

import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.ln

/**
 * Of the times of single inferences, in nanoseconds. Percentiles where there are samples enough to tell, as in
 * edgekit/statistics/intervals.py (MLPerf Inference's rule): p90 from 64 on, p99 from 662.
 *
 * medianLow, medianHigh  95 % interval of the median from order statistics, whatever the distribution; from 6 samples on.
 *                        It speaks of this launch of the app only: samples of one process are not independent.
 */
public class Summary(samples: LongArray) {
    private val sorted = samples.sortedArray()
    public val count: Int = sorted.size
    public val min: Long? = sorted.firstOrNull()
    public val max: Long? = sorted.lastOrNull()
    public val p50: Double? = percentile(50, 1)
    public val p90: Double? = percentile(90, 64)
    public val p99: Double? = percentile(99, 662)
    private val rank = medianRank(count)
    public val medianLow: Long? = if (rank > 0) sorted[rank - 1] else null
    public val medianHigh: Long? = if (rank > 0) sorted[count - rank] else null

    /** Between the neighbours, as numpy.percentile. Null below `least` samples. */
    private fun percentile(q: Int, least: Int): Double? {
        if (count < least) return null
        val place = q / 100.0 * (count - 1)
        val low = floor(place).toInt()
        val high = minOf(low + 1, count - 1)
        return sorted[low] + (place - low) * (sorted[high] - sorted[low])
    }

    private companion object {
        /** The largest r with P(Binomial(n, 1/2) < r) <= 2.5 %: the r-th smallest and largest enclose the median. */
        fun medianRank(n: Int): Int {
            var logChoose = 0.0  // of n over r
            var below = 0.0
            var r = 0
            while (r < n / 2) {
                below += exp(logChoose - n * ln(2.0))
                if (below > 0.025) break
                logChoose += ln((n - r).toDouble()) - ln(r + 1.0)
                r++
            }
            return r
        }
    }
}
