package dev.edgekit.demo

import android.app.Activity
import android.os.Bundle
import android.text.SpannableStringBuilder
import android.text.style.ForegroundColorSpan
import android.text.style.RelativeSizeSpan
import android.view.View
import android.widget.RadioButton
import android.widget.RadioGroup

/**
 * A sheet from the lower edge: which model looks, where it runs and on how many threads. What is chosen counts at once, and the camera
 * behind goes on. An activity of its own, so that the system's way back closes it and turning the phone keeps it.
 */
class ControlsActivity : Activity() {
    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.controls)
        view<View>(R.id.root).keepClearOfBars(view<Panel>(R.id.panel).getChildAt(0))
        view<View>(R.id.beside).setOnClickListener { finish() }
        offer()
    }

    private fun offer() {
        val models = app.models.names()
        val now = app.settings.choice(models)
        val specs = models.associateWith { runCatching { app.models.spec(it) } }
        fill(R.id.models, R.layout.model_row, models, now.model, { name ->
            titled(name, specs.getValue(name).fold({ described(it) }) { trouble(it).what })
        }) { before, model -> before.copy(model = model) }
        val target = specs[now.model]?.getOrNull()?.target
        val places = (app.engines.filter { it.target == target }.flatMap { it.accelerators } + now.accelerator).distinct()
        fill(R.id.accelerators, R.layout.chip, places, now.accelerator, { accelerator(it) }) { before, place -> before.copy(accelerator = place) }
        fill(R.id.threads, R.layout.chip, Settings.THREADS, now.threads, { "$it" }) { before, threads -> before.copy(threads = threads) }
        for (i in Settings.THREADS.indices) view<RadioGroup>(R.id.threads).getChildAt(i).contentDescription = threads(Settings.THREADS[i])
    }

    private fun titled(name: String, what: String): CharSequence = SpannableStringBuilder("$name\n$what").apply {
        val below = name.length + 1
        setSpan(RelativeSizeSpan(SMALLER), below, length, 0)
        setSpan(ForegroundColorSpan(themed(android.R.attr.textColorSecondary)), below, length, 0)
    }

    private fun <T> fill(id: Int, layout: Int, all: List<T>, now: T, words: (T) -> CharSequence, change: (Choice, T) -> Choice) = view<RadioGroup>(id).run {
        setOnCheckedChangeListener(null)
        removeAllViews()
        for ((i, one) in all.withIndex()) {
            layoutInflater.inflate(layout, this)
            (getChildAt(i) as RadioButton).run {
                this.id = i + 1  // by which a group knows them; other groups have the same
                isSaveEnabled = false
                text = words(one)
                isChecked = one == now
            }
        }
        setOnCheckedChangeListener { _, checked ->
            val before = app.settings.choice(app.models.names())
            val after = change(before, all[checked - 1])
            if (after != before) {
                app.settings.keep(after)
                if (after.model != before.model) offer()  // other accelerators
            }
        }
    }

    private companion object {
        const val SMALLER = 0.85f
    }
}
