package dev.edgekit.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Context
import android.content.Intent
import android.content.res.ColorStateList
import android.graphics.Bitmap
import android.graphics.Color
import android.os.Build
import android.provider.MediaStore
import android.util.TypedValue
import android.view.View
import android.view.WindowInsets
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
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.Raw
import dev.edgekit.core.Segmentation

/** What the screens have in common. */

/** Android 15 gives null where an id is not there, 16 throws: both compile. */
fun <T : View> Activity.view(id: Int): T = findViewById<T>(id)!!

/**
 * Nothing that is read or pressed is under the system's bars or a camera's hole: edge to edge is the rule from targetSdk 35 on. `last`
 * reaches down to the edge, and keeps its content clear.
 */
fun View.keepClearOfBars(last: View = this) {
    val below = last.paddingBottom
    setOnApplyWindowInsetsListener { view, insets ->
        val (left, top, right, bottom) = bars(insets)
        view.setPadding(left, top, right, if (last === view) bottom else 0)
        if (last !== view) last.setPadding(last.paddingLeft, last.paddingTop, last.paddingRight, below + bottom)
        insets
    }
}

private fun bars(insets: WindowInsets): IntArray = if (Build.VERSION.SDK_INT >= 30) Newer.bars(insets) else {
    @Suppress("DEPRECATION")
    insets.run { intArrayOf(systemWindowInsetLeft, systemWindowInsetTop, systemWindowInsetRight, systemWindowInsetBottom) }
}

/** A colour of the theme: screens over a camera have others. */
fun Context.themed(attribute: Int): Int = TypedValue().also { theme.resolveAttribute(attribute, it, true) }.run {
    if (resourceId != 0) getColor(resourceId) else data
}

/** A label's colour, lighter where it could not be told from a dark panel: masks have dark blue for some. */
fun Context.legible(colour: Int): Int {
    val dark = Color.luminance(themed(android.R.attr.textColorPrimary)) > 0.5f
    if (!dark || Color.luminance(colour) > 0.15f) return colour
    fun lighter(part: Int) = (part + 255) / 2
    return Color.rgb(lighter(Color.red(colour)), lighter(Color.green(colour)), lighter(Color.blue(colour)))
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
    fillPanel()
}

fun Activity.noNotice() {
    view<View>(R.id.notice).visibility = View.GONE
    fillPanel()
}

/** A card with nothing on it is not there. */
fun Activity.fillPanel() {
    val panel = findViewById<View>(R.id.panel) ?: return
    val lines = listOf(R.id.timing, R.id.running, R.id.golden).map { view<TextView>(it) }
    for (line in lines) line.visibility = if (line.text.isEmpty()) View.GONE else View.VISIBLE
    val said = view<View>(R.id.notice).visibility == View.VISIBLE || view<LinearLayout>(R.id.answers).childCount > 0
    panel.visibility = if (said || lines.any { it.text.isNotEmpty() }) View.VISIBLE else View.GONE
}

/** A line of an answer. share: of 1, the length of its bar; place: where on the picture, in words. */
class Row(
    val label: String, val figure: String = "", val share: Float = 0f, val colour: Int? = null, val picture: Bitmap? = null, val place: String? = null,
)

/** over: the view that lies over what was looked at. */
fun Activity.show(said: Said, over: Int = R.id.overlay) {
    showRows(rows(said, over))
    offerScore(said, over)
    view<OverlayView>(over).show(said.answer, (said.answer as? Answer.Boxes)?.let { said.from(it) } ?: 0f)
    fillPanel()
}

fun Activity.showNothing() {
    showRows(emptyList())
    offerScore(null)
    for (over in listOf(R.id.overlay, R.id.example_overlay)) findViewById<OverlayView>(over)?.show(null)
}

/** An answer in lines, the most telling first. */
fun Activity.rows(said: Said, over: Int = R.id.overlay): List<Row> = when (val answer = said.answer) {
    is Answer.Classes -> answer.top(TOP).map { percent(label(it), it.probability) }
    is Answer.Mask -> answer.shares().filter { it.part >= LEAST }.map {
        val drawn = it.index != answer.background
        percent(it.label, it.part, if (drawn) answer.colours[it.index] else themed(android.R.attr.textColorSecondary))
    }
    is Answer.Boxes -> rows(said, answer, TOP, over)
    is Answer.Vector -> if (said.opened.spec.preprocess.isClip) listOf(Row(getString(R.string.embedding, answer.numbers.size))) else neighbours(answer, said.nearest)
    is Answer.Raw -> answer.tensors.map { Row(getString(R.string.raw, it.name, it.numbers.min(), it.numbers.max()), it.sides.joinToString(" × ")) }
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
            progressTintList = ColorStateList.valueOf(row.colour?.let { context.legible(it) } ?: context.themed(android.R.attr.colorAccent))
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
        golden.passed -> getString(R.string.golden_right, golden.pictures)
        else -> golden.worst.run { getString(R.string.golden_wrong, maxAbs, tolerance, alike(opened)) }
    }
    val colour = themed(if (golden.passed) android.R.attr.colorAccent else R.attr.wrong)
    setTextColor(if (golden.passed) themed(android.R.attr.textColorSecondary) else colour)
    setCompoundDrawablesRelativeWithIntrinsicBounds(if (golden.passed) R.drawable.ic_right else R.drawable.ic_wrong, 0, 0, 0)
    compoundDrawableTintList = ColorStateList.valueOf(colour)
    visibility = View.VISIBLE
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
            "refused" -> getString(R.string.refused, value)
            else -> value
        }
    }
    return getString(R.string.running, "$name $version", how.joinToString())
}

fun Context.threads(count: Int): String = resources.getQuantityString(R.plurals.threads_n, count, count)

/** The pill that says which model looks, and opens the choices; and the model's card. */
fun Activity.offerControls(now: Choice) {
    view<Button>(R.id.controls).run {
        text = now.model
        contentDescription = getString(R.string.controls_spoken, now.model, threads(now.threads), accelerator(now.accelerator))
        setOnClickListener { startActivity(Intent(context, ControlsActivity::class.java)) }
    }
    view<View>(R.id.card).setOnClickListener { startActivity(Intent(this, CardActivity::class.java)) }
}

fun Context.accelerator(name: String): String = when (name) {
    "cpu" -> getString(R.string.cpu)
    "cpu-builtin" -> getString(R.string.cpu_builtin)
    else -> name.uppercase()
}

/** What a model is, in a few words. */
fun Context.described(spec: ModelSpec): String {
    val bytes = spec.files.getValue(spec.file).bytes
    val size = if (bytes < 100_000) getString(R.string.kilobytes, bytes / 1e3) else getString(R.string.megabytes, bytes / 1e6)
    val seen = if (spec.preprocess.isClip) getString(R.string.clips) else null
    return listOfNotNull(task(spec), seen, spec.scheme, size, spec.target).joinToString(" · ")
}

fun Context.task(spec: ModelSpec): String = getString(
    when (spec.task) {
        is Classification -> R.string.task_classification
        is Segmentation -> R.string.task_segmentation
        is Detection -> R.string.task_detection
        is Embedding -> R.string.task_embedding
        is Raw -> R.string.task_raw
    },
)

/** Lets a person pick a photo, or a video; the answer comes to onActivityResult. */
fun Activity.pick(request: Int, video: Boolean) {
    val pick = if (Build.VERSION.SDK_INT >= 33) Intent(MediaStore.ACTION_PICK_IMAGES) else Intent(Intent.ACTION_GET_CONTENT)
    try {
        @Suppress("DEPRECATION")
        startActivityForResult(pick.setType(if (video) "video/*" else "image/*"), request)
    } catch (_: ActivityNotFoundException) {
        notice(getString(R.string.no_picker), "")
    }
}
