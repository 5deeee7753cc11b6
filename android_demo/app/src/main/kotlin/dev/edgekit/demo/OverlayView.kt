package dev.edgekit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View
import dev.edgekit.core.Answer
import dev.edgekit.core.Placement

/** What an answer says of places, over the picture that it is of: a mask in the colours of its labels. */
class OverlayView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private var mask: Answer.Mask? = null
    private var covers = false
    private var colours: Bitmap? = null
    private val paint = Paint().apply { isFilterBitmap = false }  // nothing lies between two labels

    /** covers: the picture fills the view and is cut off, as a camera's is; else all of it lies in the middle. */
    fun show(answer: Answer?, covers: Boolean) {
        this.covers = covers
        mask = answer as? Answer.Mask
        mask?.let { paint(it) }
        invalidate()
    }

    private fun paint(mask: Answer.Mask) {
        val seen = IntArray(mask.labels.size) { if (it == mask.background) 0 else mask.colours[it] and 0xFFFFFF or (OPAQUE shl 24) }
        val bitmap = colours?.takeIf { it.width == mask.width && it.height == mask.height }
            ?: Bitmap.createBitmap(mask.width, mask.height, Bitmap.Config.ARGB_8888).also { colours = it }
        bitmap.setPixels(IntArray(mask.classes.size) { seen[mask.classes[it].toInt() and 255] }, 0, mask.width, 0, 0, mask.width, mask.height)
    }

    override fun onDraw(canvas: Canvas) {
        val mask = mask ?: return
        val picture = picture(mask.at)
        canvas.clipRect(RectF(0f, 0f, mask.at.width.toFloat(), mask.at.height.toFloat()).also { picture.mapRect(it) })
        canvas.drawBitmap(colours!!, input(mask).apply { postConcat(picture) }, paint)
    }

    /** From the picture's own pixels to the view's. */
    private fun picture(at: Placement): Matrix {
        val scales = listOf(width.toFloat() / at.width, height.toFloat() / at.height)
        val scale = if (covers) scales.max() else scales.min()
        return Matrix().apply {
            setScale(scale, scale)
            postTranslate((width - scale * at.width) / 2, (height - scale * at.height) / 2)
        }
    }

    /** From the model's input to the picture's own pixels. */
    private fun input(mask: Answer.Mask): Matrix {
        val (left, top) = mask.at.back(0.0, 0.0)
        val (right, bottom) = mask.at.back(mask.width.toDouble(), mask.height.toDouble())
        val whole = RectF(0f, 0f, mask.width.toFloat(), mask.height.toFloat())
        val own = RectF(left.toFloat(), top.toFloat(), right.toFloat(), bottom.toFloat())
        return Matrix().apply { setRectToRect(whole, own, Matrix.ScaleToFit.FILL) }
    }

    private companion object {
        const val OPAQUE = 140  // of 255, as edgekit/drawing.py
    }
}
