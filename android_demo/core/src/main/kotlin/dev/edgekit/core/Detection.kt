package dev.edgekit.core

/** Of boxes that overlap: one goes whose IoU with a better one of its class is above `iou`; of `candidates`, the best ones. */
public class Nms(public val iou: Float, public val candidates: Int)

/**
 * A box in the input's pixels and a score for each class of every anchor; edgekit/tasks/detection.py, in float32 to the last bit.
 *
 * threshold  a box is shown from this score on
 * nms        null: the network answers each thing once
 * limit      boxes a picture, at most
 * palette    opaque ARGB for each label
 */
public class Detection internal constructor(
    public val labels: List<String>, public val threshold: Float, public val nms: Nms?, public val limit: Int, public val palette: IntArray,
) : Task {
    override fun read(values: Values, at: Placement): Answer.Boxes = read(values, at, threshold)

    /** from: boxes of lower scores are left out; those of higher ones do not depend on it. */
    public fun read(values: Values, at: Placement, from: Float): Answer.Boxes =
        Answer.Boxes(labels, palette, at, threshold, found(values, from).map { Box(it.index, it.label, it.score, at.back(it.area)) })

    /** In the input's pixels, the best first; of equal scores the lower anchor, then the lower class. */
    public fun found(values: Values, from: Float): List<Box> {
        val (boxes, scores) = values
        val best = best(scores, from).asSequence().map { box(boxes, scores, it) }
        if (nms == null) return best.take(limit).toList()
        val kept = ArrayList<Box>()
        for (box in best.take(nms.candidates)) {
            if (kept.size == limit) break
            if (kept.none { it.index == box.index && iou(it.area, box.area) > nms.iou }) kept += box
        }
        return kept
    }

    /** Places of the scores that reach a bar, the highest score first. */
    private fun best(scores: FloatArray, from: Float): List<Int> {
        var count = 0
        for (score in scores) if (score >= from) count++
        val keys = LongArray(count)
        for (i in scores.indices) {
            // bits of floats that are not negative have their order; + 0 takes a zero's sign
            if (scores[i] >= from) keys[--count] = (Int.MAX_VALUE - (scores[i] + 0f).toRawBits()).toLong() shl 32 or i.toLong()
        }
        keys.sort()
        return keys.map { it.toInt() }
    }

    private fun box(boxes: FloatArray, scores: FloatArray, place: Int): Box {
        val (label, at) = Pair(place % labels.size, place / labels.size * 4)
        return Box(label, labels[label], scores[place], Area(boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3]))
    }

    /** F1 of the boxes that are shown: two of one label are of one thing from an IoU of SAME on, those first that overlap most. */
    override fun alike(golden: Values, values: Values): Double {
        val (ours, theirs) = Pair(found(golden, threshold), found(values, threshold))
        val near = ours.flatMap { a -> theirs.filter { it.index == a.index }.map { b -> Triple(a, b, iou(a.area, b.area)) } }
        val paired = HashSet<Box>()
        for ((a, b, overlap) in near.sortedByDescending { it.third }) if (overlap >= SAME && a !in paired && b !in paired) paired += listOf(a, b)
        val shown = ours.size + theirs.size
        return if (shown == 0) 1.0 else paired.size.toDouble() / shown
    }

    override fun mean(windows: List<Values>): Nothing = throw UnsupportedOperationException("a task of pictures")

    internal companion object {
        private const val SAME = 0.5f

        fun iou(a: Area, b: Area): Float {
            val wide = maxOf(0f, minOf(a.right, b.right) - maxOf(a.left, b.left))
            val high = maxOf(0f, minOf(a.bottom, b.bottom) - maxOf(a.top, b.top))
            val both = wide * high
            return both / maxOf(a.width * a.height + b.width * b.height - both, 1e-9f)
        }
    }
}
