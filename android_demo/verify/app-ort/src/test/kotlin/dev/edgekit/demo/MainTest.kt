package dev.edgekit.demo

import android.Manifest.permission.CAMERA
import android.content.Intent
import android.content.pm.PackageManager.PERMISSION_DENIED
import android.content.pm.PackageManager.PERMISSION_GRANTED
import android.graphics.Insets
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.net.Uri
import android.os.Build
import android.provider.MediaStore
import android.util.Size
import android.view.View
import android.view.WindowInsets
import android.widget.ImageView
import android.widget.RadioButton
import android.widget.RadioGroup
import dev.edgekit.core.Showing
import dev.edgekit.demo.engine.EngineKind
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

class MainTest : AppTest() {
    private fun started() = Robolectric.buildActivity(MainActivity::class.java).setup().also { settle() }

    private fun allow() = shadowOf(app).grantPermissions(CAMERA)

    @Test
    fun `the first launch checks the artifact's examples on this phone, and asks for the camera`() {
        for (model in listOf(TINY, ONNX, SEGMENTER, DETECTOR, EMBEDDER, RAW, CLIPS, REAL, ITEMS)) {
            choose(model)
            val main = started().get()
            assertTrue(main.text(R.id.golden), main.text(R.id.golden).startsWith("This phone gives the right answers: "))
            assertTrue(main.notice(), main.notice().startsWith("Look through the camera?\n"))
            assertEquals("Allow the camera", main.text(R.id.notice_action))
            assertTrue(main.text(R.id.running), main.text(R.id.running).contains("1 thread, cpu"))
        }
    }

    @Test
    fun `until the camera is allowed, the model's own examples are answered`() {
        choose(ITEMS)
        val main = started().get()
        assertTrue(main.shown(R.id.example_photo) && main.answers().isNotEmpty())
        assertTrue(main.text(R.id.timing), main.text(R.id.timing).startsWith("An example that came with the model: inference 4."))
        assertTrue(main.overlay(R.id.example_overlay).toSet().size > 2)
        val spoken = { "${main.view<View>(R.id.example).contentDescription}" }
        val first = spoken()
        assertTrue(first, Regex("An example: \\d+ found, .*[.] Shows another one").matches(first))
        main.view<View>(R.id.example).performClick()
        settle()
        assertTrue(spoken(), spoken() != first)
        for ((model, answers) in listOf(TINY to 5, CLIPS to 2, RAW to 2, EMBEDDER to 1)) {
            choose(model)
            settle()
            assertEquals(model, answers, main.answers().size)
        }
        allow()
        shadowOf(app.getSystemService(CameraManager::class.java)!!).addCamera("0", someCamera(CameraCharacteristics.LENS_FACING_BACK, 90))
        main.onRequestPermissionsResult(2, arrayOf(CAMERA), intArrayOf(PERMISSION_GRANTED))
        assertFalse(main.shown(R.id.example_photo) || main.view<View>(R.id.example).isClickable || main.shown(R.id.notice))
    }

    @Test
    fun `a refused camera is explained, and after never again the settings are offered`() {
        choose(TINY)
        val main = started().get()
        main.press(R.id.notice_action)
        assertEquals(listOf(CAMERA), shadowOf(main).lastRequestedPermission.requestedPermissions.asList())
        main.onRequestPermissionsResult(2, arrayOf(CAMERA), intArrayOf(PERMISSION_DENIED))
        assertEquals("Open settings", main.text(R.id.notice_action))
        assertTrue(main.notice(), main.notice().startsWith("The camera is not allowed\n"))
        main.press(R.id.notice_action)
        val settings = shadowOf(main).nextStartedActivity
        assertEquals(Uri.parse("package:dev.edgekit.demo"), settings.data)
        assertTrue(main.view<View>(R.id.pick).isEnabled)
    }

    @Test
    fun `with the permission but without a camera photos are left`() {
        choose(TINY)
        val main = started().get()
        allow()
        main.onRequestPermissionsResult(2, arrayOf(CAMERA), intArrayOf(PERMISSION_GRANTED))
        assertEquals("No camera\nPhotos work without one.", main.notice())
        assertFalse(main.shown(R.id.notice_action))
    }

    @Test
    fun `the camera starts where there is one, and stops with the screen`() {
        choose(TINY)
        allow()
        val manager = app.getSystemService(CameraManager::class.java)!!
        shadowOf(manager).addCamera("1", someCamera(CameraCharacteristics.LENS_FACING_FRONT, 270))
        shadowOf(manager).addCamera("0", someCamera(CameraCharacteristics.LENS_FACING_BACK, 90))
        val found = CameraChoice.of(manager)!!
        assertEquals(listOf("0", Size(1280, 720)), listOf(found.id, found.size))
        val controller = started()
        val main = controller.get()
        assertEquals("", main.notice())
        main.onSurfaceTextureAvailable(android.graphics.SurfaceTexture(0), 100, 100)  // nobody calls it here
        settle()
        assertEquals("", main.notice())
        controller.pause().stop()
        controller.start().resume()
        settle()
        assertEquals("", main.notice())
    }

    /** No frame comes from Robolectric's camera: one is made of a grey picture, whose chroma is even. */
    @Test
    fun `a camera's frame is answered, live`() {
        choose(REAL)
        allow()
        shadowOf(app.getSystemService(CameraManager::class.java)!!).addCamera("0", someCamera(CameraCharacteristics.LENS_FACING_BACK, 90))
        val main = started().get()
        val golden = golden(REAL)
        val best = golden.answers[0][0].run { indices.maxByOrNull { this[it] }!! }
        val picture = golden.pictures[0]
        repeat(40) { main.look(frame(picture)) }
        settle()
        assertEquals(String(app.models.files(REAL).open("labels.txt").readBytes()).lines()[best], main.answers().first())
        assertTrue(main.text(R.id.timing), Regex("""inference 4\.\d ms, preprocessing 4\.\d ms""").matches(main.text(R.id.timing)))
        val spoken = main.view<android.view.ViewGroup>(R.id.answers).getChildAt(0).contentDescription
        assertTrue("$spoken", Regex("""[^,]+, \d+\.\d %""").matches(spoken))
    }

    /** The model says whether a clip of 8 frames, 8 a second, becomes brighter or darker; this camera has 30 a second. */
    @Test
    fun `frames are collected to a clip, whose answer is shown`() {
        choose(CLIPS)
        allow()
        shadowOf(app.getSystemService(CameraManager::class.java)!!).addCamera("0", someCamera(CameraCharacteristics.LENS_FACING_BACK, 90))
        val main = started().get()
        fun look(i: Int, grey: Int) {
            main.look(frame(dev.edgekit.core.Picture(40, 40, IntArray(1600) { (255 shl 24) or grey })).apply { nanos = 5_000_000_000 + i * 33_333_333L })
            settle()
        }
        look(0, 60)
        assertEquals("Collecting 0 of 8 frames", main.text(R.id.timing))
        for (i in 1..26) look(i, 60 + 3 * i)
        assertEquals("Collecting 7 of 8 frames", main.text(R.id.timing))
        assertEquals(emptyList<String>(), main.answers())
        for (i in 27..40) look(i, 60 + 3 * i)
        assertEquals("brighter", main.answers().first())
        assertTrue(main.text(R.id.timing), Regex("""inference 4\.\d ms, preprocessing 4\.\d ms""").matches(main.text(R.id.timing)))
        for (i in 41..100) look(i, 180 - 2 * (i - 41))
        assertEquals("darker", main.answers().first())
        choose(TINY)
        settle()
        look(101, 60)
        assertEquals(5, main.answers().size)
    }

    @Test
    fun `a mask covers the camera's picture`() {
        choose(SEGMENTER)
        allow()
        shadowOf(app.getSystemService(CameraManager::class.java)!!).addCamera("0", someCamera(CameraCharacteristics.LENS_FACING_BACK, 90))
        val main = started().get()
        // grey is nothing, and fills the screen
        main.look(frame(dev.edgekit.core.Picture(60, 80, IntArray(4800) { (255 shl 24) or 0x808080 })))
        settle()
        assertEquals(listOf("background"), main.answers())
        assertEquals(setOf(0), main.overlay().toSet())
        main.look(frame(dev.edgekit.core.Picture(60, 80, IntArray(4800)), blue = 255))
        settle()
        assertEquals(listOf("blue"), main.answers())
        assertEquals(1, main.overlay().toSet().size)
        assertEquals(140, main.overlay()[0] ushr 24)
    }

    @Test
    fun `boxes lie over the camera's picture, which a front camera shows as in a mirror`() {
        choose(DETECTOR)
        allow()
        for ((front, place) in listOf(CameraCharacteristics.LENS_FACING_BACK to "left", CameraCharacteristics.LENS_FACING_FRONT to "right")) {
            val manager = app.getSystemService(CameraManager::class.java)!!
            shadowOf(manager).addCamera("0", someCamera(front, 90))
            val main = started().get()
            // blue is the left half of a picture of 80 x 60
            main.look(frame(dev.edgekit.core.Picture(80, 60, IntArray(4800)), blue = 255, until = 40))
            settle()
            assertEquals("blue", main.answers().first())
            val spoken = "${main.view<View>(R.id.preview).contentDescription}"
            assertTrue(spoken, Regex("\\d+ found, with a score of 30 % or more; blue, \\d\\d\\.\\d %, upper $place; .*").matches(spoken))
            val width = main.view<View>(R.id.overlay).width
            val drawn = main.overlay().withIndex().filter { it.value != 0 }.map { it.index % width }
            val (left, right) = Pair(drawn.count { it < width / 3 }, drawn.count { it >= width - width / 3 })
            assertEquals(place, if (left > right) "left" else "right")
            shadowOf(manager).removeCamera("0")
        }
    }

    /** As the sensor lies: turned back by 90 degrees, so that it is upright after its rotation by 90. */
    private fun frame(picture: dev.edgekit.core.Picture, blue: Int = 128, until: Int = picture.width): dev.edgekit.core.YuvFrame {
        val (w, h) = picture.height to picture.width
        val y = java.nio.ByteBuffer.allocateDirect(w * h)
        for (row in 0 until h) for (x in 0 until w) y.put(row * w + x, picture.argb[x * picture.width + picture.width - 1 - row].toByte())
        val chroma = java.nio.ByteBuffer.allocateDirect((w + 1) / 2 * ((h + 1) / 2)).apply { while (hasRemaining()) put(128.toByte()) }
        // its rows are the upright picture's columns, from the right on
        val cb = java.nio.ByteBuffer.allocateDirect(chroma.capacity()).apply {
            while (hasRemaining()) put((if (h - 1 - 2 * (position() / ((w + 1) / 2)) < until) blue else 128).toByte())
        }
        return dev.edgekit.core.YuvFrame(w, h, 90, y, w, cb, chroma, (w + 1) / 2, 1)
    }

    @Test
    fun `frames are turned as Android's documentation says`() {
        val back = CameraChoice("0", Size(1280, 720), 90, facesPerson = false)
        val front = CameraChoice("1", Size(1280, 720), 270, facesPerson = true)
        assertEquals(listOf(90, 0, 270, 180), listOf(0, 90, 180, 270).map { back.rotation(it) })
        assertEquals(listOf(270, 0, 90, 180), listOf(0, 90, 180, 270).map { front.rotation(it) })
    }

    /** The texture arrives stretched over the view, upright for a phone that is not turned. */
    @Test
    fun `the preview covers its view, upright and in proportion`() {
        val size = Size(1280, 720)
        for ((screen, width, height) in listOf(Triple(0, 1000, 900), Triple(90, 900, 1000), Triple(180, 500, 900), Triple(270, 1600, 900))) {
            val rotation = (90 - screen + 360) % 360
            val matrix = Camera.cover(width, height, size, rotation, screen)
            val corners = floatArrayOf(0f, 0f, width.toFloat(), 0f, 0f, height.toFloat())
            matrix.mapPoints(corners)
            val across = Math.hypot((corners[2] - corners[0]).toDouble(), (corners[3] - corners[1]).toDouble())
            val down = Math.hypot((corners[4] - corners[0]).toDouble(), (corners[5] - corners[1]).toDouble())
            assertEquals(1280.0 / 720, down / across, 1e-3)  // the natural picture is tall
            val turned = Math.toDegrees(Math.atan2((corners[3] - corners[1]).toDouble(), (corners[2] - corners[0]).toDouble()))
            assertEquals(screen.toDouble(), (360 - turned) % 360, 1e-3)
            val box = android.graphics.RectF(0f, 0f, width.toFloat(), height.toFloat()).also { matrix.mapRect(it) }
            assertTrue("$box over $width x $height", box.left <= 0.1 && box.top <= 0.1 && box.right >= width - 0.1 && box.bottom >= height - 0.1)
            assertTrue(minOf(box.width() - width, box.height() - height) < 0.5)
        }
    }

    /** A point of the sensor's frame as the preview shows it, and as what the model finds there is drawn. */
    @Test
    fun `answers lie on the preview, whichever camera it is and however the phone is turned`() {
        val size = Size(1280, 720)
        fun upright(turned: Int, mirrored: Boolean = false) =
            (if (turned % 180 == 0) size else Size(720, 1280)).let { it to Showing(1280, 720, it.width, it.height, covers = true, mirrored, turned) }
        for (front in listOf(false, true)) for (screen in listOf(0, 90, 180, 270)) {
            val choice = CameraChoice("0", size, if (front) 270 else 90, front)
            val (width, height) = if (screen % 180 == 0) Pair(900, 700) else Pair(700, 900)
            val (seen, turn) = upright(choice.rotation(screen))
            // Android's part: upright on a phone that is not turned, a front camera's as in a mirror, stretched over the view
            val (natural, given) = upright(choice.rotation(0), front)
            for ((x, y) in listOf(100.0 to 50.0, 1000.0 to 600.0)) {
                val (right, down) = turn.point(x, y)
                val drawn = Showing(seen.width, seen.height, width, height, covers = true, front).point(right, down)
                val shown = given.point(x, y).let { (a, b) -> floatArrayOf((a / natural.width * width).toFloat(), (b / natural.height * height).toFloat()) }
                Camera.cover(width, height, size, choice.rotation(screen), screen).mapPoints(shown)
                assertEquals("front $front, screen $screen", shown[0].toDouble(), drawn.first, 0.01)
                assertEquals("front $front, screen $screen", shown[1].toDouble(), drawn.second, 0.01)
            }
        }
    }

    @Test
    fun `another model, other threads and another accelerator are opened and kept`() {
        choose(TINY)
        val main = started().get()
        main.press(R.id.controls)
        assertEquals(ControlsActivity::class.java.name, shadowOf(main).nextStartedActivity.component!!.className)
        val controls = Robolectric.buildActivity(ControlsActivity::class.java).setup().get()
        fun words(id: Int) = controls.view<RadioGroup>(id).run { (0 until childCount).map { "${(getChildAt(it) as RadioButton).text}" } }
        assertEquals(app.models.names(), words(R.id.models).map { it.lines().first() })
        assertTrue("${words(R.id.models)}", "$TINY\nclassification · int8-static · 14 kB · tflite" in words(R.id.models))
        assertEquals(listOf("CPU", "CPU, without XNNPACK"), words(R.id.accelerators))
        assertEquals(listOf("1", "2", "4", "8"), words(R.id.threads))
        controls.check(R.id.models, app.models.names().indexOf(ONNX))
        settle()
        assertEquals(listOf("CPU"), words(R.id.accelerators))
        assertTrue(main.text(R.id.running), main.text(R.id.running).startsWith("onnxruntime 1."))
        assertEquals("$ONNX, 1 thread, CPU. Change", main.view<View>(R.id.controls).contentDescription)
        assertEquals("4 threads", controls.view<RadioGroup>(R.id.threads).getChildAt(2).contentDescription)
        controls.check(R.id.threads, 2)
        settle()
        assertTrue(main.text(R.id.running), main.text(R.id.running).contains("4 threads"))
        assertEquals(Choice(ONNX, 4, "cpu"), app.settings.choice(app.models.names()))
        app.settings.keep(Choice(ONNX, 4, "cpu-builtin"))
        settle()
        assertTrue(main.notice(), main.notice().contains("onnxruntime has no accelerator cpu-builtin here"))
        assertFalse(main.shown(R.id.example_photo))
        controls.check(R.id.models, app.models.names().indexOf(TINY))
        settle()
        assertTrue(main.text(R.id.running), main.text(R.id.running).contains("cpu-builtin, delegate: none"))
        assertTrue(main.text(R.id.golden), main.text(R.id.golden).startsWith("This phone gives the right answers"))
        val before = app.settings.choice(app.models.names())
        val sheet = Robolectric.buildActivity(ControlsActivity::class.java).setup().also { it.recreate(); settle() }.get()
        assertEquals(before, app.settings.choice(app.models.names()))
        assertEquals(before.model, "${sheet.findViewById<RadioButton>(sheet.view<RadioGroup>(R.id.models).checkedRadioButtonId)!!.text}".lines().first())
        controls.view<View>(R.id.beside).performClick()
        assertTrue(controls.isFinishing)
        app.settings.keep(Choice("one that was removed", 1, "cpu"))
        assertEquals(DETECTOR, app.settings.choice(app.models.names()).model)  // boxes first
        assertEquals(ONNX, app.settings.choice(listOf(ONNX, TINY)).model)
    }

    @Test
    fun `a card says what the model is, what was proven, and how it does here`() {
        for ((model, said) in listOf(
            ITEMS to listOf("detection", "tops, trousers, dresses, shoes, bags", "128 × 128 pixels, the whole image, with bars", "fp32: as asked", "F1", "MIT"),
            CLIPS to listOf("classification", "brighter, darker", "8 frames, 8.00 a second, of 24 × 24 pixels, cropped from the middle", "top-1 agreement", "not stated"),
            TINY to listOf("top-1 agreement", "32 × 32 pixels, cropped from the middle"), RAW to listOf("raw numbers", "depth is off by"),
        )) {
            choose(model)
            val card = Robolectric.buildActivity(CardActivity::class.java).setup().get().also { settle() }
            val facts = card.view<android.widget.LinearLayout>(R.id.facts).run { (0 until childCount).map { getChildAt(it) } }.filterIsInstance<android.view.ViewGroup>()
                .map { fact -> (0..1).map { "${(fact.getChildAt(it) as android.widget.TextView).text}" } }
            for (word in said + listOf("Compared with PyTorch on", "Signal to noise", "Exported with", "Runtime")) assertTrue("$model: $word in $facts", facts.any { fact -> fact.any { word in it } })
            assertTrue(facts.none { it[1].isEmpty() })
            assertEquals("", card.notice())
            assertEquals("This phone gives the right answers: 4 of 4 examples.", card.text(R.id.golden))
        }
        carry(TINY, "model.tflite" to { it.copyOf(5) })
        val damaged = Robolectric.buildActivity(CardActivity::class.java).setup().get().also { settle() }
        assertTrue(damaged.notice(), damaged.notice().startsWith("This model does not run here\nmodel.tflite is damaged"))
        assertTrue(damaged.view<android.widget.LinearLayout>(R.id.facts).childCount > 5)
        app.models = Models({ emptyList() }) { throw java.io.FileNotFoundException(it) }
        assertTrue(Robolectric.buildActivity(CardActivity::class.java).setup().get().notice().startsWith("No model in this app"))
    }

    @Test
    fun `without a model it says how to put one in`() {
        app.models = Models({ emptyList() }) { throw java.io.FileNotFoundException(it) }
        val main = started().get()
        assertTrue(main.notice(), main.notice().startsWith("No model in this app\nOn your computer: edgekit export"))
        assertFalse(main.view<View>(R.id.pick).isEnabled || main.view<View>(R.id.measure).isEnabled)
    }

    @Test
    fun `a model that does not run here says why`() {
        for ((said, changed) in listOf<Pair<String, Pair<String, (ByteArray) -> ByteArray?>>>(
            "model.tflite is damaged: it ends after 1000 of 13757 bytes" to ("model.tflite" to { it.copyOf(1000) }),
            "golden.npz is missing" to ("golden.npz" to { null }),
            "labels.txt is damaged" to ("labels.txt" to { it.clone().apply { set(0, 35) } }),
            "labels.txt has 6 lines for 5 labels" to ("labels.txt" to { it + "more\n".toByteArray() }),
            "manifest.json: not JSON: the file ends too early" to manifest { it.take(100) },
            "this model was exported with schema 7; this app reads up to schema 4" to manifest { it.replace("\"schema\": 1", "\"schema\": 7") },
            "this file needs LiteRT 9.9 or later on arm64, and this app has TFLite 2.16.1" to manifest {
                it.replace(Regex("\"oldest_interpreter\": \\{[^}]*\\}"), "\"oldest_interpreter\": {\"arm64\": \"LiteRT 9.9\"}")
            },
            "this app has no runtime for onnx files" to manifest { it.replace("\"target\": \"tflite\"", "\"target\": \"onnx\"") },
        )) {
            app.engines = listOf(dev.edgekit.demo.engine.TfliteEngine)
            carry(TINY, changed)
            val main = started().get()
            assertTrue("$said: ${main.notice()}", main.notice().startsWith("This model does not run here\n") && said in main.notice())
            assertEquals("", main.text(R.id.golden))
            assertTrue(main.shown(R.id.controls))
        }
    }

    @Test
    fun `a phone that answers wrongly is told so`() {
        for ((model, alike) in listOf(
            TINY to ", the same best class for 4 of 4 examples.", SEGMENTER to ", the same class for 100.0 % of the pixels of the worst example.",
            DETECTOR to ", an F1 of 1.000 of the boxes of the worst example.", EMBEDDER to ", a cosine of 1.000 in the worst example.", RAW to ").",
        )) {
            carry(model, manifest { it.replace(Regex("\"(golden_)?tolerance\": [0-9.e-]+"), "\"\$1tolerance\": -1") })
            val main = started().get()
            val said = main.text(R.id.golden)
            assertTrue("$model: $said ${main.notice()}", said.startsWith("This phone gives WRONG answers: off by ") && said.endsWith(alike))
            assertEquals(main.themed(R.attr.wrong), main.view<android.widget.TextView>(R.id.golden).currentTextColor)
        }
    }

    @Test
    fun `turning the phone opens nothing anew, and keeps the choice`() {
        var opened = 0
        app.engines = app.engines.map { Counted(it) { opened++ } }
        choose(TINY, threads = 2)
        val controller = started()
        org.robolectric.RuntimeEnvironment.setQualifiers("+land")
        controller.configurationChange()
        settle()
        controller.recreate()
        settle()
        assertEquals(1, opened)
        assertEquals("$TINY, 2 threads, CPU. Change", controller.get().view<View>(R.id.controls).contentDescription)
        assertTrue(controller.get().text(R.id.golden).startsWith("This phone gives the right"))
    }

    private class Counted(private val kind: EngineKind, private val opened: () -> Unit) : EngineKind() {
        override val name get() = kind.name
        override val target get() = kind.target
        override val version get() = kind.version
        override fun start(spec: dev.edgekit.core.ModelSpec, model: java.nio.ByteBuffer, options: dev.edgekit.demo.engine.EngineOptions) =
            kind.open(spec, model, options).also { opened() }
    }

    @Test
    fun `a photo is picked, or not`() {
        choose(TINY)
        val main = started().get()
        main.press(R.id.pick)
        val asked = shadowOf(main).nextStartedActivityForResult
        assertEquals(MediaStore.ACTION_PICK_IMAGES, asked.intent.action)
        shadowOf(main).clearNextStartedActivities()
        shadowOf(main).receiveResult(asked.intent, 0, null)
        assertEquals(null, shadowOf(main).nextStartedActivity)
        val uri = photo { png(golden(TINY).pictures[0]).inputStream() }
        main.press(R.id.pick)
        val again = shadowOf(main).nextStartedActivityForResult.intent
        shadowOf(main).clearNextStartedActivities()
        shadowOf(main).receiveResult(again, -1, Intent().setData(uri))
        val next = shadowOf(main).nextStartedActivity
        assertEquals(listOf(PhotoActivity::class.java.name, uri), listOf(next.component!!.className, next.data))
        main.press(R.id.measure)
        assertEquals(TimesActivity::class.java.name, shadowOf(main).nextStartedActivity.component!!.className)
    }

    @Test
    @Config(sdk = [28])
    fun `the oldest Android`() {
        assertEquals(28, Build.VERSION.SDK_INT)
        choose(REAL)
        val main = started().get()
        assertTrue(main.text(R.id.golden), main.text(R.id.golden).startsWith("This phone gives the right answers: "))
        main.press(R.id.pick)
        assertEquals(Intent.ACTION_GET_CONTENT, shadowOf(main).nextStartedActivityForResult.intent.action)
        assertEquals(28, Phone.facts(app).sdk)
    }

    @Test
    fun `nothing lies under the system's bars`() {
        choose(TINY)
        for (screen in listOf(MainActivity::class.java, PhotoActivity::class.java, TimesActivity::class.java, CardActivity::class.java, ControlsActivity::class.java)) {
            val activity = Robolectric.buildActivity(screen).setup().get()
            val insets = WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), Insets.of(1, 63, 2, 126))
                .setInsets(WindowInsets.Type.displayCutout(), Insets.of(80, 0, 0, 0)).build()
            activity.window.decorView.dispatchApplyWindowInsets(insets)
            val root = activity.view<View>(R.id.root)
            val sheet = activity is ControlsActivity  // which reaches down to the edge, and keeps its content clear
            assertEquals(listOf(80, 63, 2, if (sheet) 0 else 126), listOf(root.paddingLeft, root.paddingTop, root.paddingRight, root.paddingBottom))
            if (sheet) assertEquals(126 + 20, activity.view<Panel>(R.id.panel).getChildAt(0).paddingBottom)
        }
    }
}
