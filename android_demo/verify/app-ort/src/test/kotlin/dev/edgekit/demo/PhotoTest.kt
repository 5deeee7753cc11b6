package dev.edgekit.demo

import android.content.Intent
import android.graphics.Bitmap
import android.graphics.drawable.BitmapDrawable
import android.media.MediaMetadataRetriever
import android.net.Uri
import android.os.Bundle
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.SeekBar
import android.widget.TextView
import dev.edgekit.core.Answer
import dev.edgekit.core.Picture
import dev.edgekit.core.Placement
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.shadows.ShadowMediaMetadataRetriever
import org.robolectric.shadows.util.DataSource

class PhotoTest : AppTest() {
    private fun shared(uri: Uri, type: String = "image/png"): ActivityController<PhotoActivity> = Robolectric.buildActivity(
        PhotoActivity::class.java, Intent(Intent.ACTION_SEND).setType(type).putExtra(Intent.EXTRA_STREAM, uri),
    ).setup().also { settle() }

    private fun bitmap(photo: PhotoActivity) = (photo.view<ImageView>(R.id.photo).drawable as BitmapDrawable).bitmap

    @Test
    fun `a shared photo is decoded, and answered as Python answers it`() {
        for (model in listOf(TINY, ONNX, REAL)) {
            choose(model)
            val golden = golden(model)
            for ((i, picture) in golden.pictures.withIndex()) {
                val photo = shared(photo { png(picture).inputStream() }).get()
                val best = golden.answers[i][0].run { indices.maxByOrNull { this[it] }!! }
                val labels = String(app.models.files(model).open("labels.txt").readBytes()).lines()
                assertEquals("", photo.notice())
                assertEquals(labels[best], photo.answers().first())
                assertEquals(5, photo.answers().size)
                assertEquals(labels[best], photo.view<ImageView>(R.id.photo).contentDescription)
                assertTrue(photo.text(R.id.golden).startsWith("This phone gives the right answers"))
                assertFalse("a line without words takes no room", photo.shown(R.id.running))
            }
        }
    }

    @Test
    fun `a mask lies over the photo, where its labels are`() {
        choose(SEGMENTER)
        val photo = shared(photo { png(colours()).inputStream() }).get()
        assertEquals("", photo.notice())
        assertEquals(setOf("background", "red", "blue"), photo.answers().toSet())
        val over = photo.view<OverlayView>(R.id.overlay)
        val drawn = photo.overlay()
        val scale = minOf(over.width / 240f, over.height / 120f)
        fun at(x: Int, y: Int) = drawn[((y - 60) * scale + over.height / 2).toInt() * over.width + ((x - 120) * scale + over.width / 2).toInt()]
        assertEquals(listOf(0, 0, 0, 0), listOf(at(5, 60), at(235, 60), at(120, 5), at(120, 115)))
        for (x in listOf(40, 120, 200)) assertEquals(listOf(0x800000, 0x008000), listOf(at(x, 40), at(x, 80)).map { it and 0xC0C0C0 })
        if (over.height > 120 * scale + 4) assertEquals(0, drawn[over.width / 2])  // beside the photo nothing
        choose(TINY)
        assertEquals(setOf(0), shared(photo { png(colours()).inputStream() }).get().overlay().toSet())
    }

    @Test
    fun `an app that carries the bundled detector shows its boxes at once`() {
        carry(ITEMS)
        val photo = shared(photo { png(items()).inputStream() }).get()
        assertEquals("3 found, with a score of 30 % or more", photo.text(R.id.found))
        assertEquals(setOf("tops", "bags", "dresses"), photo.answers().toSet())
        val colours = photo.overlay().filter { it ushr 24 == 255 }.groupingBy { it }.eachCount().filterValues { it > 200 }
        assertTrue("$colours", colours.size >= 3)  // one a label, at least
    }

    @Test
    fun `boxes lie over the photo with their names, and a slider shows those of other scores`() {
        choose(DETECTOR)
        val photo = shared(photo { png(colours()).inputStream() }).get()
        assertEquals("", photo.notice())
        val found = photo.text(R.id.found)
        assertTrue(found, Regex("\\d+ found, with a score of 30 % or more").matches(found))
        assertTrue(photo.shown(R.id.score))
        assertEquals(5, photo.answers().count { it == "red" || it == "blue" })
        val spoken = "${photo.view<ImageView>(R.id.photo).contentDescription}"
        assertTrue(spoken, spoken.startsWith("$found; ") && Regex(" %, (upper |lower )?(left|right|top|middle|bottom)(;|$)").findAll(spoken).count() == 5)
        val count = found.takeWhile { it.isDigit() }.toInt()
        val colours = photo.overlay().toSet()
        assertTrue("$colours", listOf(0xFF800000, 0xFF008000).all { it.toInt() in colours })  // red's and blue's, of labels 1 and 2 of masks
        val slider = photo.view<SeekBar>(R.id.from)
        fun slide(percent: Int) = slider.performAccessibilityAction(
            android.R.id.accessibilityActionSetProgress, Bundle().apply { putFloat("android.view.accessibility.action.ARGUMENT_PROGRESS_VALUE", percent.toFloat()) },
        )
        assertEquals(listOf(30, 5, 99), listOf(slider.progress, slider.min, slider.max))
        slide(5)
        assertTrue(photo.text(R.id.found).takeWhile { it.isDigit() }.toInt() > count)
        slide(99)
        assertEquals("0 found, with a score of 99 % or more", photo.text(R.id.found))
        assertEquals("0 found, with a score of 99 % or more", photo.view<ImageView>(R.id.photo).contentDescription)
        assertEquals(setOf(0), photo.overlay().toSet())
        assertEquals(99, shared(photo { png(colours()).inputStream() }).get().view<SeekBar>(R.id.from).progress)
        choose(TINY)
        assertFalse(shared(photo { png(colours()).inputStream() }).get().shown(R.id.score))
        choose(DETECTOR)
        assertEquals(30, shared(photo { png(colours()).inputStream() }).get().view<SeekBar>(R.id.from).progress)
    }

    @Test
    fun `kept photos are found again, the most alike first`() {
        choose(EMBEDDER)
        val pictures = golden(EMBEDDER).pictures.map { picture -> photo { png(picture).inputStream() } }
        val first = shared(pictures[0]).get()
        assertEquals(listOf("Keep photos to find the most alike among them (an embedding of 5 numbers)"), first.answers())
        assertFalse(first.shown(R.id.forget))
        first.press(R.id.keep)
        settle()
        assertEquals("", first.notice())
        assertEquals(listOf("Kept photo 1"), first.answers())
        for (other in pictures.drop(1)) shared(other).get().run { press(R.id.keep); settle() }
        for (i in pictures.indices) {
            val again = shared(pictures[i]).get()
            assertEquals("Kept photo ${i + 1}", again.answers().first())
            assertEquals("1.000", again.view<LinearLayout>(R.id.answers).getChildAt(0).findViewById<TextView>(R.id.percent)!!.text.toString())
            assertEquals(4, again.answers().size)
        }
        val last = shared(pictures[0]).get()
        assertEquals("Forget 4 kept photos", last.text(R.id.forget))
        last.press(R.id.forget)
        settle()
        assertTrue(last.answers().single().startsWith("Keep photos"))
        choose(TINY)
        assertFalse(shared(pictures[0]).get().shown(R.id.keep))
    }

    @Test
    fun `of any other network the outputs are named, with their least and largest number`() {
        choose(RAW)
        val photo = shared(photo { png(colours()).inputStream() }).get()
        for ((said, name) in photo.answers() zip listOf("depth", "sure")) assertTrue(said, Regex("$name: -?[\\d.e-]+ to -?[\\d.e-]+").matches(said))
        assertEquals("16 × 16", photo.figures()[0])
        assertEquals(setOf(0), photo.overlay().toSet())
    }

    @Test
    fun `what is chosen looks at the photo that is open`() {
        choose(TINY)
        val main = Robolectric.buildActivity(MainActivity::class.java).setup()
        val photo = shared(photo { png(colours()).inputStream() }).get()
        main.pause().stop()  // after the next screen has started
        assertEquals(5, photo.answers().size)
        choose(SEGMENTER)
        settle()
        assertEquals(setOf("background", "red", "blue"), photo.answers().toSet())
    }

    @Test
    fun `a photo is no clip, and a video no photo`() {
        choose(CLIPS)
        val photo = shared(photo { png(colours()).inputStream() }).get()
        assertEquals("This model sees 8 frames at once, 8.00 a second: a photo is none of that\nTry: a video, the camera, or another model", photo.notice())
        choose(TINY)
        val video = shared(video(golden(CLIPS).frames[0]), "video/mp4").get()
        assertEquals("This model sees one image at a time, and this is a video\nTry: a photo, or a model that takes clips", video.notice())
    }

    /** Another app's video, of 8 frames a second, with Android's own decoder played by Robolectric: null is a frame that it cannot decode. */
    private fun video(frames: List<Picture?>, vararg more: Pair<Int, String>): Uri {
        val uri = Uri.parse("content://videos/${videos++}")
        val source = DataSource.toDataSource(app, uri)
        val facts = mapOf(
            MediaMetadataRetriever.METADATA_KEY_HAS_VIDEO to "yes", MediaMetadataRetriever.METADATA_KEY_DURATION to "${125 * frames.size}",
            MediaMetadataRetriever.METADATA_KEY_VIDEO_FRAME_COUNT to "${frames.size}", MediaMetadataRetriever.METADATA_KEY_VIDEO_WIDTH to "24",
            MediaMetadataRetriever.METADATA_KEY_VIDEO_HEIGHT to "24",
        ) + more
        for ((key, value) in facts) ShadowMediaMetadataRetriever.addMetadata(source, key, value)
        for ((i, frame) in frames.withIndex()) if (frame != null) {
            val asked = maxOf(125_000L * i - 62_500 + 1, 0)  // half a frame before it is due, of which the closest is the one before
            ShadowMediaMetadataRetriever.addFrame(source, asked, Bitmap.createBitmap(frame.argb, frame.width, frame.height, Bitmap.Config.ARGB_8888))
        }
        return uri
    }

    @Test
    fun `a video is answered by the mean of its clips, as Python answers it`() {
        choose(CLIPS)
        val golden = golden(CLIPS)
        val spec = app.models.spec(CLIPS)
        for ((i, frames) in golden.frames.withIndex()) {
            val video = shared(video(frames), "video/mp4").get()
            assertEquals("", video.notice())
            val known = spec.task.read(golden.answers[i], Placement(24, 24, 1.0, 1.0, 0.0, 0.0)) as Answer.Classes
            assertEquals(known.top(5).map { it.label }, video.answers())
            assertEquals("Another video", video.text(R.id.pick))
            assertTrue(video.text(R.id.timing), Regex("1 clip: inference 4\\.\\d ms, preprocessing .*").matches(video.text(R.id.timing)))
            assertTrue(bitmap(video).sameAs(Bitmap.createBitmap(frames[4].argb, frames[4].width, frames[4].height, Bitmap.Config.ARGB_8888)))
        }
        val both = shared(video(golden.frames[0] + golden.frames[1]), "video/mp4").get()
        val known = spec.task.read(spec.task.mean(golden.answers.take(2)), Placement(24, 24, 1.0, 1.0, 0.0, 0.0)) as Answer.Classes
        assertEquals(known.top(5).map { it.label to "%.1f %%".format(100 * it.probability) }, both.answers() zip both.figures())
        assertTrue(both.text(R.id.timing), both.text(R.id.timing).startsWith("The mean of 2 clips, of each: inference 4."))
        val broken = shared(video(golden.frames[0].mapIndexed { i, frame -> frame.takeIf { i != 3 } }), "video/mp4").get()
        assertEquals("1 of its frames cannot be read; the one before it was taken again.", broken.text(R.id.sampled))
        both.press(R.id.pick)
        val asked = shadowOf(both).nextStartedActivityForResult.intent
        assertEquals("video/*", asked.type)
        shadowOf(both).receiveResult(asked, -1, Intent().setData(video(golden.frames[2])))
        settle()
        assertEquals("1 clip", both.text(R.id.timing).substringBefore(":"))
    }

    @Test
    fun `what is no video, or too short a one, is said`() {
        choose(CLIPS)
        val frames = golden(CLIPS).frames[0]
        val damaged = Uri.parse("content://videos/damaged")
        ShadowMediaMetadataRetriever.addException(DataSource.toDataSource(app, damaged), IllegalArgumentException("setDataSource failed: status = 0x80000000"))
        for ((said, uri) in listOf(
            "the video lasts 0.50 s, and the model sees 1.0 s at once (8 frames, 8.00 a second)\nTry: a longer video" to video(frames.take(4)),
            "none of the video's frames can be read" to video(frames.map { null }), "This video cannot be read" to damaged,
            "This file holds no video" to video(frames, MediaMetadataRetriever.METADATA_KEY_HAS_VIDEO to "no"),
            "an image of 20000 x 10000 pixels is too large" to
                video(frames, MediaMetadataRetriever.METADATA_KEY_VIDEO_WIDTH to "20000", MediaMetadataRetriever.METADATA_KEY_VIDEO_HEIGHT to "10000"),
        )) {
            val video = shared(uri, "video/mp4").get()
            assertTrue(video.notice(), video.notice().startsWith(said))
            assertEquals(emptyList<String>(), video.answers())
        }
    }

    /** docs/android.md shows its source. */
    @Test
    fun `an app of one's own is twenty lines`() {
        val birds = org.example.birds.BirdsActivity::class.java
        shadowOf(app.packageManager).addActivityIfNotPresent(android.content.ComponentName(app, birds))
        val content = Robolectric.buildActivity(birds).setup().get().findViewById<android.view.ViewGroup>(android.R.id.content)!!
        val said = (content.getChildAt(0) as TextView).text.lines()
        assertEquals(3, said.size)
        for (line in said) assertTrue(line, Regex("class \\d \\d+ %").matches(line))
    }

    @Test
    fun `photos of every kind`() {
        choose(TINY)
        val turned = bitmap(shared(photo { resource("exif6.jpg").inputStream() }).get())
        assertEquals(listOf(40, 60), listOf(turned.width, turned.height))
        assertTrue(turned.getPixel(20, 5) and 0xFF < 80 && turned.getPixel(20, 55) and 0xFF > 180)  // red above, blue below
        for (name in listOf("one.png", "grey.png", "cmyk.jpg", "deep.png")) {
            val photo = shared(photo { resource(name).inputStream() }).get()
            assertEquals(name, "", photo.notice())
            assertEquals(name, 5, photo.answers().size)
            assertEquals(name, android.graphics.Bitmap.Config.ARGB_8888, bitmap(photo).config)
        }
        val large = shared(photo { resource("large.png").inputStream() }).get()
        assertEquals("The photo is 8000 × 6000 pixels and was read at 1/2 of its size.", large.text(R.id.sampled))
        assertEquals(4000, bitmap(large).width)
    }

    @Test
    fun `what cannot be shown is said, and another photo can be picked`() {
        choose(TINY)
        val png = png(golden(TINY).pictures[0])
        for ((said, uri) in listOf(
            "an image of 20000 x 10000 pixels is too large (more than 178 megapixels)" to photo { resource("huge.png").inputStream() },
            "This photo cannot be read: " to photo { "no picture".byteInputStream() },
            "This photo cannot be read: " to photo { png.copyOf(40).inputStream() },
            "This photo can no longer be read: its permission has ended" to photo { throw SecurityException("no access") },
            "No photo was given" to null,
        )) {
            val photo = uri?.let { shared(it) } ?: Robolectric.buildActivity(PhotoActivity::class.java, Intent(Intent.ACTION_SEND)).setup()
            assertTrue("$said: ${photo.get().notice()}", photo.get().notice().startsWith(said))
            assertEquals(emptyList<String>(), photo.get().answers())
            photo.get().press(R.id.pick)
            val good = Intent().setData(photo { png.inputStream() })
            shadowOf(photo.get()).receiveResult(shadowOf(photo.get()).nextStartedActivityForResult.intent, -1, good)
            settle()
            assertEquals("", photo.get().notice())
            assertEquals(5, photo.get().answers().size)
        }
    }

    @Test
    fun `a picked photo outlives the process`() {
        choose(TINY)
        val first = photo { png(golden(TINY).pictures[0]).inputStream() }
        val second = photo { png(golden(TINY).pictures[1]).inputStream() }
        val before = shared(first)
        before.get().press(R.id.pick)
        shadowOf(before.get()).receiveResult(shadowOf(before.get()).nextStartedActivityForResult.intent, -1, Intent().setData(second))
        settle()
        val kept = Bundle()
        before.saveInstanceState(kept).pause().stop().destroy()
        val after = Robolectric.buildActivity(PhotoActivity::class.java, before.get().intent).create(kept).start().resume()
        settle()
        assertTrue(bitmap(after.get()).sameAs(bitmap(shared(second).get())))
        assertEquals(shared(second).get().answers(), after.get().answers())
    }

    @Test
    fun `a model that does not run here says why`() {
        carry(TINY, "model.tflite" to { it.copyOf(5) })
        val photo = shared(photo { resource("one.png").inputStream() }).get()
        assertTrue(photo.notice(), photo.notice().startsWith("model.tflite is damaged"))
        app.models = Models({ emptyList() }) { throw java.io.FileNotFoundException(it) }
        assertTrue(shared(photo { resource("one.png").inputStream() }).get().notice().startsWith("No model in this app"))
    }

    private companion object {
        var videos = 0
    }
}
