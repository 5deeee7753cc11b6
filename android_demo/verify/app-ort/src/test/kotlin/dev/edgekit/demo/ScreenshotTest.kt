package dev.edgekit.demo

import android.app.Activity
import android.content.Intent
import android.content.res.Configuration
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.view.View
import android.view.ViewGroup
import android.widget.ImageView
import android.widget.TextView
import dev.edgekit.core.Clock
import dev.edgekit.core.Engine
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.Picture
import dev.edgekit.core.Segmentation
import dev.edgekit.demo.engine.EngineKind
import dev.edgekit.demo.engine.EngineOptions
import java.io.File
import java.nio.ByteBuffer
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** An engine of which is told what it opens, and that answers once: times are the test clock's. */
private class Told(private val kind: EngineKind, private val told: (ModelSpec) -> Unit) : EngineKind() {
    override val name = kind.name
    override val target = kind.target
    override val accelerators = kind.accelerators
    override val version get() = kind.version

    override fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine {
        told(spec)
        val real = kind.open(spec, model, options)
        var ran = false
        return object : Engine by real {
            override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
                if (!ran) real.run(input, outputs)
                ran = true
            }
        }
    }
}

/** The share of pixels that may differ: a digit of an answer does from CPU to CPU, and WebP blurs where colours meet. */
private const val DIFFERS = 0.02

/**
 * The screens as they look, beside the pictures in android_demo/screenshots. `-Dedgekit.screenshots=write` writes those anew;
 * what differs is written to target/screenshots.
 */
@Config(qualifiers = "w412dp-h892dp-hdpi")
class ScreenshotTest : AppTest() {
    private fun photo(picture: Picture): Activity {
        val uri = photo { png(picture).inputStream() }
        val intent = Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, uri)
        return Robolectric.buildActivity(PhotoActivity::class.java, intent).setup().get().also { settle() }
    }

    /** By the test's clock the segmenter takes 2.4 times as long, and few enough inferences are long enough. */
    private fun compared(): Activity = Robolectric.buildActivity(TimesActivity::class.java).setup().get().also {
        var (now, tick) = Pair(0L, 0L)
        var slow = false
        app.engines = app.engines.map { kind -> Told(kind) { slow = it.task is Segmentation } }
        app.clock = Clock { now.also { tick = (tick * 31 + 7) % 101; now += (7_000_000 + 16_000 * tick) * (if (slow) 12 else 5) / 5 } }
        val rows = it.view<android.widget.LinearLayout>(R.id.measured)
        rows.getChildAt(app.models.names().indexOf(CLOTHES)).findViewById<View>(R.id.chosen)!!.performClick()
        it.press(R.id.start)
        settle()
    }

    private fun cardOf(): Activity = Robolectric.buildActivity(CardActivity::class.java).setup().get().also { settle() }

    private fun sheet(): Activity = Robolectric.buildActivity(ControlsActivity::class.java).setup().get().also { settle() }

    /** No camera gives a picture here: it lies below the preview, and the frame that is looked at is the same. */
    private fun live(picture: Picture): Activity {
        shadowOf(app).grantPermissions(android.Manifest.permission.CAMERA)
        shadowOf(app.getSystemService(CameraManager::class.java)!!).addCamera("0", someCamera(CameraCharacteristics.LENS_FACING_BACK, 90))
        val main = main() as MainActivity
        val seen = ImageView(main).apply {
            scaleType = ImageView.ScaleType.CENTER_CROP
            setImageBitmap(Bitmap.createBitmap(picture.argb, picture.width, picture.height, Bitmap.Config.ARGB_8888))
        }
        (main.view<View>(R.id.preview).parent as ViewGroup).addView(seen, 0, ViewGroup.LayoutParams(-1, -1))
        main.view<View>(R.id.preview).visibility = View.INVISIBLE  // black without a camera
        repeat(3) { main.look(yuv(picture)) }
        settle()
        return main
    }

    private fun main(): Activity = Robolectric.buildActivity(MainActivity::class.java).setup().get().also { settle() }

    private fun corrupt(): Activity {
        carry(REAL, "model.tflite" to { it.copyOf(100_000) })
        return main()
    }

    private fun none(): Activity {
        app.models = Models({ emptyList() }) { throw java.io.FileNotFoundException(it) }
        return main()
    }

    private fun compare(
        name: String, qualifiers: String = "", font: Float = 1f, model: String = REAL, screen: () -> Activity,
    ) {
        carried { it in setOf(ITEMS, CLOTHES, REAL, PHOTOS, CLIPS, EMBEDDER) }
        choose(model)
        RuntimeEnvironment.setQualifiers(qualifiers.ifEmpty { "+port" })
        RuntimeEnvironment.setFontScale(font)
        val activity = screen()
        everythingCanBeReached(activity)
        if (activity.resources.configuration.orientation == Configuration.ORIENTATION_PORTRAIT) downwards(activity)
        val view = activity.window.decorView
        view.jumpDrawablesToCurrentState()  // a tick is drawn in steps
        val drawn = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }
        val found = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        found.eraseColor(android.graphics.Color.BLACK)  // a screen is not transparent; a preview without a camera is
        Canvas(found).drawBitmap(drawn, 0f, 0f, null)
        val known = File(root, "android_demo/screenshots/$name.webp")
        if (System.getProperty("edgekit.screenshots") == "write") return known.write(found)
        val expected = known.readBytes().let { BitmapFactory.decodeByteArray(it, 0, it.size) }
        val differs = if (expected.width == found.width && expected.height == found.height) difference(expected, found) else 1.0
        if (differs > DIFFERS) File("target/screenshots/$name.webp").write(found)
        assertTrue("$name: ${100 * differs} % of its pixels differ; target/screenshots/$name.webp is how it looks now", differs <= DIFFERS)
    }

    /** The share of pixels that are visibly others. */
    private fun difference(a: Bitmap, b: Bitmap): Double {
        fun pixels(of: Bitmap) = IntArray(of.width * of.height).also { of.getPixels(it, 0, of.width, 0, 0, of.width, of.height) }
        val (first, second) = pixels(a) to pixels(b)
        fun apart(a: Int, b: Int, shift: Int) = Math.abs((a shr shift and 255) - (b shr shift and 255)) > 24
        val count = first.indices.count { i -> first[i] != second[i] && (apart(first[i], second[i], 0) || apart(first[i], second[i], 8) || apart(first[i], second[i], 16)) }
        return count.toDouble() / first.size
    }

    private fun File.write(bitmap: Bitmap) {
        parentFile!!.mkdirs()
        outputStream().use { bitmap.compress(if (extension == "webp") Bitmap.CompressFormat.WEBP_LOSSY else Bitmap.CompressFormat.PNG, 95, it) }
    }

    /** What can be pressed is large enough and has words for TalkBack; no text is cut off. */
    private fun everythingCanBeReached(activity: Activity) {
        val least = 48 * activity.resources.displayMetrics.density - 1
        for (view in all(activity.view(R.id.root)).filter { it.isShown }) {
            if (view.isClickable && !view.isTextSelectable()) {
                assertTrue("$view is ${view.height} high", view.height >= least)
                assertTrue("$view says nothing", !(view as? TextView)?.text.isNullOrEmpty() || !view.contentDescription.isNullOrEmpty())
            }
            if (view is TextView && view.layout != null && view.maxLines > 2) {
                assertEquals("${view.text} is cut", view.text.length, view.layout.getLineEnd(view.layout.lineCount - 1))
                assertTrue("${view.text} is cut", view.layout.height <= view.height)
            }
        }
    }

    /** TalkBack goes through what it stops at in the order of the layout: from above. */
    private fun downwards(activity: Activity) {
        val stops = all(activity.view(R.id.root)).filter { it.isShown && (it.isClickable || it.isScreenReaderFocusable) && it.height > 0 }
        val tops = stops.map { view -> IntArray(2).also { view.getLocationInWindow(it) }[1] }
        for (i in 1 until tops.size) assertTrue("${stops[i]} lies above ${stops[i - 1]}", tops[i] + stops[i].height > tops[i - 1])
    }

    private fun View.isTextSelectable() = this is TextView && this.isTextSelectable

    private fun all(view: View): List<View> =
        listOf(view) + ((view as? ViewGroup)?.let { group -> (0 until group.childCount).flatMap { all(group.getChildAt(it)) } }.orEmpty())

    @Test fun firstLaunch() = compare("first-launch", model = ITEMS) { main() }
    @Test fun firstLaunchSmall() = compare("first-launch-360", "w360dp-h640dp-hdpi", model = CLOTHES) { main() }
    @Test fun firstLaunchTablet() = compare("first-launch-800", "w800dp-h1280dp-mdpi", model = ITEMS) { main() }
    @Test fun camera() = compare("camera", model = PHOTOS) { live(photograph("coffee")) }
    @Test fun cameraLandscape() = compare("camera-landscape", "w892dp-h412dp-land-hdpi", model = PHOTOS) { live(photograph("chelsea")) }
    @Test fun photoLight() = compare("photo-light", model = PHOTOS) { photo(photograph("chelsea")) }
    @Test fun photoDark() = compare("photo-dark", "+night", model = PHOTOS) { photo(photograph("coffee")) }
    @Test fun photoSmall() = compare("photo-360", "w360dp-h640dp-hdpi", model = PHOTOS) { photo(photograph("rocket")) }
    @Test fun photoTablet() = compare("photo-800", "w800dp-h1280dp-mdpi", model = PHOTOS) { photo(photograph("chelsea")) }
    @Test fun photoLandscape() = compare("photo-landscape", "w731dp-h411dp-land-hdpi", model = PHOTOS) { photo(photograph("coffee")) }
    @Test fun photoLargeFont() = compare("photo-large-font", font = 2f, model = PHOTOS) { photo(photograph("chelsea")) }
    @Test fun photoRightToLeft() = compare("photo-rtl", "+ldrtl", model = PHOTOS) { photo(photograph("chelsea")) }
    @Test fun mask() = compare("mask", model = CLOTHES) { photo(golden(CLOTHES).pictures[0]) }
    @Test fun boxes() = compare("boxes", model = ITEMS) { photo(items(column = 2)) }
    @Test fun neighbours() = compare("neighbours", "+night", model = EMBEDDER) {
        for (name in listOf("coffee", "rocket", "astronaut")) photo(photograph(name)).run { press(R.id.keep); settle() }
        photo(photograph("chelsea"))
    }
    @Test fun controls() = compare("controls", model = ITEMS) { sheet() }
    @Test fun controlsDark() = compare("controls-360-large-font", "w360dp-h640dp-night-hdpi", font = 2f) { sheet() }
    @Test fun controlsTablet() = compare("controls-800", "w800dp-h1280dp-mdpi", model = ITEMS) { sheet() }
    @Test fun card() = compare("card", model = ITEMS) { cardOf() }
    @Test fun cardSmall() = compare("card-360-large-font", "w360dp-h640dp-hdpi", font = 2f, model = PHOTOS) { cardOf() }
    @Test fun cardTablet() = compare("card-800", "w800dp-h1280dp-night-mdpi", model = PHOTOS) { cardOf() }
    @Test fun timesLight() = compare("times-light") { compared() }
    @Test fun timesDark() = compare("times-dark", "+night") { compared() }
    @Test fun timesLargeFont() = compare("times-360-large-font", "w360dp-h640dp-hdpi", font = 2f) { compared() }
    @Test fun timesTablet() = compare("times-800", "w800dp-h1280dp-mdpi") { compared() }
    @Test fun permissionLandscape() = compare("permission-landscape", "w731dp-h411dp-land-night-hdpi", model = ITEMS) { main() }
    @Test fun corruptModel() = compare("corrupt-model") { corrupt() }
    @Test fun noModel() = compare("no-model", font = 1.3f) { none() }
}
