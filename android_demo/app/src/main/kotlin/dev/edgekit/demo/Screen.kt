package dev.edgekit.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Context
import android.content.Intent
import android.content.res.ColorStateList
import android.graphics.Bitmap
import android.os.Build
import android.provider.MediaStore
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import dev.edgekit.core.Answer
import dev.edgekit.core.ClassScore
import dev.edgekit.core.Classification
import dev.edgekit.core.Detection
import dev.edgekit.core.EdgekitException
import dev.edgekit.core.Embedding
import dev.edgekit.core.Gallery
import dev.edgekit.core.Raw
import dev.edgekit.core.Segmentation

/** What the screens have in common. */

/** Android 15 gives null where an id is not there, 16 throws: both compile. */
fun <T : View> Activity.view(id: Int): T = findViewById<T>(id)!!

/** Nothing is under the system's bars or a camera's hole: edge to edge is the rule from targetSdk 35 on. */
fun View.keepClearOfBars() = setOnApplyWindowInsetsListener { view, insets ->
    if (Build.VERSION.SDK_INT >= 30) {
        Newer.pad(view, insets)
    } else {
        @Suppress("DEPRECATION")
        view.setPadding(
            insets.systemWindowInsetLeft, insets.systemWindowInsetTop, insets.systemWindowInsetRight, insets.systemWindowInsetBottom,
        )
    }
    insets
}

/** What went wrong, and what to do about it. */
class Trouble(val what: String, val hint: String)

fun Context.trouble(error: Throwable): Trouble = when (error) {
    is EdgekitException -> Trouble(error.message, error.hint)
    is OutOfMemoryError -> Trouble(getString(R.string.no_memory), getString(R.string.no_memory_hint))
    else -> {
        android.util.Log.e("edgekit", "unexpected", error)
        Trouble(getString(R.string.unexpected, error.javaClass.simpleName, error.message ?: ""), getString(R.string.unexpected_hint))
    }
}

/** The notice of layout/notice.xml; a button where an act is given. */
fun Activity.notice(title: String, text: String, label: Int = 0, act: (() -> Unit)? = null) {
    view<TextView>(R.id.notice_title).text = title
    view<TextView>(R.id.notice_text).text = text
    view<Button>(R.id.notice_action).run {
        visibility = if (act == null) View.GONE else View.VISIBLE
        if (act != null) setText(label)
        setOnClickListener { act?.invoke() }
    }
    view<View>(R.id.notice).visibility = View.VISIBLE
}

fun Activity.noNotice() {
    view<View>(R.id.notice).visibility = View.GONE
}

/** A line of an answer. share: of 1, the length of its bar; place: where on the picture, in words. */
class Row(
    val label: String, val figure: String = "", val share: Float = 0f, val colour: Int? = null, val picture: Bitmap? = null, val place: String? = null,
)

fun Activity.show(said: Said) {
    showRows(rows(said))
    offerScore(said)
    view<OverlayView>(R.id.overlay).show(said.answer, (said.answer as? Answer.Boxes)?.let { said.from(it) } ?: 0f)
}

fun Activity.showNothing() {
    showRows(emptyList())
    offerScore(null)
    view<OverlayView>(R.id.overlay).show(null)
}

/** An answer in lines, the most telling first. */
fun Activity.rows(said: Said): List<Row> = when (val answer = said.answer) {
    is Answer.Classes -> answer.top(TOP).map { percent(label(it), it.probability) }
    is Answer.Mask -> answer.shares().filter { it.part >= LEAST }.map {
        val drawn = it.index != answer.background
        percent(it.label, it.part, if (drawn) answer.colours[it.index] else getColor(R.color.ink_soft))
    }
    is Answer.Boxes -> rows(said, answer, TOP)
    is Answer.Vector -> if (said.opened.spec.preprocess.isClip) listOf(Row(getString(R.string.embedding, answer.numbers.size))) else neighbours(answer, said.nearest)
    is Answer.Raw -> answer.tensors.map { Row(it.name, it.sides.joinToString(" × ")) }
}

private fun Activity.neighbours(vector: Answer.Vector, nearest: List<Gallery.Neighbour>): List<Row> {
    if (nearest.isEmpty()) return listOf(Row(getString(R.string.nothing_kept, vector.numbers.size)))
    val kept = app.album.names()
    return nearest.filter { it.name in kept }.map {
        val label = getString(R.string.kept_photo, kept.indexOf(it.name) + 1)
        Row(label, getString(R.string.similarity, it.similarity), it.similarity, picture = app.album.small(it.name))
    }
}

private fun Context.label(of: ClassScore) = when (of.holds) {
    null -> of.label
    true -> getString(R.string.holds, of.label)
    false -> getString(R.string.holds_not, of.label)
}

private fun Context.percent(label: String, share: Float, colour: Int? = null) =
    Row(label, getString(R.string.percent, 100 * share), share, colour)

/** Rows are made once and filled again. */
fun Activity.showRows(rows: List<Row>) {
    val list = view<LinearLayout>(R.id.answers)
    while (list.childCount > rows.size) list.removeViewAt(list.childCount - 1)
    while (list.childCount < rows.size) layoutInflater.inflate(R.layout.answer, list)
    for ((i, row) in rows.withIndex()) list.getChildAt(i).run {
        findViewById<TextView>(R.id.label)!!.text = row.label
        findViewById<TextView>(R.id.percent)!!.text = row.figure
        findViewById<ProgressBar>(R.id.bar)!!.run {
            progress = (1000 * row.share).toInt()
            progressTintList = ColorStateList.valueOf(row.colour ?: context.getColor(R.color.accent))
        }
        findViewById<ImageView>(R.id.picture)!!.run {
            visibility = if (row.picture == null) View.GONE else View.VISIBLE
            setImageBitmap(row.picture)
        }
        contentDescription = spoken(row)
    }
}

private const val TOP = 5
private const val LEAST = 0.01f  // of a picture: labels that cover less are not listed

fun Activity.showGolden(opened: Opened) = view<TextView>(R.id.golden).run {
    val golden = opened.golden
    text = when {
        !golden.tensorsEqual -> getString(R.string.golden_tensors, golden.equalTensors, golden.pictures)
        golden.passed -> golden.worst.run { getString(R.string.golden_right, golden.pictures, maxAbs, tolerance) }
        else -> golden.worst.run { getString(R.string.golden_wrong, maxAbs, tolerance, alike(opened)) }
    }
    setTextColor(getColor(if (golden.passed) R.color.ink_soft else R.color.wrong))
}

/** How alike the answers are that are wrong, in the task's words. */
private fun Context.alike(opened: Opened): String = opened.golden.run {
    when (opened.spec.task) {
        is Classification -> getString(R.string.golden_labels, alike.count { it == 1.0 }, pictures)
        is Segmentation -> getString(R.string.golden_pixels, 100 * alike.min())
        is Detection -> getString(R.string.golden_boxes, alike.min())
        is Embedding -> getString(R.string.golden_cosine, alike.min())
        is Raw -> ""
    }
}

/** The runtime, and how it really runs. */
fun Activity.showRuntime(opened: Opened) {
    val engine = opened.model.engine
    view<TextView>(R.id.running).text = runtime(engine.name, engine.version, engine.facts)
}

fun Context.runtime(name: String, version: String, facts: Map<String, String>): String {
    val how = facts.mapNotNull { (fact, value) ->
        when (fact) {
            "threads" -> threads(value.toIntOrNull() ?: 1)
            "delegate" -> getString(R.string.delegate, value)
            else -> value
        }
    }
    return getString(R.string.running, "$name $version", how.joinToString())
}

fun Context.threads(count: Int): String = resources.getQuantityString(R.plurals.threads_n, count, count)

/** Lets a person pick a photo; the answer comes to onActivityResult. */
fun Activity.pickPhoto(request: Int) {
    val pick = if (Build.VERSION.SDK_INT >= 33) Intent(MediaStore.ACTION_PICK_IMAGES) else Intent(Intent.ACTION_GET_CONTENT)
    try {
        @Suppress("DEPRECATION")
        startActivityForResult(pick.setType("image/*"), request)
    } catch (_: ActivityNotFoundException) {
        notice(getString(R.string.no_picker), "")
    }
}
