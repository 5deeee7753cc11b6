package dev.edgekit.demo

import android.app.Activity
import android.app.Application
import android.os.Handler
import android.os.Looper
import android.system.Os
import dev.edgekit.core.Clock
import dev.edgekit.core.Detection
import dev.edgekit.demo.engine.ENGINES
import dev.edgekit.demo.engine.EngineKind
import java.util.concurrent.Executor
import java.util.concurrent.Executors

/** What lives as long as the process. Tests put other parts in place before the first screen. */
class DemoApp : Application() {
    lateinit var models: Models
    var engines: List<EngineKind> = ENGINES
    var clock = Clock { System.nanoTime() }
    var worker: Executor = Executors.newSingleThreadExecutor { Thread(it, "models") }
    val main = Handler(Looper.getMainLooper()).let { handler -> Executor { handler.post(it) } }
    val settings by lazy { Settings(getSharedPreferences("choice", MODE_PRIVATE), ::first) }
    val session by lazy { Session(this, Phone.abi) }
    val times by lazy { Times(this) }
    val album by lazy { Album(java.io.File(filesDir, "album")) }

    /** One that draws boxes, which say at once what the app does. */
    private fun first(names: List<String>): String =
        names.find { name -> runCatching { models.spec(name).task is Detection }.getOrDefault(false) } ?: names.first()

    override fun onCreate() {
        super.onCreate()
        Os.setenv("ORT_DISABLE_TELEMETRY", "1", true)  // before ONNX Runtime is loaded, or it writes an id and tells its maker
        models = Models(assets)
    }
}

val Activity.app get() = application as DemoApp
