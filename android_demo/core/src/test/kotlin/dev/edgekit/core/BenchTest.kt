package dev.edgekit.core

import java.nio.ByteBuffer
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class BenchTest {
    private val spec = ModelSpec.read(Given.tiny())
    private val golden = Golden.read(Given.tiny(), spec)
    private val picture = golden.pictures[0]
    private var now = 0L

    /** A clock that moves on by one millisecond each time it is looked at. */
    private val clock = Clock { now += 1_000_000; now }

    private fun frame(model: Model) = model.tensor(listOf(picture))

    private fun run(plan: BenchPlan, progress: (Int) -> Boolean = { true }, open: () -> Engine = { PlaybackEngine(golden) }) =
        BenchRunner(clock, progress).run(plan, spec, open, frame = ::frame)

    @Test
    fun `raw times of every part, in order`() {
        val engine = PlaybackEngine(golden)
        val result = run(BenchPlan(2, 3, 0)) { engine }
        assertNull(result.failure)
        assertFalse(result.cancelled)
        assertEquals(1_000_000L, result.timing.load)
        assertEquals(1_000_000L, result.timing.first)
        assertEquals(2, result.timing.warmup.size)
        assertArrayEquals(LongArray(3) { 1_000_000 }, result.timing.runs)
        assertEquals(3, result.timing.preprocess.size)
        assertTrue(engine.closed)
    }

    @Test
    fun `it goes on for as long as asked, and answers other tensors in between`() {
        assertEquals(1500, run(BenchPlan(0, 3, 1500)).timing.runs.size)
        var answered = 0
        val result = BenchRunner(clock).run(BenchPlan(0, 0, 0), spec, { PlaybackEngine(golden) }, { model ->
            for (tensor in golden.tensors) {
                model.values(ByteBuffer.wrap(tensor))
                answered += model.outputs().sumOf { it.remaining() }
            }
        }, ::frame)
        assertEquals(golden.tensors.size * 20, answered)
        assertEquals(0, result.timing.runs.size)
        assertNotNull(result.timing.first)
    }

    @Test
    fun `what was measured before a failure is kept`() {
        var left = 4
        val dying = object : Engine by PlaybackEngine(golden) {
            override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
                if (left-- == 0) throw EngineFailed("the accelerator went away")
            }
        }
        val result = run(BenchPlan(1, 10, 0)) { dying }
        assertEquals("runs", result.failure?.stage)
        assertEquals(2, result.timing.runs.size)
        assertEquals("load", run(BenchPlan()) { throw UnsatisfiedLinkError("no library") }.failure?.stage)
        val bad = BenchRunner(clock).run(BenchPlan(), spec, { PlaybackEngine(golden) }) { it.preprocessor.argb(IntArray(0), 1, 1) }
        assertEquals("preprocess", bad.failure?.stage)
        val answers = BenchRunner(clock).run(BenchPlan(), spec, { PlaybackEngine(golden) }, { throw OutOfMemoryError() }, ::frame)
        assertEquals("answers", answers.failure?.stage)
    }

    @Test
    fun `a person can end it`() {
        val result = run(BenchPlan(1, 10, 0), { it < 4 })
        assertTrue(result.cancelled)
        assertEquals(4, result.timing.runs.size)
        assertEquals(0, run(BenchPlan(5, 10, 0), { false }).timing.warmup.size)
    }

    @Test
    fun `a plan of nothing is refused`() {
        for (plan in listOf({ BenchPlan(-1) }, { BenchPlan(runs = -1) }, { BenchPlan(minMillis = -1) })) thrown<IllegalArgumentException> { plan() }
    }

    private val phone = DeviceFacts("Maker", "Phone 1", null, "arm64-v8a", 35, 8, 80, null, false)

    private fun report(result: BenchResult, spec: ModelSpec? = this.spec) = BenchReport(
        "run-1", phone, AppFacts("0.1", "tflite", "2.16.1"), spec, mapOf("threads" to 4), mapOf("threads" to "2"), result,
        MemoryFacts(1, 2), listOf(OutputFacts("scores", "00ff")),
        GoldenReport(2, 2, listOf(Distance("scores", 0.1, 0.2)), listOf(1.0, 1.0), listOf(0.5f, 0.9f)),
    )

    @Test
    @Suppress("UNCHECKED_CAST")
    fun `the report is the JSON that adb fetches`() {
        val json = Json.parse(report(run(BenchPlan(1, 2, 0))).toJson()) as Map<String, Any?>
        assertEquals(listOf(1L, "run-1", "ok", null), listOf("schema", "run_id", "status", "error").map { json[it] })
        assertEquals(mapOf("threads" to 4L), json["config"])
        assertEquals(mapOf("threads" to "2"), json["applied"])
        val timing = json["timing_ns"] as Map<String, Any?>
        assertEquals(listOf(1_000_000L, 1_000_000L), timing["runs"])
        assertEquals(setOf("load", "first", "warmup", "runs", "preprocess"), timing.keys)
        assertEquals(null, (json["device"] as Map<String, Any?>)["soc"])
        assertEquals("45d0e5ff70344de4cbcece9b3f77e30c16a89bf21a13b35098acdc3385be9e1d", (json["model"] as Map<String, Any?>)["sha256"])
        assertEquals(listOf(mapOf("name" to "scores", "sha256" to "00ff")), json["outputs"])
        assertEquals(mapOf("pss_kb" to 1L, "native_heap_kb" to 2L), json["memory"])
        assertEquals(true, (json["golden"] as Map<String, Any?>)["passed"])
    }

    @Test
    @Suppress("UNCHECKED_CAST")
    fun `a report of a failure says where, and what was not reached is null`() {
        val failed = run(BenchPlan()) { throw EngineFailed("the file was refused") }
        val json = Json.parse(report(failed, spec = null).toJson()) as Map<String, Any?>
        assertEquals(listOf("error", null, null), listOf("status", "model", "timing_ns").map { json[it] })
        val error = json["error"] as Map<String, Any?>
        assertEquals(listOf("load", "EngineFailed", "the file was refused"), listOf("stage", "type", "message").map { error[it] })
        assertNotNull(error["hint"])
        val dumb = report(run(BenchPlan()) { throw OutOfMemoryError() }).toJson()
        assertTrue(dumb, """"type":"OutOfMemoryError","message":"","hint":null""" in dumb)
        val bare = BenchReport("r", phone, AppFacts("0.1", "tflite", ""), spec, emptyMap(), emptyMap(), run(BenchPlan(), { false }))
        assertTrue(bare.toJson(), """"status":"cancelled"""" in bare.toJson())
    }

    @Test
    fun `percentiles only where there are samples enough`() {
        assertNull(Summary(LongArray(0)).p50)
        assertNull(Summary(LongArray(0)).min)
        val few = Summary(longArrayOf(30, 10, 20, 40))
        assertEquals(25.0, few.p50!!, 0.0)
        assertEquals(listOf(10L, 40L, null, null, null), listOf(few.min, few.max, few.p90, few.p99, few.medianLow))
        val many = Summary(LongArray(662) { 662L - it })
        assertEquals(331.5, many.p50!!, 1e-9)
        assertEquals(595.9, many.p90!!, 1e-9)  // numpy.percentile
        assertEquals(655.39, many.p99!!, 1e-9)
        assertNull(Summary(LongArray(661)).p99)
        assertNull(Summary(LongArray(63)).p90)
    }

    @Test
    fun `the interval of the median is that of order statistics`() {
        // Hollander and Wolfe, table A.2: the 95 % intervals of 6, 10 and 50 numbers
        for ((n, rank) in listOf(5 to 0, 6 to 1, 10 to 2, 50 to 18)) {
            val summary = Summary(LongArray(n) { it + 1L })
            assertEquals(if (rank > 0) rank.toLong() else null, summary.medianLow)
            assertEquals(if (rank > 0) n + 1L - rank else null, summary.medianHigh)
        }
        assertTrue(Summary(LongArray(5000) { it.toLong() }).medianLow!! in 2420L..2440L)
    }
}
