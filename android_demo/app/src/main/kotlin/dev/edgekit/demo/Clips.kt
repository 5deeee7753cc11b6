package dev.edgekit.demo

import dev.edgekit.core.Clip
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.Preprocessor
import dev.edgekit.core.Smoothing
import dev.edgekit.core.YuvFrame
import java.nio.ByteBuffer
import java.util.concurrent.atomic.AtomicBoolean

/**
 * A camera's frames for a model that takes clips: fitted and kept on the camera's thread, whether or not the worker is still busy with
 * the window before, so that what the model sees does not depend on how fast it is.
 */
class Clips(spec: ModelSpec) {
    private val preprocessor = Preprocessor(spec)
    private val clip = Clip(spec)
    private val busy = AtomicBoolean(false)

    /** Of the worker. */
    val smoothing = Smoothing(spec)
    val frames get() = clip.frames
    val collected get() = clip.collected

    /** The newest window, to be answered before `answered` is called; null where it is not whole, not new, or the worker is busy. */
    fun look(frame: YuvFrame): ByteBuffer? {
        val moments = clip.add(preprocessor.yuv(frame), frame.nanos)
        return if (moments > 0 && clip.isFull && busy.compareAndSet(false, true)) clip.tensor() else null
    }

    fun answered() = busy.set(false)
}
