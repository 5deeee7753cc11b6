package dev.edgekit.demo

import android.content.Context
import android.util.AttributeSet
import android.widget.ScrollView

/** A card that scrolls where it would take more than `share` of the screen's height, and is no wider than what can be read in one glance. */
class Panel(context: Context, attributes: AttributeSet?) : ScrollView(context, attributes) {
    private val share: Float

    init {
        val given = context.obtainStyledAttributes(attributes, R.styleable.Panel)
        share = given.getFloat(R.styleable.Panel_share, 1f)
        given.recycle()
        if (background == null) setBackgroundResource(R.drawable.panel)
        clipToOutline = true
    }

    override fun onMeasure(width: Int, height: Int) {
        val screen = resources.displayMetrics
        val wide = minOf(MeasureSpec.getSize(width), (WIDEST * screen.density).toInt())
        val high = (share * screen.heightPixels).toInt()
        val most = if (MeasureSpec.getMode(height) == MeasureSpec.UNSPECIFIED) high else minOf(MeasureSpec.getSize(height), high)
        super.onMeasure(MeasureSpec.makeMeasureSpec(wide, MeasureSpec.EXACTLY), MeasureSpec.makeMeasureSpec(most, MeasureSpec.AT_MOST))
    }

    private companion object {
        const val WIDEST = 560  // dp
    }
}
