package dev.edgekit.demo

import android.content.SharedPreferences

/** What a person chose: a model of the app's by name, and how it runs. */
data class Choice(val model: String, val threads: Int, val accelerator: String)

/**
 * The last choice, kept over the end of the process. A model that a new build of the app no longer has is forgotten.
 *
 * first  of some models, the one that is shown where nothing was chosen
 */
class Settings(private val kept: SharedPreferences, private val first: (List<String>) -> String) {
    /** Told after each choice; of the screen that looks. */
    var changed: () -> Unit = {}

    /** models  at least one */
    fun choice(models: List<String>) = Choice(
        kept.getString("model", null)?.takeIf { it in models } ?: first(models),
        kept.getInt("threads", THREADS[1]),
        kept.getString("accelerator", null) ?: "cpu",
    )

    fun keep(choice: Choice) {
        kept.edit().putString("model", choice.model).putInt("threads", choice.threads).putString("accelerator", choice.accelerator).apply()
        changed()
    }

    companion object {
        val THREADS = listOf(1, 2, 4, 8)
    }
}
