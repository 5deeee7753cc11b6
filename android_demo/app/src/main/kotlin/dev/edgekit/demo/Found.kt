package dev.edgekit.demo

import android.app.Activity
import android.content.Context
import android.view.View
import android.widget.SeekBar
import android.widget.TextView
import dev.edgekit.core.Answer
import dev.edgekit.core.Box
import dev.edgekit.core.Placement
import kotlin.math.roundToInt

/** What the screens say of boxes. */

/** The score from which on boxes are shown: what a person chose, else the manifest's. */
fun Said.from(boxes: Answer.Boxes) = opened.from ?: boxes.threshold

/** How many boxes are shown, and a slider for the score from which on they are; nothing of that where an answer has no boxes. */
fun Activity.offerScore(said: Said?, over: Int = R.id.overlay) {
    val boxes = said?.answer as? Answer.Boxes
    view<View>(R.id.score).visibility = if (boxes == null) View.GONE else View.VISIBLE
    if (said == null || boxes == null) return
    view<TextView>(R.id.found).text = found(said, boxes)
    val shown = if (over == R.id.example_overlay) R.id.example_photo else R.id.photo
    (findViewById<View>(shown) ?: view(R.id.preview)).contentDescription = spoken(said, over)
    view<SeekBar>(R.id.from).run {
        setOnSeekBarChangeListener(null)
        min = (100 * Opened.least(boxes.threshold)).toInt()
        progress = (100 * said.from(boxes)).roundToInt()
        setOnSeekBarChangeListener(Moved { percent ->
            said.opened.from = percent / 100f
            show(said, over)
        })
    }
}

private class Moved(private val to: (Int) -> Unit) : SeekBar.OnSeekBarChangeListener {
    override fun onProgressChanged(bar: SeekBar, progress: Int, fromUser: Boolean) {
        if (fromUser) to(progress)
    }

    override fun onStartTrackingTouch(bar: SeekBar) = Unit
    override fun onStopTrackingTouch(bar: SeekBar) = Unit
}

private fun Context.found(said: Said, boxes: Answer.Boxes): String {
    val from = said.from(boxes)
    val count = boxes.from(from).size
    return resources.getQuantityString(R.plurals.found, count, count, 100 * from)
}

/** The best boxes in lines. */
fun Activity.rows(said: Said, boxes: Answer.Boxes, most: Int, over: Int): List<Row> = boxes.from(said.from(boxes)).take(most).map {
    Row(it.label, getString(R.string.percent, 100 * it.score), it.score, boxes.colours[it.index], place = place(it, boxes.at, over))
}

/** In which of nine parts of the picture, as it is seen, the middle of a box lies. */
private fun Activity.place(box: Box, at: Placement, over: Int): String {
    fun third(low: Float, high: Float, side: Int) = (3 * (low + high) / 2 / side).toInt().coerceIn(0, 2)
    val across = third(box.area.left, box.area.right, at.width)
    val seen = if (view<OverlayView>(over).mirrored) 2 - across else across
    return resources.getStringArray(R.array.places)[3 * third(box.area.top, box.area.bottom, at.height) + seen]
}

/** What a picture shows, for who does not see it; null where nothing can be said. */
fun Activity.spoken(said: Said, over: Int = R.id.overlay): String? {
    val rows = rows(said, over)
    val boxes = said.answer as? Answer.Boxes ?: return rows.firstOrNull()?.label
    return (listOf(found(said, boxes)) + rows.map { spoken(it) }).joinToString("; ")
}

fun Context.spoken(row: Row): String = listOfNotNull(row.label, row.figure.ifEmpty { null }, row.place).joinToString()
