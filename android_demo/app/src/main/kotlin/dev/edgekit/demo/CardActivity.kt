package dev.edgekit.demo

import android.app.Activity
import android.os.Bundle
import android.view.View
import android.widget.LinearLayout
import android.widget.TextView
import dev.edgekit.core.CropMode
import dev.edgekit.core.ModelSpec

/** What the chosen model is, where it comes from, what was proven of it, and how it does on this phone. */
class CardActivity : Activity() {
    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.card)
        view<View>(R.id.root).keepClearOfBars()
        val models = app.models.names()
        if (models.isEmpty()) return notice(getString(R.string.no_models), getString(R.string.no_models_hint))
        val choice = app.settings.choice(models)
        view<TextView>(R.id.name).text = choice.model
        runCatching { app.models.spec(choice.model) }.onSuccess { show(it) }
        app.session.use(choice, { it }) { result ->
            if (!isDestroyed) result.fold(::show) { error -> trouble(error).let { notice(getString(R.string.model_failed), getString(R.string.said_and_do, it.what, it.hint)) } }
        }
    }

    private fun show(spec: ModelSpec) {
        view<TextView>(R.id.knows).text = getString(R.string.knows, spec.knows)
        section(R.string.card_what)
        fact(R.string.card_task, task(spec))
        if (spec.labels.isNotEmpty()) fact(R.string.card_labels, labels(spec.labels))
        fact(R.string.card_input, input(spec))
        fact(R.string.card_file, getString(R.string.file_and_size, spec.file, spec.files.getValue(spec.file).bytes / 1e6))
        fact(R.string.card_scheme, listOf(spec.scheme, spec.card.reason).filter { it.isNotEmpty() }.joinToString(": "))
        section(R.string.card_from)
        fact(R.string.card_model, spec.model)
        fact(R.string.card_weights, listOf(spec.card.source, spec.card.why).filter { it.isNotEmpty() }.joinToString(": "))
        spec.card.learned?.let { fact(R.string.card_learned, resources.getQuantityString(R.plurals.images, it, it)) }
        fact(R.string.card_licence, spec.licence.ifEmpty { getString(R.string.card_no_licence) })
        for (note in spec.card.notes) fact(R.string.card_note, note)
        spec.card.proof?.let { proof ->
            section(R.string.card_proof)
            fact(R.string.card_pictures, getString(R.string.card_pictures_of, proof.pictures, proof.source))
            fact(R.string.card_sqnr, proof.sqnrDb?.let { getString(R.string.card_decibels, it, proof.leastDb) } ?: getString(R.string.card_equal))
            for (measure in proof.measures) fact(measure.name, getString(R.string.card_measure, 100 * measure.value, 100 * measure.least))
            fact(R.string.card_runtime, proof.runtime)
        }
        section(R.string.card_runs)
        for ((cpu, oldest) in spec.oldest) fact(getString(R.string.card_oldest, cpu), oldest)
        spec.card.madeWith["edgekit"]?.let { fact(R.string.card_made, getString(R.string.edgekit, it)) }
    }

    private fun show(opened: Opened) {
        showGolden(opened)
        section(R.string.card_phone)
        val engine = opened.model.engine
        fact(R.string.card_runtime, runtime(engine.name, engine.version, engine.facts))
        for (output in opened.golden.outputs) fact(getString(R.string.card_off, output.output), getString(R.string.card_off_by, output.maxAbs, output.tolerance))
    }

    private fun labels(all: List<String>): String {
        val first = all.take(LABELS).joinToString()
        return if (all.size > LABELS) getString(R.string.card_more_labels, first, all.size - LABELS) else first
    }

    private fun input(spec: ModelSpec): String = spec.preprocess.run {
        val fit = when (cropMode) {
            CropMode.CENTER -> R.string.fit_center
            CropMode.SQUASH -> R.string.fit_squash
            CropMode.LETTERBOX -> R.string.fit_letterbox
        }
        val picture = getString(R.string.card_pixels, width, height, getString(fit))
        if (isClip) getString(R.string.card_clip, frames, rate, picture) else picture
    }

    private fun section(words: Int) {
        val list = view<LinearLayout>(R.id.facts)
        layoutInflater.inflate(R.layout.section, list)
        (list.getChildAt(list.childCount - 1) as TextView).setText(words)
    }

    private fun fact(label: Int, value: String) = fact(getString(label), value)

    private fun fact(label: String, value: String) {
        val list = view<LinearLayout>(R.id.facts)
        layoutInflater.inflate(R.layout.fact, list)
        list.getChildAt(list.childCount - 1).run {
            findViewById<TextView>(R.id.label)!!.text = label
            findViewById<TextView>(R.id.value)!!.text = value
        }
    }

    private companion object {
        const val LABELS = 12
    }
}
