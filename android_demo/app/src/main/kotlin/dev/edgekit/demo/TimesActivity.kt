package dev.edgekit.demo

import android.app.Activity
import android.content.Intent
import android.content.pm.ApplicationInfo
import android.content.res.ColorStateList
import android.os.Bundle
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.CheckBox
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import dev.edgekit.core.BenchReport
import dev.edgekit.core.Summary

/** How long models take on this phone, side by side: distributions, not means. */
class TimesActivity : Activity() {
    private val times get() = app.times
    private val refreshed: () -> Unit = ::refresh
    private lateinit var models: List<String>
    private val chosen = LinkedHashSet<String>()

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.times)
        view<View>(R.id.root).keepClearOfBars()
        models = app.models.names()
        val before = saved?.getStringArrayList("chosen") ?: times.last.map { it.model }.ifEmpty { models.take(1).map { app.settings.choice(models).model } }
        chosen += before.filter { it in models }
        for (model in models) row(model)
        view<Button>(R.id.start).setOnClickListener {
            if (times.running == null) times.start(models.filter { it in chosen }, app.settings.choice(models)) else times.stop()
        }
        view<Button>(R.id.share).setOnClickListener { share() }
    }

    override fun onSaveInstanceState(out: Bundle) {
        super.onSaveInstanceState(out)
        out.putStringArrayList("chosen", ArrayList(chosen))
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

    private fun row(model: String) {
        val list = view<LinearLayout>(R.id.measured)
        layoutInflater.inflate(R.layout.measured_row, list)
        list.getChildAt(list.childCount - 1).findViewById<CheckBox>(R.id.chosen)!!.run {
            isSaveEnabled = false  // every row has the same id
            text = model
            isChecked = model in chosen
            setOnCheckedChangeListener { _, now ->
                if (now) chosen += model else chosen -= model
                refresh()
            }
        }
    }

    private fun refresh() {
        val running = times.running
        val awake = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (running != null) window.addFlags(awake) else window.clearFlags(awake)
        view<View>(R.id.start).isEnabled = running != null || chosen.isNotEmpty()
        view<Button>(R.id.start).setText(if (running == null) R.string.start else R.string.stop)
        val reports = times.last.mapNotNull { it.report.getOrNull() }
        view<View>(R.id.share).visibility = if (reports.isEmpty()) View.GONE else View.VISIBLE
        view<TextView>(R.id.running).run {
            // a number that grows is not to be read out each time
            accessibilityLiveRegion = if (running == null) View.ACCESSIBILITY_LIVE_REGION_POLITE else View.ACCESSIBILITY_LIVE_REGION_NONE
            text = when {
                models.isEmpty() -> getString(R.string.no_models)
                running != null -> getString(R.string.times_running, running.first, running.second)
                times.last.isEmpty() -> getString(R.string.times_idle, Times.ROUNDS)
                times.cancelled -> getString(R.string.times_cancelled)
                else -> getString(R.string.times_done, Times.ROUNDS)
            }
        }
        val medians = times.last.associate { it.model to it.report.getOrNull()?.let { report -> Summary(report.result.timing.runs).p50 } }
        val slowest = medians.values.filterNotNull().maxOrNull()
        for ((i, model) in models.withIndex()) view<LinearLayout>(R.id.measured).getChildAt(i).run {
            findViewById<View>(R.id.chosen)!!.isEnabled = running == null
            val measured = times.last.find { it.model == model }
            findViewById<View>(R.id.result)!!.visibility = if (measured == null) View.GONE else View.VISIBLE
            if (measured != null) show(this, measured, medians[model], slowest)
        }
        view<TextView>(R.id.device).run {
            visibility = if (reports.isEmpty()) View.GONE else View.VISIBLE
            text = reports.firstOrNull()?.let { device(it) }
        }
    }

    private fun show(row: View, measured: Measured, median: Double?, slowest: Double?) {
        val report = measured.report.getOrNull()
        val known = report != null && median != null && slowest != null
        for (id in listOf(R.id.bar, R.id.histogram)) row.findViewById<View>(id)!!.visibility = if (known) View.VISIBLE else View.GONE
        val details = row.findViewById<TextView>(R.id.details)!!
        val ratio = row.findViewById<TextView>(R.id.ratio)!!
        if (report == null || median == null || slowest == null) {
            row.findViewById<TextView>(R.id.median)!!.text = ""
            ratio.text = ""
            val error = measured.report.exceptionOrNull()
            details.text = if (error == null || error is InterruptedException) getString(R.string.times_cancelled)
            else trouble(error).let { getString(R.string.said_and_do, it.what, it.hint) }
            return
        }
        row.findViewById<TextView>(R.id.median)!!.text = getString(R.string.times_median, millis(median))
        ratio.text = ratio(measured)
        row.findViewById<ProgressBar>(R.id.bar)!!.run {
            progress = (1000 * median / slowest).toInt()
            progressTintList = ColorStateList.valueOf(themed(android.R.attr.colorAccent))
        }
        row.findViewById<HistogramView>(R.id.histogram)!!.show(report.result.timing.runs)
        details.text = details(report)
    }

    /** How often the fastest goes into this one: of the medians, and the least and the most of any round. */
    private fun ratio(measured: Measured): String {
        val others = times.last.filter { it.rounds.isNotEmpty() }
        val fastest = others.minByOrNull { Summary(it.report.getOrThrow().result.timing.runs).p50!! } ?: return ""
        if (others.size < 2) return ""
        if (fastest === measured) return getString(R.string.times_fastest)
        val each = measured.rounds.zip(fastest.rounds) { a, b -> a / b }.sorted()
        return getString(R.string.times_ratio, each[each.size / 2], each.first(), each.last())
    }

    private fun details(report: BenchReport): String {
        val timing = report.result.timing
        val runs = Summary(timing.runs)
        val unknown = getString(R.string.unknown)
        return listOfNotNull(
            runs.medianLow?.let { getString(R.string.times_interval, millis(it.toDouble()), millis(runs.medianHigh!!.toDouble())) },
            listOfNotNull(runs.p90?.let { getString(R.string.times_p90, millis(it)) }, runs.p99?.let { getString(R.string.times_p99, millis(it)) })
                .joinToString().ifEmpty { null },
            getString(R.string.times_more, runs.count, millis(runs.min!!.toDouble()), millis(runs.max!!.toDouble())),
            Summary(timing.preprocess).p50?.let {
                fun ms(nanos: Long?) = nanos?.let { millis(it.toDouble()) } ?: unknown
                getString(R.string.times_other, millis(it), ms(timing.load), ms(timing.first))
            },
            runtime(report.app.engine, report.app.engineVersion, report.applied),
        ).joinToString("\n")
    }

    private fun device(report: BenchReport): String = listOfNotNull(
        report.device.run {
            val unknown = getString(R.string.unknown)
            val battery = batteryPct?.let { getString(R.string.battery, it) } ?: unknown
            getString(R.string.times_device, "$manufacturer $model", sdk, abi, thermalStatus?.toString() ?: unknown, battery)
        },
        getString(R.string.times_debuggable).takeIf { applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0 },
    ).joinToString("\n")

    private fun share() = startActivity(
        Intent.createChooser(Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, times.json()), getString(R.string.share)),
    )
}

/** Three digits that count. */
fun millis(nanos: Double): String {
    val ms = nanos / 1e6
    return String.format(if (ms < 1) "%.3f" else if (ms < 10) "%.2f" else if (ms < 100) "%.1f" else "%.0f", ms)
}
