package dev.edgekit.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import dev.edgekit.core.Answer
import dev.edgekit.core.BadRequest
import dev.edgekit.core.ModelSpec

/** One photo, picked here or shared from elsewhere, and what the chosen model says of it. */
class PhotoActivity : Activity() {
    private var uri: Uri? = null
    private val chosen: () -> Unit = ::look

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.photo)
        view<View>(R.id.root).keepClearOfBars()
        view<Button>(R.id.pick).setOnClickListener { pickPhoto(PICK) }
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
        app.session.use(choice, { refuseClips(it.spec); Look(it, Photos.read(applicationContext, photo)) }) { result ->
            if (!isDestroyed && uri == photo) result.fold(::show) { tell(trouble(it)) }
        }
    }

    private fun refuseClips(spec: ModelSpec) = spec.preprocess.run {
        if (isClip) throw BadRequest(getString(R.string.takes_clips, frames, rate), getString(R.string.takes_clips_hint))
    }

    /** The photo and its answer; made on the worker. */
    private inner class Look(val opened: Opened, val photo: Photo) {
        val timed = photo.argb().let { pixels -> opened.look(app.clock) { it.preprocessor.argb(pixels, photo.bitmap.width, photo.bitmap.height) } }
        val said get() = timed.said
    }

    private fun show(look: Look) {
        noNotice()
        view<ImageView>(R.id.photo).run {
            setImageBitmap(look.photo.bitmap)
            contentDescription = spoken(look.said) ?: getString(R.string.photo)
        }
        showGolden(look.opened)
        view<TextView>(R.id.timing).text = look.timed.run { getString(R.string.timing, inference / 1e6, preprocessing / 1e6) }
        view<TextView>(R.id.running).text = ""
        show(look.said)
        offerAlbum(look)
        view<TextView>(R.id.sampled).run {
            visibility = if (look.photo.sample > 1) View.VISIBLE else View.GONE
            text = getString(R.string.photo_sampled, look.photo.width, look.photo.height, look.photo.sample)
        }
    }

    /** Of an embedding: keep this photo to compare others with, or forget all that were kept. */
    private fun offerAlbum(look: Look) {
        val kept = app.album.names().size
        val compares = look.said.answer is Answer.Vector
        view<Button>(R.id.keep).run {
            visibility = if (compares) View.VISIBLE else View.GONE
            setOnClickListener { change { app.album.keep(look.photo.bitmap) } }
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
