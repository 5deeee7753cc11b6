package dev.edgekit.demo

import android.app.Activity
import android.os.Bundle
import android.view.View
import android.view.WindowManager
import android.widget.TextView
import dev.edgekit.demo.engine.Headless
import java.io.File

/** What `edgekit ... --on adb` starts. The extras and the answer's file: edgekit/devices/adb.py. */
class BenchmarkActivity : Activity() {
    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.headless)
        view<View>(R.id.root).keepClearOfBars()
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        if (saved == null) measure()  // turned: the run goes on
    }

    private fun measure() {
        @Suppress("DEPRECATION")
        val extras = intent.extras?.let { e -> e.keySet().associateWith { e.get(it) } }.orEmpty()
        val run = "${extras["run_id"]}"
        say(getString(R.string.headless_running, run, 0))
        var said = 0L
        val headless = Headless(
            File(filesDir, "bench"), Phone.facts(this), Phone.version(this), app.engines, { Phone.memory() }, app.clock,
        ) { done ->
            val now = System.nanoTime()
            if (now - said > 500_000_000) {
                said = now
                app.main.execute { say(getString(R.string.headless_running, run, done)) }
            }
            true
        }
        app.session.alone({ headless.run(extras) }) { result ->
            say(getString(R.string.headless_done, run, result.fold({ it.status }) { trouble(it).what }))
            if (extras["finish"] == true) finish()
        }
    }

    private fun say(text: String) {
        view<TextView>(R.id.root).text = text
    }
}
