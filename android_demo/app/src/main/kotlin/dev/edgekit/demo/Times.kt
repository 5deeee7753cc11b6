package dev.edgekit.demo

import dev.edgekit.core.AppFacts
import dev.edgekit.core.BenchPlan
import dev.edgekit.core.BenchReport
import dev.edgekit.core.BenchRunner
import java.io.File

/**
 * The benchmark of the screen: one run at a time, which goes on while the screen turns. Of the main thread.
 *
 * Its report is what adb would get; it is kept in files/bench/last.json.
 */
class Times(private val app: DemoApp) {
    /** Inferences so far; null where nothing runs. */
    var running: Int? = null
        private set

    /** What is timed, or was last. */
    var of: Choice? = null
        private set

    /** Of the last run, or why there is none. */
    var last: Result<BenchReport>? = null
        private set

    /** Told after each change. */
    var changed: () -> Unit = {}
    @Volatile private var stopped = false

    fun start(choice: Choice) {
        if (running != null) return
        stopped = false
        of = choice
        last = null
        running = 0
        changed()
        app.session.alone({ measure(choice) }) { result ->
            running = null
            last = result
            changed()
        }
    }

    fun stop() {
        stopped = true
    }

    private fun measure(choice: Choice): BenchReport {
        val artifact = app.session.artifact(choice.model)
        val frames = artifact.golden.frames[0]
        val options = app.session.options(choice)
        var applied = emptyMap<String, String>()
        var memory = Phone.memory()
        var said = 0L
        val runner = BenchRunner(app.clock) { done ->
            val now = System.nanoTime()
            if (now - said > 500_000_000) {
                said = now
                app.main.execute { if (running != null) running = done.also { changed() } }
            }
            !stopped
        }
        val open = { artifact.kind.open(artifact.spec, artifact.bytes, options).also { applied = it.facts } }
        val result = runner.run(PLAN, artifact.spec, open, { memory = Phone.memory() }) { it.tensor(frames) }
        result.failure?.let { throw it.error }
        val asked = mapOf("model" to choice.model, "threads" to choice.threads, "accelerator" to choice.accelerator)
        val about = AppFacts(Phone.version(app), artifact.kind.name, artifact.kind.version.version)
        return BenchReport("screen", Phone.facts(app), about, artifact.spec, asked, applied, result, memory).also {
            val file = File(app.filesDir, "bench/last.json")
            file.parentFile?.mkdirs()
            file.writeText(it.toJson())
        }
    }

    private companion object {
        val PLAN = BenchPlan(warmup = 10, runs = 200, minMillis = 3000)
    }
}
