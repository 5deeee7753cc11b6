package dev.edgekit.demo

import android.app.Activity
import android.content.Intent
import android.content.pm.ApplicationInfo
import android.os.Bundle
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.TextView
import dev.edgekit.core.BenchReport
import dev.edgekit.core.Summary

/** How long the chosen model takes on this phone: the distribution, not a mean. */
class TimesActivity : Activity() {
    private val times get() = app.times
    private val refreshed: () -> Unit = ::refresh
    private var choice: Choice? = null
    private val last get() = times.last.takeIf { times.of == choice }

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.times)
        view<View>(R.id.root).keepClearOfBars()
        choice = app.models.names().takeIf { it.isNotEmpty() }?.let { app.settings.choice(it) }
        view<Button>(R.id.start).setOnClickListener { if (times.running == null) choice?.let { times.start(it) } else times.stop() }
        view<Button>(R.id.share).setOnClickListener { last?.getOrNull()?.let { share(it) } }
    }

    override fun onStart() {
        super.onStart()
        times.changed = refreshed
        refresh()
    }

    override fun onStop() {
        if (times.changed === refreshed) times.changed = {}
        if (!isChangingConfigurations) times.stop()  // in the background it would get the slow cores
        super.onStop()
    }

    private fun refresh() {
        val running = times.running
        val report = last?.getOrNull()
        val awake = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (running != null) window.addFlags(awake) else window.clearFlags(awake)
        view<TextView>(R.id.model).text = choice?.run { getString(R.string.running, model, threads(threads)) } ?: getString(R.string.no_models)
        view<View>(R.id.start).isEnabled = choice != null
        view<Button>(R.id.start).setText(if (running == null) R.string.start else R.string.stop)
        view<View>(R.id.share).visibility = if (report == null) View.GONE else View.VISIBLE
        view<View>(R.id.result).visibility = if (report == null || report.result.timing.runs.isEmpty()) View.GONE else View.VISIBLE
        view<TextView>(R.id.running).run {
            // a number that grows is not to be read out each time
            accessibilityLiveRegion = if (running == null) View.ACCESSIBILITY_LIVE_REGION_POLITE else View.ACCESSIBILITY_LIVE_REGION_NONE
            text = said(running, report)
        }
        if (report != null) show(report)
    }

    private fun said(running: Int?, report: BenchReport?): String {
        val failure = last?.exceptionOrNull()
        return when {
            running != null -> getString(R.string.times_running, times.of?.model ?: "", running)
            failure != null -> trouble(failure).let { "${it.what}\n${getString(R.string.do_this, it.hint)}" }
            report == null -> getString(R.string.times_idle, choice?.model ?: "")
            else -> listOfNotNull(
                runtime(report.app.engine, report.app.engineVersion, report.applied),
                if (report.result.cancelled) getString(R.string.times_cancelled) else null,
            ).joinToString("\n")
        }
    }

    private fun show(report: BenchReport) {
        val timing = report.result.timing
        val runs = Summary(timing.runs)
        val p50 = runs.p50 ?: return
        view<TextView>(R.id.median).text = getString(R.string.times_median, ms(p50))
        view<HistogramView>(R.id.histogram).show(timing.runs)
        val unknown = getString(R.string.unknown)
        view<TextView>(R.id.details).text = listOfNotNull(
            runs.medianLow?.let { getString(R.string.times_interval, ms(it), ms(runs.medianHigh!!)) },
            getString(R.string.times_more, ms(runs.min!!), ms(runs.max!!), runs.count),
            runs.p90?.let { getString(R.string.times_p90, ms(it)) },
            runs.p99?.let { getString(R.string.times_p99, ms(it)) },
            Summary(timing.preprocess).p50?.let {
                getString(R.string.times_other, ms(it), timing.load?.let(::ms) ?: unknown, timing.first?.let(::ms) ?: unknown)
            },
            report.device.run {
                val battery = batteryPct?.let { getString(R.string.battery, it) } ?: unknown
                getString(R.string.times_device, "$manufacturer $model", sdk, abi, thermalStatus?.toString() ?: unknown, battery)
            },
            getString(R.string.times_debuggable).takeIf { applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0 },
        ).joinToString("\n")
    }

    private fun share(report: BenchReport) = startActivity(
        Intent.createChooser(
            Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, report.toJson()), getString(R.string.share),
        ),
    )

    private fun ms(nanos: Number) = millis(nanos.toDouble())
}

/** Three digits that count. */
fun millis(nanos: Double): String {
    val ms = nanos / 1e6
    return String.format(if (ms < 1) "%.3f" else if (ms < 10) "%.2f" else if (ms < 100) "%.1f" else "%.0f", ms)
}
