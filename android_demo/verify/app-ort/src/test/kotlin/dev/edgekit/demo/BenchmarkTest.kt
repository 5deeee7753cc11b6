package dev.edgekit.demo

import android.content.Intent
import dev.edgekit.core.Json
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric

/** The activity that adb starts; HeadlessTest and tests/test_adb.py try what it does. */
class BenchmarkTest : AppTest() {
    private fun started(vararg more: Pair<String, String>): BenchmarkActivity {
        val folder = File(app.filesDir, TINY).apply { mkdirs() }
        for (name in app.assets.list("models/$TINY")!!) File(folder, name).writeBytes(app.assets.open("models/$TINY/$name").readBytes())
        val intent = Intent().putExtra("run_id", "R-1").putExtra("model", "$folder/model.tflite").putExtra("spec", "$folder/manifest.json")
            .putExtra("engine", "tflite").putExtra("threads", 2).putExtra("runs", 3).putExtra("min_ms", 0L).putExtra("finish", true)
        more.forEach { (name, value) -> intent.putExtra(name, value) }
        return Robolectric.buildActivity(BenchmarkActivity::class.java, intent).setup().get().also { settle() }
    }

    @Test
    fun `extras in, an answer out, and it is gone`() {
        assertTrue(started().isFinishing)
        val said = Json.parse(File(app.filesDir, "bench/R-1.json").readText()) as Map<*, *>
        assertEquals(listOf("ok", 36L), listOf(said["status"], (said["device"] as Map<*, *>)["sdk"]))
        assertEquals("2.16.1", (said["app"] as Map<*, *>)["engine_version"])
    }

    @Test
    fun `nonsense is answered, or shown`() {
        started("engine" to "openvino")
        val said = Json.parse(File(app.filesDir, "bench/R-1.json").readText()) as Map<*, *>
        assertEquals("this app has no engine openvino", (said["error"] as Map<*, *>)["message"])
        assertEquals("Run ../x: run_id is ../x", started("run_id" to "../x").text(R.id.root))
    }
}
