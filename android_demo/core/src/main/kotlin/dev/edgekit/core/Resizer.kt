package dev.edgekit.core

/** Takes the fitted picture row by row, R, G, B, ... of 0..255. */
internal fun interface RowSink {
    fun write(row: Int, pixels: IntArray)
}

/**
 * Resize and crop of pictures of one size: first across, then down, each rounded to 8 bits, as Pillow does. Only what the
 * crop shows is computed; a few rows in a ring are all that is held of the picture.
 */
internal class Resizer(val width: Int, val height: Int, private val spec: PreprocessSpec) {
    private val fit = Fit(Fit.Size(width, height), spec)
    val placement = fit.placement

    // what of the input lies inside the resized picture: all of it, but for a letterbox and crop_pct above 1
    private val left = maxOf(-fit.left, 0)
    private val top = maxOf(-fit.top, 0)
    private val across = Axis(width, fit.size.width, spec.filter, maxOf(fit.left, 0), minOf(spec.width, fit.size.width))
    private val down = Axis(height, fit.size.height, spec.filter, maxOf(fit.top, 0), minOf(spec.height, fit.size.height))

    private val source = IntArray(3 * (across.highest - across.lowest))
    private val ring = Array(down.taps.max()) { IntArray(3 * across.count) }
    private val sums = IntArray(3 * across.count)
    private val pad = if (spec.cropMode == CropMode.LETTERBOX) spec.pad else 0
    private val out = IntArray(3 * spec.width) { pad }
    private val frame = out.copyOf()

    fun run(picture: Rows, writer: RowSink) {
        var next = 0  // source row that the ring lacks
        for (y in 0 until spec.height) {
            val i = y - top
            if (i < 0 || i >= down.count) {
                writer.write(y, frame)
                continue
            }
            val first = down.first[i]
            val end = first + down.taps[i]
            next = maxOf(next, first)
            while (next < end) {
                picture.read(next, across.lowest, across.highest, source)
                squeeze(source, ring[next % ring.size])
                next++
            }
            stack(i)
            System.arraycopy(sums, 0, out, 3 * left, sums.size)
            writer.write(y, out)
        }
    }

    /** One source row to one row of the width of the crop. */
    private fun squeeze(row: IntArray, out: IntArray) {
        val weights = across.weights
        val offset = across.lowest
        for (x in 0 until across.count) {
            var p = 3 * (across.first[x] - offset)
            var w = x * across.stride
            val end = w + across.taps[x]
            var r = Axis.HALF
            var g = Axis.HALF
            var b = Axis.HALF
            while (w < end) {
                val weight = weights[w]
                r += row[p] * weight
                g += row[p + 1] * weight
                b += row[p + 2] * weight
                p += 3
                w++
            }
            out[3 * x] = clip(r shr Axis.BITS)
            out[3 * x + 1] = clip(g shr Axis.BITS)
            out[3 * x + 2] = clip(b shr Axis.BITS)
        }
    }

    /** Rows of the ring to the `i`th row of the crop, in `sums`. */
    private fun stack(i: Int) {
        sums.fill(Axis.HALF)
        for (k in 0 until down.taps[i]) add(sums, ring[(down.first[i] + k) % ring.size], down.weights[i * down.stride + k])
        for (x in sums.indices) sums[x] = clip(sums[x] shr Axis.BITS)
    }

    private fun add(sums: IntArray, row: IntArray, weight: Int) {
        for (x in sums.indices) sums[x] += row[x] * weight
    }
}
