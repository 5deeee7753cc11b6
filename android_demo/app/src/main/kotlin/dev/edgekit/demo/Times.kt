package dev.edgekit.demo

import dev.edgekit.core.AppFacts
import dev.edgekit.core.BenchPlan
import dev.edgekit.core.BenchReport
import dev.edgekit.core.BenchResult
import dev.edgekit.core.BenchRunner
import dev.edgekit.core.BenchTiming
import dev.edgekit.core.Json
import dev.edgekit.core.MemoryFacts
import dev.edgekit.core.Summary
import java.io.File

/** One model's part of a comparison. rounds: the median of each, in nanoseconds. */
class Measured(val model: String, val report: Result<BenchReport>, val rounds: List<Double>)

/**
 * The benchmark of the screen: models take turns, round by round, so that heat and other apps are no one's alone. One comparison at a
 * time, which goes on while the screen turns. Of the main thread.
 *
 * Its reports are what adb would get; they are kept in files/bench/last.json.
 */
class Times(private val app: DemoApp) {
    /** What is timed now, and how many inferences of it there are; null where nothing runs. */
    var running: Pair<String, Int>? = null
        private set

    /** Of the last comparison. */
    var last: List<Measured> = emptyList()
        private set
    var cancelled = false
        private set

    /** Told after each change. */
    var changed: () -> Unit = {}
    @Volatile private var stopped = false

    /** models  in the order they are shown; how: their threads and accelerator. */
    fun start(models: List<String>, how: Choice) {
        if (running != null || models.isEmpty()) return
        stopped = false
        last = emptyList()
        running = models.first() to 0
        changed()
        app.session.alone({ measure(models, how) }) { result ->
            running = null
            cancelled = stopped
            last = result.getOrElse { error -> models.map { Measured(it, Result.failure(error), emptyList()) } }
            changed()
        }
    }

    fun stop() {
        stopped = true
    }

    /** The reports of a comparison, as they are kept and shared. */
    fun json(measured: List<Measured> = last): String = Json.write(linkedMapOf(
        "schema" to 1L, "rounds" to ROUNDS.toLong(), "reports" to measured.mapNotNull { it.report.getOrNull() }.map { Json.parse(it.toJson()) },
    ))

    private fun measure(models: List<String>, how: Choice): List<Measured> {
        val courses = models.map { Course(how.copy(model = it)) }
        for (round in 0 until ROUNDS) for (course in courses) if (!stopped) course.round()
        return courses.map { it.measured() }.also { measured ->
            File(app.filesDir, "bench/last.json").run {
                parentFile?.mkdirs()
                writeText(json(measured))
            }
        }
    }

    /** The rounds of one model. Of the worker. */
    private inner class Course(private val choice: Choice) {
        private val parts = ArrayList<BenchResult>()
        private val rounds = ArrayList<Double>()
        private var error: Throwable? = null
        private var artifact: Artifact? = null
        private var applied = emptyMap<String, String>()
        private var memory: MemoryFacts = Phone.memory()

        fun round() {
            if (error != null) return
            try {
                val artifact = artifact ?: app.session.artifact(choice.model).also { artifact = it }
                val options = app.session.options(choice)
                val frames = artifact.golden.frames[0]
                val before = parts.sumOf { it.timing.runs.size }
                val runner = BenchRunner(app.clock) { done -> tell(before + done); !stopped }
                val open = { artifact.kind(choice.accelerator).open(artifact.spec, artifact.bytes, options).also { applied = it.facts } }
                val result = runner.run(PLAN, artifact.spec, open, { memory = Phone.memory() }) { it.tensor(frames) }
                result.failure?.let { throw it.error }
                parts += result
                Summary(result.timing.runs).p50?.let { rounds += it }
            } catch (failed: Throwable) {  // also of a library that does not link, or of memory: this model's row says so
                error = failed
            }
        }

        fun measured(): Measured {
            val artifact = artifact
            val failed = error
            if (failed != null || artifact == null || parts.isEmpty()) {
                return Measured(choice.model, Result.failure(failed ?: InterruptedException()), emptyList())
            }
            val first = parts.first().timing
            fun all(of: (BenchTiming) -> LongArray) = parts.flatMap { of(it.timing).asList() }.toLongArray()
            val timing = BenchTiming(first.load, first.first, all { it.warmup }, all { it.runs }, all { it.preprocess })
            val asked = mapOf("model" to choice.model, "threads" to choice.threads, "accelerator" to choice.accelerator)
            val kind = artifact.kind(choice.accelerator)
            val about = AppFacts(Phone.version(app), kind.name, kind.version.version)
            val result = BenchResult(timing, null, parts.any { it.cancelled } || parts.size < ROUNDS)
            return Measured(choice.model, Result.success(BenchReport("screen", Phone.facts(app), about, artifact.spec, asked, applied, result, memory)), rounds)
        }

        private var said = 0L

        private fun tell(done: Int) {
            val now = System.nanoTime()
            if (now - said < 500_000_000) return
            said = now
            app.main.execute { if (running != null) running = (choice.model to done).also { changed() } }
        }
    }

    companion object {
        const val ROUNDS = 5
        private val PLAN = BenchPlan(warmup = 3, runs = 40, minMillis = 500)
    }
}
