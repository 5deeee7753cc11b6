package dev.edgekit.core

import java.nio.ByteBuffer

/** `System::nanoTime`, or what a test says. */
public fun interface Clock {
    /** Nanoseconds since some moment; never less than before. */
    public fun nanos(): Long
}

/** At least `runs` inferences and at least `minMillis` of them, after `warmup` uncounted ones. */
public class BenchPlan(public val warmup: Int = 10, public val runs: Int = 50, public val minMillis: Long = 1000) {
    init {
        require(warmup >= 0 && runs >= 0 && minMillis >= 0) { "warmup $warmup, runs $runs, min_ms $minMillis" }
    }
}

/** Raw nanoseconds, in the order they ran; null and empty where it did not come that far. */
public class BenchTiming(
    public val load: Long?, public val first: Long?, public val warmup: LongArray, public val runs: LongArray, public val preprocess: LongArray,
)

/** Where it ended: "load", "preprocess", "first", "answers", "warmup" or "runs". */
public class BenchFailure(public val stage: String, public val error: Throwable)

/** What was measured, also where `failure` ended it early or a person did (`cancelled`). */
public class BenchResult(public val timing: BenchTiming, public val failure: BenchFailure?, public val cancelled: Boolean)

/**
 * Opens a model and times it. The frame is prepared before each inference and timed apart, as a camera would; the time
 * of an inference is the engine's alone.
 *
 * progress  called between inferences with how many runs are done; false ends the benchmark
 */
public class BenchRunner(private val clock: Clock, private val progress: (Int) -> Boolean = { true }) {
    /** `answers` is called once, untimed, after the first inference: for answers to other tensors. */
    public fun run(
        plan: BenchPlan, spec: ModelSpec, open: () -> Engine, answers: (Model) -> Unit = {},
        frame: (Model) -> ByteBuffer,
    ): BenchResult = Course(plan, spec, frame).run(open, answers)

    private inner class Course(val plan: BenchPlan, val spec: ModelSpec, val frame: (Model) -> ByteBuffer) {
        private var load: Long? = null
        private var first: Long? = null
        private val warmup = Samples()
        private val runs = Samples()
        private val preprocess = Samples()
        private var stage = "load"

        fun run(open: () -> Engine, answers: (Model) -> Unit): BenchResult {
            var failure: BenchFailure? = null
            var finished = false
            try {
                val start = clock.nanos()
                Model(spec, open()).use { model ->
                    load = clock.nanos() - start
                    finished = measure(model, answers)
                }
            } catch (error: Throwable) {  // also a library that does not link, or memory that ran out: a result, not a crash
                failure = BenchFailure(stage, error)
            }
            val timing = BenchTiming(load, first, warmup.array(), runs.array(), preprocess.array())
            return BenchResult(timing, failure, cancelled = !finished && failure == null)
        }

        /** False where a person ended it. */
        private fun measure(model: Model, answers: (Model) -> Unit): Boolean {
            first = once("first", model)
            stage = "answers"
            answers(model)
            repeat(plan.warmup) {
                if (!progress(0)) return false
                warmup.add(once("warmup", model))
            }
            val least = plan.minMillis * 1_000_000
            while (runs.count < plan.runs || runs.sum < least) {
                if (!progress(runs.count)) return false
                runs.add(once("runs", model))
            }
            return true
        }

        private fun once(name: String, model: Model): Long {
            stage = "preprocess"
            val start = clock.nanos()
            val tensor = frame(model)
            val ready = clock.nanos()
            stage = name
            model.engine.run(tensor, model.outputs())
            val done = clock.nanos()
            if (name == "runs") preprocess.add(ready - start)
            return done - ready
        }
    }

    /** Grows without a box around each number. */
    private class Samples {
        private var values = LongArray(1024)
        var count = 0
            private set
        var sum = 0L
            private set

        fun add(value: Long) {
            if (count == values.size) values = values.copyOf(2 * count)
            values[count++] = value
            sum += value
        }

        fun array() = values.copyOf(count)
    }
}
