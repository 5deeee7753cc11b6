package dev.edgekit.core

import java.nio.ByteBuffer
import java.security.MessageDigest
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Test

/** Which frames a model of clips sees, and their pixels, as Python makes them (android_demo/verify/vectors.py). */
class ClipTest {
    private val vectors = Npz.read("clips.npz", javaClass.getResourceAsStream("/vectors/clips.npz")!!)
    private val wide = Npz.read("inputs.npz", javaClass.getResourceAsStream("/vectors/inputs.npz")!!).getValue("image_5").let { Golden.picture(it) }

    private fun spec(frames: Int, rate: Double, planes: Boolean): ModelSpec {
        val (shape, layout, type) = if (planes) Triple("[1, 3, $frames, 24, 32]", "NCTHW", "float32") else Triple("[1, $frames, 24, 32, 3]", "NTHWC", "uint8")
        return ModelSpec.parse(
            Given.third("""{"name": "raw"}""", listOf(Given.port("o", "[1, 2]", "")), input = Given.port("clip", shape, layout, type))
                .replace("\"schema\": 3", "\"schema\": 4").replace("[8, 12]", "[24, 32]").replace("squash", "center").replace("\"folded\": true", "\"folded\": ${!planes}")
                .replace("\"crop_pct\": 1.0", "\"frames\": $frames, \"rate\": $rate, \"crop_pct\": 0.9")
                .replace("\"mean\": [0.5, 0.5, 0.5], \"std\": [0.5, 0.5, 0.5]", "\"mean\": [0.5, 0.4, 0.3], \"std\": [0.2, 0.3, 0.4]"),
            "",
        )
    }

    private fun frame(i: Int): Picture {
        val (top, left) = Pair(3 * i % 250, 5 * i % 400)
        return Picture(90, 60, IntArray(5400) { wide.argb[(top + it / 90) * wide.width + left + it % 90] })
    }

    @Test
    fun `a camera's frames become the windows of Python`() {
        val (cameras, taken) = vectors.getValue("nanos").shape
        var moment = 0
        for (c in 0 until cameras) {
            val (frames, rate) = (0..1).map { vectors.getValue("ways").data.getDouble(16 * c + 8 * it) }
            val seen = listOf(false, true).map { planes -> spec(frames.toInt(), rate, planes).let { Preprocessor(it) to Clip(it) } }
            val count = vectors.getValue("counts").data.getInt(4 * c)
            var passed = 0
            for (i in 0 until taken) {
                val nanos = vectors.getValue("nanos").data.getLong(8 * (c * taken + i))
                for ((way, pair) in seen.withIndex()) {
                    val (preprocessor, clip) = pair
                    val news = clip.add(preprocessor.argb(frame(i)), nanos)
                    if (way == 0) passed += news
                    val what = "camera $c, frame $i, way $way"
                    assertEquals(what, minOf(passed, frames.toInt()), clip.collected)
                    if (news > 0 && clip.isFull) assertEquals(what, line(2 * (moment + passed - 1) + way), digest(clip.tensor()))
                }
            }
            assertEquals("camera $c", count, passed)
            moment += count
        }
        assertEquals(vectors.getValue("shown").size, moment)
    }

    @Test
    fun `the windows of a video are Python's`() {
        val spec = spec(8, 8.0, planes = false)
        val (videos, most) = vectors.getValue("starts").shape
        for (i in 0 until videos) for (seconds in listOf((i + 8) / 8.0, (i + 7.5) / 8.0)) {
            val windows = Windows(spec, seconds)
            assertEquals((0 until most).map { vectors.getValue("starts").data.getInt(4 * (most * i + it)) }.filter { it >= 0 }, windows.starts)
            assertEquals(windows.starts.map { it + 7 }, windows.moments.filter { windows.end(it) })
            assertEquals(windows.starts.flatMap { (it..it + 7) }.toSortedSet().toList(), windows.moments)
        }
        val short = thrown<BadRequest> { Windows(spec, 0.5) }
        assertEquals("the video lasts 0.50 s, and the model sees 1.0 s at once (8 frames, 8.00 a second)", short.message)
    }

    private fun line(i: Int) = vectors.getValue("windows").data.let { data -> (0 until 32).map { data.get(32 * i + it) } }

    private fun digest(of: ByteBuffer) = MessageDigest.getInstance("SHA-256").digest(ByteArray(of.remaining()).also { of.duplicate().get(it) }).asList()

    @Test
    fun `a camera that stood still, or another one, begins anew`() {
        val clip = Clip(spec(4, 8.0, planes = false))
        val frame = ByteBuffer.allocate(24 * 32 * 3)
        fun at(millis: Long) = clip.add(frame, millis * 1_000_000)
        assertEquals(listOf(0, 1, 1, 1, 1), (0..4).map { at(125L * it) })
        assertEquals(4, clip.collected)
        assertEquals(8, at(1500))
        assertEquals(0, at(3300))
        assertEquals(0, clip.collected)
        assertEquals(listOf(0, 2), listOf(at(3350), at(3450)).let { listOf(it[0] - 1, it[1] + 1) })
        clip.forget()
        assertEquals(listOf(0, 0), listOf(at(10), clip.collected))
        assertEquals("0 of 4 frames", runCatching { clip.tensor() }.exceptionOrNull()!!.message)
    }

    @Test
    fun `windows are averaged as Python averages them`() {
        val scores = vectors.getValue("scores")
        val all = scores.floats()
        val (_, windows, classes) = scores.shape
        val labels = List(classes) { "$it" }
        val ways = listOf(
            Classification(labels, Scores.LOGITS, false, 0.5f), Classification(labels, Scores.LOG_PROBABILITIES, false, 0.5f),
            Classification(labels, Scores.PROBABILITIES, false, 0.5f), Classification(labels, Scores.LOGITS, true, 0.5f), Embedding(0, true),
        )
        for ((way, task) in ways.withIndex()) {
            val given = (0 until windows).map { w -> listOf(FloatArray(classes) { all[(way * windows + w) * classes + it] }) }
            val expected = FloatArray(classes) { vectors.getValue("means").data.getFloat(4 * (way * classes + it)) }
            assertArrayEquals("$way", expected, task.mean(given)[0], 1e-5f)
            assertArrayEquals("$way", given[0][0], task.mean(given.take(1))[0], if (way == 4) 9f else 0f)  // an embedding gets length 1
        }
        assertArrayEquals(floatArrayOf(2f, 3f), Raw(emptyList()).mean(listOf(listOf(floatArrayOf(1f, 2f)), listOf(floatArrayOf(3f, 4f))))[0], 0f)
    }

    @Test
    fun `an answer is steadied over the length of one window`() {
        val smoothing = Smoothing(spec(4, 8.0, planes = false))  // half a second
        fun add(number: Float, millis: Long) = smoothing.add(listOf(floatArrayOf(number, 0f)), millis * 1_000_000)[0][0]
        assertEquals(listOf(1f, 2f, 3f), listOf(add(1f, 0), add(3f, 250), add(5f, 400)))
        assertEquals(3, smoothing.windows)
        assertEquals(4f, add(4f, 500), 0f)  // the first has gone
        assertEquals(8f, add(8f, 9000), 0f)
        assertEquals(1f, add(1f, 100), 0f)  // another clock
        smoothing.forget()
        assertEquals(0, smoothing.windows)
    }

    @Test
    fun `a model of pictures has no clip`() {
        val spec = ModelSpec.read(Given.tiny())
        assertFalse(spec.preprocess.isClip)
        assertEquals("2 frames for 1", runCatching { Model(spec, PlaybackEngine(Golden.read(Given.tiny(), spec))).tensor(List(2) { frame(0) }) }.exceptionOrNull()!!.message)
    }
}
