package dev.edgekit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.RectF
import android.text.TextPaint
import android.text.TextUtils
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import dev.edgekit.core.Answer
import dev.edgekit.core.Area
import dev.edgekit.core.Box
import dev.edgekit.core.Placement
import dev.edgekit.core.Showing

/**
 * What an answer says of places, over the picture that it is of: a mask in the colours of its labels, or boxes with their names.
 *
 * covers    the picture fills the view and is cut off, as a camera's; else all of it lies in the middle
 * mirrored  it is shown as in a mirror, as a front camera's
 */
class OverlayView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    var covers = false
    var mirrored = false
    private var answer: Answer? = null
    private var from = 0f
    private var colours: Bitmap? = null
    private val paint = Paint().apply { isFilterBitmap = false }  // nothing lies between two labels
    private val round = dp(6f)
    private val pad = dp(6f)
    private val frame = Paint(Paint.ANTI_ALIAS_FLAG).apply { strokeWidth = dp(3f) }
    private val text = TextPaint(Paint.ANTI_ALIAS_FLAG).apply { textSize = resources.getDimension(R.dimen.tag) }

    /** from: the score from which on boxes are shown. */
    fun show(answer: Answer?, from: Float = 0f) {
        this.answer = answer
        this.from = from
        if (answer is Answer.Mask) paint(answer)
        invalidate()
    }

    private fun paint(mask: Answer.Mask) {
        val seen = IntArray(mask.labels.size) { if (it == mask.background) 0 else mask.colours[it] and 0xFFFFFF or (OPAQUE shl 24) }
        val bitmap = colours?.takeIf { it.width == mask.width && it.height == mask.height }
            ?: Bitmap.createBitmap(mask.width, mask.height, Bitmap.Config.ARGB_8888).also { colours = it }
        bitmap.setPixels(IntArray(mask.classes.size) { seen[mask.classes[it].toInt() and 255] }, 0, mask.width, 0, 0, mask.width, mask.height)
    }

    override fun onDraw(canvas: Canvas) {
        val answer = answer
        if (answer is Answer.Mask) draw(answer, canvas)
        if (answer is Answer.Boxes) {
            val showing = showing(answer.at)
            for (box in answer.from(from).asReversed()) draw(box, answer.colours[box.index], showing, canvas)  // the best one over the others
        }
    }

    private fun showing(at: Placement) = Showing(at.width, at.height, width, height, covers, mirrored)

    private fun draw(mask: Answer.Mask, canvas: Canvas) {
        val picture = showing(mask.at).matrix()
        canvas.clipRect(RectF(0f, 0f, mask.at.width.toFloat(), mask.at.height.toFloat()).also { picture.mapRect(it) })
        canvas.drawBitmap(colours!!, input(mask).apply { postConcat(picture) }, paint)
    }

    /** From the model's input to the picture's own pixels. */
    private fun input(mask: Answer.Mask): Matrix {
        val (left, top) = mask.at.back(0.0, 0.0)
        val (right, bottom) = mask.at.back(mask.width.toDouble(), mask.height.toDouble())
        val whole = RectF(0f, 0f, mask.width.toFloat(), mask.height.toFloat())
        val own = RectF(left.toFloat(), top.toFloat(), right.toFloat(), bottom.toFloat())
        return Matrix().apply { setRectToRect(whole, own, Matrix.ScaleToFit.FILL) }
    }

    private fun draw(box: Box, colour: Int, showing: Showing, canvas: Canvas) {
        val seen = showing.seen(box.area) ?: return
        frame.color = colour
        frame.style = Paint.Style.STROKE
        canvas.drawRoundRect(seen.rect(), round, round, frame)
        val words = context.getString(R.string.box_tag, box.label, 100 * box.score)
        val fit = TextUtils.ellipsize(words, text, width - 2 * pad, TextUtils.TruncateAt.MIDDLE)
        val line = text.fontMetrics
        val tag = seen.tag(text.measureText(fit, 0, fit.length) + 2 * pad, line.descent - line.ascent + pad / 2, width.toFloat())
        frame.style = Paint.Style.FILL
        canvas.drawRoundRect(tag.rect(), round, round, frame)
        text.color = if (Color.luminance(colour) > LIGHT) Color.BLACK else Color.WHITE
        canvas.drawText(fit, 0, fit.length, tag.left + pad, tag.top + pad / 4 - line.ascent, text)
    }

    private fun dp(count: Float) = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_DIP, count, resources.displayMetrics)

    private fun Area.rect() = RectF(left, top, right, bottom)

    private companion object {
        const val OPAQUE = 140  // of 255, as edgekit/drawing.py
        const val LIGHT = 0.18f  // luminance from which on black is read more easily than white (WCAG 2)
    }
}

/** From the picture's own pixels to the view's. */
fun Showing.matrix() = Matrix().apply { setValues(FloatArray(9) { if (it < 6) numbers[it].toFloat() else if (it == 8) 1f else 0f }) }
