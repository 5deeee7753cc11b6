package dev.edgekit.demo

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import dev.edgekit.core.Picture
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/**
 * The screens as they look, beside the pictures in android_demo/screenshots. `-Dedgekit.screenshots=write` writes those anew;
 * what differs is written to target/screenshots.
 */
@Config(qualifiers = "w411dp-h731dp-xhdpi")
class ScreenshotTest : AppTest() {
    private fun photo(picture: Picture = golden(REAL).pictures[0]): Activity {
        val uri = photo { png(picture).inputStream() }
        val intent = Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, uri)
        return Robolectric.buildActivity(PhotoActivity::class.java, intent).setup().get().also { settle() }
    }

    private fun times(): Activity = Robolectric.buildActivity(TimesActivity::class.java).setup().get().also {
        it.press(R.id.start)
        settle()
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

    /** `limit`: the share of pixels that may differ. A digit of an answer may differ from CPU to CPU, and a box by a pixel. */
    private fun compare(
        name: String, qualifiers: String = "", font: Float = 1f, model: String = REAL, limit: Double = 0.01, screen: () -> Activity,
    ) {
        choose(model, threads = 4)
        RuntimeEnvironment.setQualifiers(qualifiers.ifEmpty { "+port" })
        RuntimeEnvironment.setFontScale(font)
        val activity = screen()
        everythingCanBeReached(activity)
        val view = activity.window.decorView
        val found = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }
        val known = File(root, "android_demo/screenshots/$name.png")
        if (System.getProperty("edgekit.screenshots") == "write") return known.write(found)
        val expected = known.readBytes().let { BitmapFactory.decodeByteArray(it, 0, it.size) }
        val differs = if (expected.width == found.width && expected.height == found.height) difference(expected, found) else 1.0
        if (differs > limit) File("target/screenshots/$name.png").write(found)
        assertTrue("$name: ${100 * differs} % of its pixels differ; target/screenshots/$name.png is how it looks now", differs <= limit)
    }

    /** The share of pixels that are visibly others. */
    private fun difference(a: Bitmap, b: Bitmap): Double {
        fun pixels(of: Bitmap) = IntArray(of.width * of.height).also { of.getPixels(it, 0, of.width, 0, 0, of.width, of.height) }
        val (first, second) = pixels(a) to pixels(b)
        val count = first.indices.count { i ->
            listOf(0, 8, 16).any { Math.abs((first[i] shr it and 255) - (second[i] shr it and 255)) > 24 }
        }
        return count.toDouble() / first.size
    }

    private fun File.write(bitmap: Bitmap) {
        parentFile!!.mkdirs()
        outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
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

    private fun View.isTextSelectable() = this is TextView && this.isTextSelectable

    private fun all(view: View): List<View> =
        listOf(view) + ((view as? ViewGroup)?.let { group -> (0 until group.childCount).flatMap { all(group.getChildAt(it)) } }.orEmpty())

    @Test fun photoLight() = compare("photo-light") { photo() }
    @Test fun photoDark() = compare("photo-dark", "+night") { photo() }
    @Test fun photoLandscape() = compare("photo-landscape", "w731dp-h411dp-land-xhdpi") { photo() }
    @Test fun photoLargeFont() = compare("photo-large-font", font = 2f) { photo() }
    @Test fun mask() = compare("mask", model = CLOTHES) { photo(golden(CLOTHES).pictures[0]) }
    @Test fun boxes() = compare("boxes", model = ITEMS, limit = 0.04) { photo(items()) }
    @Test fun neighbours() = compare("neighbours", "+night", model = EMBEDDER) {
        val pictures = golden(EMBEDDER).pictures
        for (picture in pictures.drop(1)) photo(picture).run { press(R.id.keep); settle() }
        photo(pictures[0])
    }
    @Test fun timesLight() = compare("times-light") { times() }
    @Test fun timesDark() = compare("times-dark", "+night") { times() }
    @Test fun timesLargeFont() = compare("times-large-font", font = 2f) { times() }
    @Test fun permissionLight() = compare("permission-light") { main() }
    @Test fun permissionLandscape() = compare("permission-landscape", "w731dp-h411dp-land-night-xhdpi") { main() }
    @Test fun corruptModel() = compare("corrupt-model") { corrupt() }
    @Test fun noModel() = compare("no-model", font = 1.3f) { none() }
}
