package dev.edgekit.demo

import android.content.Intent
import android.view.View
import dev.edgekit.core.Clock
import dev.edgekit.core.Json
import java.io.File
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf

class TimesTest : AppTest() {
    private fun started() = Robolectric.buildActivity(TimesActivity::class.java).setup().also { settle() }

    @Test
    fun `a benchmark shows its distribution, and shares its raw times`() {
        choose(TINY, threads = 2)
        val times = started().get()
        assertTrue(times.text(R.id.running).startsWith("Times $TINY with the first example"))
        assertFalse(times.shown(R.id.result) || times.shown(R.id.share))
        times.press(R.id.start)
        settle()
        assertTrue(times.shown(R.id.result))
        assertEquals("Start", times.text(R.id.start))
        assertTrue(times.text(R.id.running), times.text(R.id.running).startsWith("tflite 2.16.1, 2 threads, cpu"))
        assertTrue(times.text(R.id.median), Regex("""4\.\d\d ms""").matches(times.text(R.id.median)))
        for (line in listOf("95 % interval of the median: 4.", "90 % are faster than 4.", "99 % are faster than 4.", "preprocessing 4.", "API 36")) {
            assertTrue(line, line in times.text(R.id.details))
        }
        val spoken = times.view<View>(R.id.histogram).contentDescription.toString()
        assertTrue(spoken, Regex("""Distribution of \d{3} times from 4\.\d\d to 4\.\d\d milliseconds, median 4\.\d\d""").matches(spoken))
        times.press(R.id.share)
        @Suppress("DEPRECATION")
        val shared = shadowOf(times).nextStartedActivity.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!!.getStringExtra(Intent.EXTRA_TEXT)!!
        assertEquals(shared, File(app.filesDir, "bench/last.json").readText())
        val report = Json.parse(shared) as Map<*, *>
        assertEquals(listOf("ok", 1L), listOf(report["status"], report["schema"]))
        assertTrue(((report["timing_ns"] as Map<*, *>)["runs"] as List<*>).size >= 200)
    }

    @Test
    fun `turned, it goes on, and stopped, what was measured is kept`() {
        choose(TINY)
        val worker = Executors.newSingleThreadExecutor()
        app.worker = worker
        app.clock = Clock { 0L }  // never long enough: it runs until it is stopped
        val controller = started()
        controller.get().press(R.id.start)
        assertEquals("Stop", controller.get().text(R.id.start))
        controller.recreate()
        assertEquals("Stop", controller.get().text(R.id.start))
        Thread.sleep(1000)
        settle()
        assertTrue(controller.get().text(R.id.running), Regex("$TINY: [1-9]\\d* inferences").matches(controller.get().text(R.id.running)))
        controller.get().press(R.id.start)
        worker.shutdown()
        assertTrue(worker.awaitTermination(20, TimeUnit.SECONDS))
        settle()
        assertEquals("Start", controller.get().text(R.id.start))
        assertTrue(controller.get().text(R.id.running), controller.get().text(R.id.running).endsWith("Stopped early."))
        assertTrue(controller.get().shown(R.id.result) && controller.get().shown(R.id.share))
    }

    @Test
    fun `times are shown for the model they are of alone`() {
        choose(TINY)
        started().get().press(R.id.start)
        settle()
        choose(ONNX)
        val other = started().get()
        assertTrue(other.text(R.id.running), other.text(R.id.running).startsWith("Times $ONNX with the first example"))
        assertFalse(other.shown(R.id.result) || other.shown(R.id.share))
        choose(TINY)
        assertTrue(started().get().shown(R.id.result))
    }

    @Test
    fun `nothing is timed behind another app`() {
        choose(TINY)
        val worker = Executors.newSingleThreadExecutor()
        app.worker = worker
        app.clock = Clock { 0L }
        val controller = started()
        controller.get().press(R.id.start)
        controller.pause().stop()
        worker.shutdown()
        assertTrue(worker.awaitTermination(20, TimeUnit.SECONDS))
        controller.restart().start().resume()
        settle()
        assertTrue(controller.get().text(R.id.running), controller.get().text(R.id.running).endsWith("Stopped early."))
    }

    @Test
    fun `what goes wrong is said`() {
        carry(TINY, "model.tflite" to { it.copyOf(5) })
        val times = started().get()
        times.press(R.id.start)
        settle()
        assertTrue(times.text(R.id.running), times.text(R.id.running).startsWith("model.tflite is damaged: it ends after 5 of 13757 bytes\nTry: "))
        assertFalse(times.shown(R.id.result))
        app.models = Models({ emptyList() }) { throw java.io.FileNotFoundException(it) }
        assertFalse(started().get().view<View>(R.id.start).isEnabled)
    }
}
