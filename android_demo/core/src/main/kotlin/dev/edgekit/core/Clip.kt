package dev.edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Locale

private const val NEAR = 1e-4  // seconds: as video.py has it

/**
 * The frames that a model sees at once: a ring of fitted frames, one for each moment, `rate` of them a second, as
 * edgekit/data/video.py samples a video. The moments are t0 + k / rate, with t0 the time of the first frame; at each one counts the
 * frame that is shown then, the last whose time has come. So a camera of varying or of another rate than the model's is seen as it is.
 *
 * Of one thread; the buffer of `tensor` may be read on another until `tensor` is called again.
 */
public class Clip(spec: ModelSpec) {
    /** Of a window. */
    public val frames: Int = spec.preprocess.frames
    private val rate = spec.preprocess.rate
    private val planes = if (spec.input.layout == Layout.NCTHW) spec.preprocess.channels else 1
    private val each = spec.input.bytes / frames
    private val ring = Array(frames) { ByteArray(each) }
    private val shown = ByteArray(each)
    private val window = ByteBuffer.allocateDirect(spec.input.bytes).order(ByteOrder.nativeOrder())
    private var first: Long? = null
    private var taken = 0L  // moments since the first frame
    private var put = 0L  // frames in the ring, ever

    /** Frames of a window that are there, `frames` at most. */
    public val collected: Int get() = minOf(put, frames.toLong()).toInt()
    public val isFull: Boolean get() = collected == frames

    /**
     * A frame of the preprocessor's, which is copied, and when it was taken. How many moments have passed since the frame before it;
     * each is that one's. After a gap of a window and a second it begins anew: the camera stood still.
     */
    public fun add(fitted: ByteBuffer, nanos: Long): Int {
        val before = taken
        val begun = first
        if (begun != null && seconds(begun, nanos) <= (taken + frames) / rate + STILL) {
            while (taken / rate < seconds(begun, nanos) - NEAR) {
                System.arraycopy(shown, 0, next(), 0, each)
                taken++
            }
        } else {
            forget()
            first = nanos
        }
        copy(fitted, shown)
        return maxOf(taken - before, 0).toInt()
    }

    /** The next frame of a window. */
    public fun put(fitted: ByteBuffer): Unit = copy(fitted, next())

    private fun next() = ring[(put++ % frames).toInt()]

    private fun copy(fitted: ByteBuffer, to: ByteArray) = fitted.bulk(0, to, each)

    private fun seconds(from: Long, to: Long) = (to - from) / 1e9

    /** The last `frames` frames, the oldest first, as the file takes them. The same buffer each time. */
    public fun tensor(): ByteBuffer {
        check(isFull) { "$collected of $frames frames" }
        window.clear()
        val plane = each / planes
        for (p in 0 until planes) for (i in 0 until frames) window.put(ring[((put + i) % frames).toInt()], p * plane, plane)
        window.rewind()
        return window
    }

    /** What was seen no longer belongs to what comes. */
    public fun forget() {
        first = null
        taken = 0
        put = 0
    }

    private companion object {
        const val STILL = 1.0  // seconds
    }
}

/**
 * Which moments of a video a model looks at, as edgekit/data/video.py chooses them: windows one behind the other, the last one ending
 * with the video; of a long video MOST, spread evenly over it. Throws BadRequest for a video that is shorter than a window.
 */
public class Windows(spec: ModelSpec, seconds: Double) {
    private val frames = spec.preprocess.frames

    /** The moments with which windows begin. */
    public val starts: List<Int>

    /** Those of all windows, each once, in their order; they are 1 / rate apart. */
    public val moments: List<Int>

    init {
        val rate = spec.preprocess.rate
        val count = maxOf(1, Math.ceil((seconds - NEAR) * rate).toInt())
        if (count < frames) {
            val sees = "%.2g s at once (%d frames, %.3g a second)".format(Locale.ROOT, frames / rate, frames, rate)
            throw BadRequest("the video lasts %.2g s, and the model sees $sees".format(Locale.ROOT, seconds), "a longer video")
        }
        val last = count - frames
        starts = if (count <= MOST * frames) ((0..last step frames) + last).distinct()
        else (0 until MOST - 1).map { (it * (last / (MOST - 1.0))).toInt() } + last
        moments = starts.flatMap { it until it + frames }.distinct()
    }

    /** Whether a window ends with a moment. */
    public fun end(moment: Int): Boolean = moment + 1 - frames in starts

    private companion object {
        const val MOST = 10
    }
}

/**
 * Answers to overlapping windows made one that is steady: the mean (`Task.mean`) of those whose windows ended within the length of one
 * before the newest. Of one thread.
 */
public class Smoothing(spec: ModelSpec) {
    private val task = spec.task
    private val span = (spec.preprocess.frames / spec.preprocess.rate * 1e9).toLong()
    private val recent = ArrayDeque<Pair<Long, Values>>()

    /** How many windows the last mean was of. */
    public val windows: Int get() = recent.size

    /** nanos: when the window ended. */
    public fun add(values: Values, nanos: Long): Values {
        recent += nanos to values.map { it.copyOf() }
        while (nanos - recent.first().first >= span || recent.first().first > nanos) recent.removeFirst()
        return task.mean(recent.map { it.second })
    }

    /** What was answered no longer belongs to what comes. */
    public fun forget(): Unit = recent.clear()
}
