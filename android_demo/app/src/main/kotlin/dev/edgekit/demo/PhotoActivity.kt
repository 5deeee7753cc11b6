package dev.edgekit.demo

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import dev.edgekit.core.Answer
import dev.edgekit.core.BadRequest
import dev.edgekit.core.ModelSpec
import java.util.concurrent.CancellationException

/** One photo, or of a model that takes clips a video, picked here or shared from elsewhere, and what the chosen model says of it. */
class PhotoActivity : Activity() {
    private var uri: Uri? = null
    private val chosen: () -> Unit = ::look
    private var clips = false  // the chosen model takes them
    @Volatile private var asked = 0  // how often: what was asked before is given up

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.photo)
        view<View>(R.id.root).keepClearOfBars()
        view<Button>(R.id.pick).setOnClickListener { pick(PICK, clips) }
        uri = saved?.uri("photo") ?: given(intent)
        look()
    }

    override fun onStart() {
        super.onStart()
        app.settings.changed = chosen
    }

    override fun onStop() {
        if (app.settings.changed === chosen) app.settings.changed = {}
        super.onStop()
    }

    override fun onDestroy() {
        asked++
        super.onDestroy()
    }

    override fun onSaveInstanceState(out: Bundle) {
        super.onSaveInstanceState(out)
        out.putParcelable("photo", uri)
    }

    @Deprecated("Deprecated in Java")
    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val picked = data?.data ?: return  // a person changed their mind
        uri = picked
        look()
    }

    private fun look() {
        val photo = uri ?: return tell(Trouble(getString(R.string.no_photo), getString(R.string.no_photo_hint)))
        val models = app.models.names()
        if (models.isEmpty()) return notice(getString(R.string.no_models), getString(R.string.no_models_hint))
        val choice = app.settings.choice(models)
        offerControls(choice)
        view<TextView>(R.id.running).text = getString(R.string.opening, choice.model)
        fillPanel()
        val turn = ++asked
        app.session.use(choice, { opened ->
            offerPick(opened.spec, turn)
            if (opened.spec.preprocess.isClip) watch(opened, photo, turn) else see(opened, photo)
        }) { result ->
            if (turn == asked) result.fold(::show) { tell(trouble(it)) }
        }
    }

    /** Whether another photo or another video is picked. */
    private fun offerPick(spec: ModelSpec, turn: Int) = app.main.execute {
        if (turn != asked) return@execute
        clips = spec.preprocess.isClip
        view<Button>(R.id.pick).setText(if (clips) R.string.another_video else R.string.another_photo)
    }

    /** What was looked at, and the answer; note: what a person should know of it. Made on the worker. */
    private class Look(val opened: Opened, val bitmap: Bitmap, val timed: Timed, val timing: String, val note: String?) {
        val said get() = timed.said
    }

    private fun kind(uri: Uri) = contentResolver.getType(uri) ?: intent.type?.takeIf { given(intent) == uri }

    private fun see(opened: Opened, uri: Uri): Look {
        if (kind(uri)?.startsWith("video/") == true) throw BadRequest(getString(R.string.takes_photos), getString(R.string.takes_photos_hint))
        val photo = Photos.read(applicationContext, uri)
        val timed = photo.argb().let { pixels -> opened.look(app.clock) { it.preprocessor.argb(pixels, photo.bitmap.width, photo.bitmap.height) } }
        val note = if (photo.sample > 1) getString(R.string.photo_sampled, photo.width, photo.height, photo.sample) else null
        return Look(opened, photo.bitmap, timed, getString(R.string.timing, timed.inference / 1e6, timed.preprocessing / 1e6), note)
    }

    private fun watch(opened: Opened, uri: Uri, turn: Int): Look {
        val spec = opened.spec.preprocess
        if (kind(uri)?.startsWith("image/") == true) throw BadRequest(getString(R.string.takes_clips, spec.frames, spec.rate), getString(R.string.takes_clips_hint))
        val watched = Video.open(applicationContext, uri).use { video ->
            opened.watch(video, app.clock) { done, all ->
                if (turn != asked) throw CancellationException()
                app.main.execute { if (turn == asked) view<TextView>(R.id.running).text = getString(R.string.reading_frames, done, all) }
            }
        }
        val timing = watched.timed.run { resources.getQuantityString(R.plurals.windows, watched.windows, watched.windows, inference / 1e6, preprocessing / 1e6) }
        val note = if (watched.broken > 0) resources.getQuantityString(R.plurals.video_broken, watched.broken, watched.broken) else null
        return Look(opened, watched.picture, watched.timed, timing, note)
    }

    private fun show(look: Look) {
        noNotice()
        view<ImageView>(R.id.photo).run {
            setImageBitmap(look.bitmap)
            contentDescription = spoken(look.said) ?: getString(R.string.photo)
        }
        showGolden(look.opened)
        view<TextView>(R.id.timing).text = look.timing
        view<TextView>(R.id.running).text = ""
        show(look.said)
        offerAlbum(look)
        view<TextView>(R.id.sampled).run {
            visibility = if (look.note == null) View.GONE else View.VISIBLE
            text = look.note
        }
    }

    /** Of an embedding: keep this photo to compare others with, or forget all that were kept. */
    private fun offerAlbum(look: Look) {
        val kept = app.album.names().size
        val compares = look.said.answer is Answer.Vector && !clips
        view<Button>(R.id.keep).run {
            visibility = if (compares) View.VISIBLE else View.GONE
            setOnClickListener { change { app.album.keep(look.bitmap) } }
        }
        view<Button>(R.id.forget).run {
            visibility = if (compares && kept > 0) View.VISIBLE else View.GONE
            text = resources.getQuantityString(R.plurals.forget, kept, kept)
            setOnClickListener { change { app.album.forget() } }
        }
    }

    private fun change(act: () -> Unit) {
        val choice = app.settings.choice(app.models.names())
        app.session.use(choice, { act() }) { result -> result.fold({ look() }) { tell(trouble(it)) } }
    }

    private fun tell(trouble: Trouble) {
        app.models.names().takeIf { it.isNotEmpty() }?.let { offerControls(app.settings.choice(it)) }
        view<ImageView>(R.id.photo).run {
            setImageDrawable(null)
            contentDescription = getString(R.string.photo)
        }
        showNothing()
        for (id in listOf(R.id.keep, R.id.forget)) view<View>(id).visibility = View.GONE
        for (id in listOf(R.id.timing, R.id.golden, R.id.running)) view<TextView>(id).text = ""
        view<View>(R.id.sampled).visibility = View.GONE
        notice(trouble.what, getString(R.string.do_this, trouble.hint))
    }

    private companion object {
        const val PICK = 1

        fun given(intent: Intent): Uri? = intent.data ?: intent.extras?.uri(Intent.EXTRA_STREAM)

        @Suppress("DEPRECATION")
        fun Bundle.uri(name: String): Uri? = getParcelable(name)
    }
}
