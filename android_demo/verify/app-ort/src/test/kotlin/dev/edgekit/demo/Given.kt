package dev.edgekit.demo

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.hardware.camera2.CameraCharacteristics
import android.net.Uri
import android.os.Looper
import android.util.Size
import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.RadioGroup
import android.widget.TextView
import dev.edgekit.core.Clock
import dev.edgekit.core.Golden
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.Picture
import dev.edgekit.demo.engine.Native
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.InputStream
import java.util.concurrent.Executor
import org.junit.Assert.assertEquals
import org.junit.Before
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

const val TINY = "tiny-tflite-int8"
const val ONNX = "tiny-onnx-int8"
const val SEGMENTER = "tiny3-segmentation-tflite-int8"
const val DETECTOR = "tiny3-detection-tflite-fp32"
const val EMBEDDER = "tiny3-embedding-onnx"
const val RAW = "depth-onnx-fp32"
const val CLIPS = "clips-tflite-fp32"
const val REAL = "mobilenetv2-tflite-int8-static"
const val PHOTOS = "efficientnet_lite0-tflite-fp32"
const val CLOTHES = "unet_micro-tflite-fp32"
const val ITEMS = "yolox_micro-tflite-fp32"

/** The app with its own artifacts and runtimes; the worker is the test's thread, and the clock ticks evenly. */
@RunWith(AppRunner::class)
abstract class AppTest {
    protected val app get() = RuntimeEnvironment.getApplication() as DemoApp

    @Before
    fun parts() {
        Native
        app.worker = Executor { it.run() }
        carried { '/' !in it }  // Robolectric lists the files in folders too
        var now = 0L
        var tick = 0L
        app.clock = Clock { now.also { tick = (tick * 31 + 7) % 101; now += 4_000_000 + 9_000 * tick } }
    }

    /** What was posted to the main thread runs. */
    protected fun settle() = shadowOf(Looper.getMainLooper()).idle()

    protected fun choose(model: String, threads: Int = 1) = app.settings.keep(Choice(model, threads, "cpu"))

    /** The app carries those of its artifacts. */
    protected fun carried(chosen: (String) -> Boolean) {
        app.models = Models({ app.assets.list("models").orEmpty().filter(chosen) }) { app.assets.open("models/$it") }
    }

    /** The app carries one artifact, some of whose files are others. */
    protected fun carry(model: String, vararg changed: Pair<String, (ByteArray) -> ByteArray?>) {
        app.models = Models({ listOf(model) }) { path ->
            val bytes = app.assets.open("models/$path").readBytes()
            val change = changed.toMap()[File(path).name]
            ByteArrayInputStream(if (change == null) bytes else change(bytes) ?: throw java.io.FileNotFoundException(path))
        }
    }

    protected fun manifest(change: (String) -> String): Pair<String, (ByteArray) -> ByteArray?> =
        "manifest.json" to { bytes -> sealed(change(String(bytes))).toByteArray() }

    /** A changed manifest with its own checksum, where its schema has one. */
    private fun sealed(text: String): String {
        val open = text.replace(Regex("(\"checksum\": \")[0-9a-f]{64}")) { it.groupValues[1] + "0".repeat(64) }
        val digest = java.security.MessageDigest.getInstance("SHA-256").digest(open.toByteArray()).joinToString("") { "%02x".format(it) }
        return open.replace("\"checksum\": \"" + "0".repeat(64), "\"checksum\": \"$digest")
    }

    protected fun golden(model: String) = app.models.files(model).let { Golden.read(it, ModelSpec.read(it)) }

    /** Of the pictures that calibrate ITEMS, 128 pixels each; the second: a top, a bag and a dress before a white wall. */
    protected fun items(column: Int = 1, row: Int = 0): Picture {
        val sheet = File(root, "edgekit/models/bundled/yolox_micro.webp").readBytes().let { BitmapFactory.decodeByteArray(it, 0, it.size) }
        return Picture(128, 128, IntArray(128 * 128).also { sheet.getPixels(it, 0, 128, 128 * column, 128 * row, 128, 128) })
    }

    /** Red above, blue below, in a black frame, twice as wide as high. */
    protected fun colours(): Picture {
        val (width, height) = 240 to 120
        val argb = IntArray(width * height) { i ->
            val (x, y) = i % width to i / width
            val inside = x in 20 until width - 20 && y in 20 until height - 20
            (255 shl 24) or if (!inside) 0 else if (y < height / 2) 0xFF0000 else 0x0000FF
        }
        return Picture(width, height, argb)
    }

    /** One of scikit-image's photographs, which are free of rights (CC0, or NASA's). */
    protected fun photograph(name: String): Picture {
        val file = File(System.getProperty("edgekit.photographs"), "$name.${if (name == "rocket") "jpg" else "png"}")
        val bitmap = BitmapFactory.decodeFile(file.path)
        return Picture(bitmap.width, bitmap.height, IntArray(bitmap.width * bitmap.height).also { bitmap.getPixels(it, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height) })
    }

    /** A camera's frame of a picture, upright; its width and height are even, or lose a line. */
    protected fun yuv(picture: Picture): dev.edgekit.core.YuvFrame {
        val (w, h) = Pair(picture.width / 2 * 2, picture.height / 2 * 2)
        fun mixed(x: Int, y: Int, red: Double, green: Double, blue: Double) =
            picture.argb[y * picture.width + x].let { red * (it shr 16 and 255) + green * (it shr 8 and 255) + blue * (it and 255) }
        fun plane(count: Int, of: (Int) -> Double) = java.nio.ByteBuffer.allocateDirect(count).apply { for (i in 0 until count) put(of(i).toInt().coerceIn(0, 255).toByte()) }
        val luma = plane(w * h) { i -> 0.5 + mixed(i % w, i / w, 0.299, 0.587, 0.114) }
        fun chroma(red: Double, green: Double, blue: Double) =
            plane(w * h / 4) { i -> 128.5 + mixed(i % (w / 2) * 2, i / (w / 2) * 2, red, green, blue) }
        return dev.edgekit.core.YuvFrame(w, h, 0, luma, w, chroma(-0.168736, -0.331264, 0.5), chroma(0.5, -0.418688, -0.081312), w / 2, 1)
    }

    protected fun someCamera(facing: Int, orientation: Int): CameraCharacteristics {
        val facts = org.robolectric.shadows.ShadowCameraCharacteristics.newCameraCharacteristics()
        val shadow = org.robolectric.shadow.api.Shadow.extract<org.robolectric.shadows.ShadowCameraCharacteristics>(facts)
        shadow.set(CameraCharacteristics.LENS_FACING, facing)
        shadow.set(CameraCharacteristics.SENSOR_ORIENTATION, orientation)
        val map = org.robolectric.shadows.StreamConfigurationMapBuilder.newBuilder()
        for (size in listOf(Size(4000, 3000), Size(1280, 720), Size(320, 240))) map.addOutputSize(android.graphics.ImageFormat.YUV_420_888, size)
        shadow.set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, map.build())
        return facts
    }

    protected fun png(picture: Picture): ByteArray {
        val bitmap = Bitmap.createBitmap(picture.argb, picture.width, picture.height, Bitmap.Config.ARGB_8888)
        return ByteArrayOutputStream().also { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }.toByteArray()
    }

    /** A photo that a provider of another app has. */
    protected fun photo(open: () -> InputStream): Uri {
        val uri = Uri.parse("content://photos/${photos++}")
        shadowOf(app.contentResolver).registerInputStreamSupplier(uri) { open() }
        return uri
    }

    protected fun resource(name: String): ByteArray = AppTest::class.java.getResourceAsStream("/photos/$name")!!.readBytes()

    protected companion object {
        val root = generateSequence(File("").absoluteFile) { it.parentFile }.first { File(it, "tests/golden").isDirectory }
        private var photos = 0
    }
}

fun Activity.text(id: Int) = view<TextView>(id).text.toString()
fun Activity.shown(id: Int) = view<View>(id).visibility == View.VISIBLE
fun Activity.press(id: Int) = assertEquals(true, view<Button>(id).performClick())
fun Activity.check(id: Int, place: Int) {
    view<RadioGroup>(id).getChildAt(place).performClick()
}

/** Labels as they are listed, and what stands beside them. */
fun Activity.answers(): List<String> = listed(R.id.label)
fun Activity.figures(): List<String> = listed(R.id.percent)

private fun Activity.listed(id: Int) = view<LinearLayout>(R.id.answers).run { (0 until childCount).map { getChildAt(it).findViewById<TextView>(id)!!.text.toString() } }

fun Activity.notice() = if (shown(R.id.notice)) text(R.id.notice_title) + "\n" + text(R.id.notice_text) else ""

/** What lies over the picture: its pixels as they are drawn, row by row. */
fun Activity.overlay(id: Int = R.id.overlay): IntArray = view<OverlayView>(id).run {
    val bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).also { draw(android.graphics.Canvas(it)) }
    IntArray(width * height).also { bitmap.getPixels(it, 0, width, 0, 0, width, height) }
}
