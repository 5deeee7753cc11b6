package dev.edgekit.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import dev.edgekit.core.Summary

/** The distribution of times: how many lie where, the median as a line. What lies above the 99th percentile is in the last bar. */
class HistogramView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private var bars = IntArray(0)
    private var low = 0.0
    private var high = 0.0
    private var median = 0.0
    private var cut = false
    private val bar = Paint().apply { color = context.themed(android.R.attr.colorAccent) }
    private val line = Paint().apply { color = context.themed(android.R.attr.textColorPrimary) }
    private val text = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.themed(android.R.attr.textColorSecondary)
        textSize = android.util.TypedValue.applyDimension(android.util.TypedValue.COMPLEX_UNIT_SP, 12f, resources.displayMetrics)
    }
    private val dp = resources.displayMetrics.density

    /** nanoseconds, at least one */
    fun show(runs: LongArray) {
        val sorted = runs.sortedArray()
        low = sorted.first().toDouble()
        high = sorted[((sorted.size - 1) * 0.99).toInt()].toDouble()
        cut = sorted.last() > high
        median = Summary(runs).p50!!
        bars = IntArray(BARS)
        val width = (high - low) / BARS
        for (run in sorted) bars[if (width > 0) ((run - low) / width).toInt().coerceIn(0, BARS - 1) else 0]++
        contentDescription = resources.getString(R.string.histogram_spoken, runs.size, millis(low), millis(sorted.last().toDouble()), millis(median))
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val most = bars.maxOrNull() ?: return
        val below = text.fontSpacing + 4 * dp
        val tall = height - below
        val wide = width.toFloat() / BARS
        for ((i, count) in bars.withIndex()) {
            canvas.drawRect(i * wide, tall * (1 - count.toFloat() / most), (i + 1) * wide - dp, tall, bar)
        }
        val at = if (high > low) ((median - low) / (high - low)).toFloat() * width else 0f
        canvas.drawRect(at - dp, 0f, at + dp, tall, line)
        canvas.drawText("${millis(low)} ms", 0f, height - 4 * dp, text)
        val last = "${if (cut) "≥ " else ""}${millis(high)} ms"
        canvas.drawText(last, width - text.measureText(last), height - 4 * dp, text)
    }

    private companion object {
        const val BARS = 32
    }
}
