package dev.edgekit.demo

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraManager
import android.net.Uri
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS
import android.view.Surface
import android.view.TextureView
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import dev.edgekit.core.EdgekitException
import dev.edgekit.core.Picture
import dev.edgekit.core.Summary
import dev.edgekit.core.YuvFrame

/** The camera, live, with the chosen model's answers over it; while there is none, examples that came with the model. */
class MainActivity : Activity(), TextureView.SurfaceTextureListener {
    private var camera: Camera? = null
    private var chosenCamera: CameraChoice? = null
    private var surface: SurfaceTexture? = null
    private var choice: Choice? = null
    @Volatile private var runs = false  // the chosen model was opened
    private var started = false
    private var asked = false
    private var turned = 0
    private var example = 0
    private val chosen: () -> Unit = { if (app.settings.choice(app.models.names()) != choice) open() }
    private val recent = Recent()
    @Volatile private var clips: Clips? = null  // of a model that takes them; used on the camera's thread

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.main)
        view<View>(R.id.root).keepClearOfBars()
        view<TextureView>(R.id.preview).surfaceTextureListener = this
        view<OverlayView>(R.id.overlay).covers = true
        view<View>(R.id.example).setOnClickListener { example++; showExample() }
        view<Button>(R.id.pick).setOnClickListener { pick(PICK, clips != null) }
        view<Button>(R.id.measure).setOnClickListener { startActivity(Intent(this, TimesActivity::class.java)) }
        asked = saved?.getBoolean("asked") ?: false
    }

    override fun onSaveInstanceState(out: Bundle) {
        super.onSaveInstanceState(out)
        out.putBoolean("asked", asked)
    }

    override fun onStart() {
        super.onStart()
        started = true
        val models = app.models.names()
        for (id in listOf(R.id.measure, R.id.pick)) view<View>(id).isEnabled = models.isNotEmpty()
        for (id in listOf(R.id.controls, R.id.card)) view<View>(id).visibility = if (models.isEmpty()) View.GONE else View.VISIBLE
        noExample()
        if (models.isEmpty()) return notice(getString(R.string.no_models), getString(R.string.no_models_hint))
        app.settings.changed = chosen
        open()
    }

    override fun onStop() {
        started = false
        if (app.settings.changed === chosen) app.settings.changed = {}  // the next screen has started already
        stopCamera()
        super.onStop()
    }

    private fun open() {
        val wanted = app.settings.choice(app.models.names())
        choice = wanted
        offerControls(wanted)
        runs = false
        clips = null
        recent.forget()
        showNothing()
        view<View>(R.id.preview).contentDescription = getString(R.string.preview)
        view<TextView>(R.id.golden).run { text = ""; setCompoundDrawables(null, null, null, null) }
        view<TextView>(R.id.timing).text = ""
        view<TextView>(R.id.running).text = getString(R.string.opening, wanted.model)
        noNotice()
        noExample()
        app.session.use(wanted, { it }) { result ->
            if (choice != wanted || !started) return@use
            view<TextView>(R.id.running).text = ""
            result.fold(::opened) {
                val trouble = trouble(it)
                stopCamera()
                notice(getString(R.string.model_failed), "${trouble.what}\n\n${getString(R.string.choose_another, trouble.hint)}")
            }
        }
    }

    private fun opened(model: Opened) {
        clips = if (model.spec.preprocess.isClip) Clips(model.spec) else null
        view<Button>(R.id.pick).setText(if (clips == null) R.string.pick_photo else R.string.pick_video)
        runs = true
        showRuntime(model)
        showGolden(model)
        fillPanel()
        startCamera()
    }

    // The camera

    private fun startCamera() {
        val surface = surface
        if (camera != null || !started || !runs) return
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            explainPermission()
            return showExample()
        }
        val manager = getSystemService(CameraManager::class.java)
        val found = manager?.let { runCatching { CameraChoice.of(it) }.getOrNull() }
        if (found == null) {
            notice(getString(R.string.no_camera), getString(R.string.no_camera_hint))
            return showExample()
        }
        view<OverlayView>(R.id.overlay).mirrored = found.facesPerson  // its preview is, the frames that are looked at are not
        noNotice()
        noExample()
        if (surface == null) return  // onSurfaceTextureAvailable comes here again
        chosenCamera = found
        val worker: (() -> Unit) -> Unit = { act -> app.worker.execute(act) }
        camera = Camera(manager, found, Handler(Looper.getMainLooper()), worker, { clips != null }, ::look) { why ->
            stopCamera()
            notice(getString(R.string.camera_failed, why), getString(R.string.camera_failed_hint), R.string.again) { startCamera() }
        }
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        turn()
        camera?.start(surface)
    }

    private fun explainPermission() {
        val never = asked && !shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)
        val act = {
            if (never) startActivity(Intent(ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))
            else requestPermissions(arrayOf(Manifest.permission.CAMERA), PERMISSION)
        }
        notice(
            getString(if (asked) R.string.no_permission else R.string.ask_permission), getString(R.string.no_permission_hint),
            if (never) R.string.open_settings else R.string.allow, act,
        )
    }

    override fun onRequestPermissionsResult(request: Int, names: Array<out String>, results: IntArray) {
        asked = true
        startCamera()
    }

    private fun stopCamera() {
        camera?.close()
        camera = null
        window.clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
    }

    /** A frame, on the worker; of clips on the camera's thread. Its buffers are the camera's, and are not looked at afterwards. */
    internal fun look(frame: YuvFrame) {
        val wanted = choice?.takeIf { runs } ?: return
        clips?.let { return look(it, frame, wanted) }
        val result = app.session.now(wanted) { opened -> opened.look(app.clock) { it.preprocessor.yuv(frame) } }
        app.main.execute { if (started && choice == wanted) result.fold(::show) { failed(it) } }
    }

    private fun look(clips: Clips, frame: YuvFrame, wanted: Choice) {
        val clock = app.clock
        val start = clock.nanos()
        val window = try {
            clips.look(frame)
        } catch (error: EdgekitException) {
            return app.main.execute { if (started && choice == wanted) failed(error) }
        }
        val preprocessing = clock.nanos() - start
        val (collected, ended) = Pair(clips.collected, frame.nanos)
        if (collected < clips.frames) app.main.execute { if (started && choice == wanted) collecting(collected, clips.frames) }
        if (window == null) return
        app.worker.execute {
            val result = app.session.now(wanted) { opened ->
                val ready = clock.nanos()
                val values = opened.model.values(window)
                val done = clock.nanos()
                Timed(opened.say(clips.smoothing.add(values, ended)), preprocessing, done - ready)
            }
            clips.answered()
            app.main.execute { if (started && choice == wanted) result.fold(::show) { failed(it) } }
        }
    }

    private fun collecting(collected: Int, frames: Int) {
        view<TextView>(R.id.timing).text = getString(R.string.collecting, collected, frames)
        fillPanel()
    }

    private fun show(seen: Timed) {
        recent.add(seen.preprocessing, seen.inference)
        view<TextView>(R.id.timing).text = getString(R.string.timing, recent.inference / 1e6, recent.preprocessing / 1e6)
        show(seen.said)
    }

    // Without a camera

    /** One of the model's own examples, and its answer. */
    private fun showExample() {
        val wanted = choice ?: return
        val clock = app.clock
        app.session.use(wanted, { opened ->
            val frames = opened.examples[example % opened.examples.size]
            frames[frames.size / 2] to opened.look(clock) { it.tensor(frames) }
        }) { result ->
            if (!started || choice != wanted || camera != null) return@use
            result.fold({ (picture, seen) -> showExample(picture, seen) }) { failed(it) }
        }
    }

    private fun showExample(picture: Picture, seen: Timed) {
        view<ImageView>(R.id.example_photo).run {
            setImageBitmap(Bitmap.createBitmap(picture.argb, picture.width, picture.height, Bitmap.Config.ARGB_8888))
            visibility = View.VISIBLE
        }
        view<TextView>(R.id.timing).text = getString(R.string.example_timing, seen.inference / 1e6, seen.preprocessing / 1e6)
        show(seen.said, R.id.example_overlay)
        view<View>(R.id.example).run {
            isClickable = true
            contentDescription = getString(R.string.example_spoken, spoken(seen.said, R.id.example_overlay) ?: getString(R.string.photo))
        }
    }

    private fun noExample() {
        view<View>(R.id.example).run {
            isClickable = false
            contentDescription = null
        }
        view<View>(R.id.example_photo).visibility = View.GONE
        view<OverlayView>(R.id.example_overlay).show(null)
    }

    private fun failed(error: Throwable) {
        stopCamera()
        val trouble = trouble(error)
        notice(trouble.what, getString(R.string.do_this, trouble.hint), R.string.again) { startCamera() }
    }

    /** Medians of the last frames: one number that can be read. */
    private class Recent {
        private val preprocessings = ArrayDeque<Long>()
        private val inferences = ArrayDeque<Long>()
        val preprocessing get() = Summary(preprocessings.toLongArray()).p50 ?: 0.0
        val inference get() = Summary(inferences.toLongArray()).p50 ?: 0.0

        fun add(preprocessing: Long, inference: Long) {
            if (inferences.size == 30) forgetFirst()
            preprocessings += preprocessing
            inferences += inference
        }

        fun forget() {
            preprocessings.clear()
            inferences.clear()
        }

        private fun forgetFirst() {
            preprocessings.removeFirst()
            inferences.removeFirst()
        }
    }

    // The preview

    override fun onSurfaceTextureAvailable(texture: SurfaceTexture, width: Int, height: Int) {
        surface = texture
        startCamera()
    }

    override fun onSurfaceTextureSizeChanged(texture: SurfaceTexture, width: Int, height: Int) = turn()

    override fun onSurfaceTextureDestroyed(texture: SurfaceTexture): Boolean {
        stopCamera()
        surface = null
        return true
    }

    /** From one landscape to the other Android tells nothing else. */
    override fun onSurfaceTextureUpdated(texture: SurfaceTexture) {
        if (screen() != turned) turn()
    }

    private fun turn() {
        val found = chosenCamera ?: return
        val preview = view<TextureView>(R.id.preview)
        val screen = screen()
        turned = screen
        camera?.rotation = found.rotation(screen)
        preview.setTransform(Camera.cover(preview.width, preview.height, found.size, found.rotation(screen), screen))
    }

    /** Degrees. */
    private fun screen() = when (view<TextureView>(R.id.preview).display?.rotation) {
        Surface.ROTATION_90 -> 90
        Surface.ROTATION_180 -> 180
        Surface.ROTATION_270 -> 270
        else -> 0
    }

    @Deprecated("Deprecated in Java")
    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val photo = data?.data ?: return  // a person changed their mind
        startActivity(Intent(this, PhotoActivity::class.java).setData(photo).addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION))
    }

    private companion object {
        const val PICK = 1
        const val PERMISSION = 2
    }
}
