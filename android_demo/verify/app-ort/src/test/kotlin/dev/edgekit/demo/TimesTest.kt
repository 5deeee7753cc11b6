package dev.edgekit.demo

import android.content.Intent
import android.view.View
import android.widget.CheckBox
import android.widget.LinearLayout
import android.widget.TextView
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

    private fun TimesActivity.row(model: String) = view<LinearLayout>(R.id.measured).getChildAt(app.models.names().indexOf(model))
    private fun TimesActivity.of(model: String, id: Int) = row(model).findViewById<TextView>(id)!!.text.toString()
    private fun TimesActivity.has(model: String) = row(model).findViewById<View>(R.id.result)!!.visibility == View.VISIBLE
    private fun TimesActivity.tick(model: String) = row(model).findViewById<CheckBox>(R.id.chosen)!!.performClick()

    @Test
    fun `models are compared side by side, and the report is shared`() {
        choose(TINY, threads = 2)
        val times = started().get()
        assertTrue(times.text(R.id.running), times.text(R.id.running).startsWith("Choose what to compare. The models take turns in 5 rounds"))
        assertTrue(times.row(TINY).findViewById<CheckBox>(R.id.chosen)!!.isChecked)
        assertFalse(times.shown(R.id.share) || times.has(TINY))
        times.tick(ONNX)
        times.tick(CLIPS)
        times.press(R.id.start)
        settle()
        assertEquals("Start", times.text(R.id.start))
        assertEquals("Medians of 5 rounds in which the models took turns.", times.text(R.id.running))
        for (model in listOf(TINY, ONNX, CLIPS)) {
            assertTrue(model, Regex("""4\.\d\d ms""").matches(times.of(model, R.id.median)))
            val ratio = times.of(model, R.id.ratio)
            assertTrue(ratio, ratio == "the fastest" || Regex("""1\.0\d times the fastest\n\d\.\d\d to \d\.\d\d by round""").matches(ratio))
            for (line in listOf("95 % interval of the median: 4.", "90 % are faster than 4.", "preprocessing 4.", "inferences, from 4.")) {
                assertTrue("$line in ${times.of(model, R.id.details)}", line in times.of(model, R.id.details))
            }
            val spoken = times.row(model).findViewById<View>(R.id.histogram)!!.contentDescription.toString()
            assertTrue(spoken, Regex("""Distribution of \d{3} times from 4\.\d\d to 4\.\d\d milliseconds, median 4\.\d\d""").matches(spoken))
        }
        assertEquals(1, listOf(TINY, ONNX, CLIPS).count { times.of(it, R.id.ratio) == "the fastest" })
        assertTrue("tflite 2.16.1, 2 threads, cpu" in times.of(TINY, R.id.details) && "onnxruntime 1." in times.of(ONNX, R.id.details))
        assertFalse(times.has(SEGMENTER))
        assertTrue(times.text(R.id.device), "API 36" in times.text(R.id.device) && "debuggable" in times.text(R.id.device))
        times.press(R.id.share)
        @Suppress("DEPRECATION")
        val shared = shadowOf(times).nextStartedActivity.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!!.getStringExtra(Intent.EXTRA_TEXT)!!
        assertEquals(shared, File(app.filesDir, "bench/last.json").readText())
        val reports = (Json.parse(shared) as Map<*, *>)["reports"] as List<*>
        assertEquals(List(3) { "ok" to 1L }, reports.map { it as Map<*, *> }.map { it["status"] to it["schema"] })
        for (report in reports) assertTrue((((report as Map<*, *>)["timing_ns"] as Map<*, *>)["runs"] as List<*>).size >= 200)
        assertTrue(started().get().run { has(TINY) && has(ONNX) && row(CLIPS).findViewById<CheckBox>(R.id.chosen)!!.isChecked })
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
        assertFalse(controller.get().row(TINY).findViewById<View>(R.id.chosen)!!.isEnabled)
        Thread.sleep(1000)
        settle()
        assertTrue(controller.get().text(R.id.running), Regex("$TINY: [1-9]\\d* inferences").matches(controller.get().text(R.id.running)))
        controller.get().press(R.id.start)
        worker.shutdown()
        assertTrue(worker.awaitTermination(20, TimeUnit.SECONDS))
        settle()
        assertEquals("Start", controller.get().text(R.id.start))
        assertEquals("Stopped early.", controller.get().text(R.id.running))
        assertTrue(controller.get().has(TINY) && controller.get().shown(R.id.share))
        assertEquals("", controller.get().of(TINY, R.id.ratio))
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
        assertEquals("Stopped early.", controller.get().text(R.id.running))
    }

    @Test
    fun `what goes wrong is said in its row, and stops no other`() {
        choose(TINY)
        val whole = app.models
        app.models = Models({ listOf(TINY, ONNX) }) { path ->
            if (path == "$TINY/model.tflite") java.io.ByteArrayInputStream(ByteArray(5)) else whole.files(File(path).parent!!).open(File(path).name)
        }
        val times = started().get()
        times.tick(ONNX)
        times.press(R.id.start)
        settle()
        assertTrue(times.of(TINY, R.id.details), times.of(TINY, R.id.details).startsWith("model.tflite is damaged: it ends after 5 of 13757 bytes\nTry: "))
        assertEquals("", times.of(TINY, R.id.median))
        assertTrue(Regex("""4\.\d\d ms""").matches(times.of(ONNX, R.id.median)))
        times.tick(TINY)
        times.tick(ONNX)
        assertFalse(times.view<View>(R.id.start).isEnabled)
        app.models = Models({ emptyList() }) { throw java.io.FileNotFoundException(it) }
        assertEquals("No model in this app", started().get().text(R.id.running))
    }
}
