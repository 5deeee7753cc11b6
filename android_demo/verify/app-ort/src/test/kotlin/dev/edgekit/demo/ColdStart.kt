package dev.edgekit.demo

import android.Manifest.permission.CAMERA
import android.app.Activity
import android.app.Application
import android.content.ContextWrapper
import android.graphics.ImageFormat
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.os.Looper
import android.util.Size
import android.widget.LinearLayout
import dev.edgekit.core.Clock
import dev.edgekit.core.Engine
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.RuntimeVersion
import dev.edgekit.core.YuvFrame
import dev.edgekit.demo.engine.EngineKind
import dev.edgekit.demo.engine.EngineOptions
import dev.edgekit.demo.engine.Native
import dev.edgekit.demo.engine.TfliteEngine
import java.io.File
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.util.concurrent.Executor
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.StreamConfigurationMapBuilder

/**
 * CPU time from the app's start to the first answer on its screen, in a JVM that has shown nothing but an empty activity, for
 * benchmarks/android_cold_start.py, which starts one for each: not a test, and its name is none. edgekit.cold.models is a folder of
 * artifacts that the app carries; edgekit.cold.way is `camera` (allowed, and a frame comes) or `example` (the first launch).
 */
@Config(application = Application::class, sdk = [36])  // DemoApp is made, and timed, by hand; an older checkout's is the same Android
@RunWith(AppRunner::class)
class ColdStart {
    private class Mark(val stage: String, val process: Long, val thread: Long)

    private val marks = ArrayList<Mark>()
    private val process = ManagementFactory.getOperatingSystemMXBean() as com.sun.management.OperatingSystemMXBean
    private val threads = ManagementFactory.getThreadMXBean()

    /** `stage` begins. */
    private fun mark(stage: String) {
        if (marks.lastOrNull()?.stage != stage) marks += Mark(stage, process.processCpuTime, threads.currentThreadCpuTime)
    }

    private val opening = object : EngineKind() {
        override val name = TfliteEngine.name
        override val target = TfliteEngine.target
        override val version: RuntimeVersion get() = mark("runtime").let { TfliteEngine.version }

        override fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine =
            TfliteEngine.open(spec, model, options).also { mark("golden examples") }
    }

    @Test
    fun start() {
        val folder = File(System.getProperty("edgekit.cold.models"))
        val live = System.getProperty("edgekit.cold.way") == "camera"
        Native
        Robolectric.buildActivity(Activity::class.java).setup()
        settle()
        val frame = frame()
        if (live) {
            shadowOf(RuntimeEnvironment.getApplication()).grantPermissions(CAMERA)
            val manager = RuntimeEnvironment.getApplication().getSystemService(CameraManager::class.java)!!
            shadowOf(manager).addCamera("0", camera())
        }
        mark("screen")
        val started = DemoApp()
        ContextWrapper::class.java.getDeclaredMethod("attachBaseContext", android.content.Context::class.java).apply { isAccessible = true }
            .invoke(started, RuntimeEnvironment.getApplication().baseContext)
        started.onCreate()
        started.worker = Executor { it.run() }
        started.engines = listOf(opening)
        started.models = Models({ folder.list()!!.asList() }) { mark(File(it).name); File(folder, it).inputStream() }
        started.clock = Clock { mark("answer").let { System.nanoTime() } }
        RuntimeEnvironment.application = started
        val main = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        settle()
        if (live) {
            mark("answer")
            main.look(frame)
            settle()
        }
        mark("done")
        assertTrue("an answer is shown", main.view<LinearLayout>(R.id.answers).childCount > 0)
        for (mark in marks) println("COLD ${mark.stage.replace(' ', '_')} ${mark.process} ${mark.thread}")
    }

    private fun settle() = shadowOf(Looper.getMainLooper()).idle()

    private fun camera(): CameraCharacteristics {
        val facts = ShadowCameraCharacteristics.newCameraCharacteristics()
        val shadow = Shadow.extract<ShadowCameraCharacteristics>(facts)
        shadow.set(CameraCharacteristics.LENS_FACING, CameraCharacteristics.LENS_FACING_BACK)
        shadow.set(CameraCharacteristics.SENSOR_ORIENTATION, 90)
        val map = StreamConfigurationMapBuilder.newBuilder().addOutputSize(ImageFormat.YUV_420_888, Size(WIDTH, HEIGHT)).build()
        shadow.set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, map)
        return facts
    }

    /** Grey, brighter to the right. */
    private fun frame(): YuvFrame {
        fun plane(width: Int, height: Int, of: (Int) -> Int) =
            ByteBuffer.allocateDirect(width * height).apply { for (i in 0 until capacity()) put(i, of(i % width).toByte()) }
        val chroma = plane(WIDTH / 2, HEIGHT / 2) { 128 }
        return YuvFrame(WIDTH, HEIGHT, 90, plane(WIDTH, HEIGHT) { it * 255 / WIDTH }, WIDTH, chroma, chroma.duplicate(), WIDTH / 2, 1)
    }

    private companion object {
        const val WIDTH = 1280
        const val HEIGHT = 720
    }
}
