package dev.edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Pictures to answers: preprocessing, an engine, the task. Of one thread; closing it closes the engine. */
public class Model(public val spec: ModelSpec, public val engine: Engine) : AutoCloseable {
    public val preprocessor: Preprocessor = Preprocessor(spec)
    private val clip = if (spec.preprocess.isClip) Clip(spec) else null
    private val decoder = Decoder(spec.outputs)
    private val outputs = spec.outputs.map { ByteBuffer.allocateDirect(it.bytes).order(ByteOrder.nativeOrder()) }

    /**
     * The tensor of one picture; where the model takes clips, of so many frames, the oldest first. The same buffer each time. Throws
     * as Preprocessor does.
     */
    public fun tensor(frames: List<Picture>): ByteBuffer {
        require(frames.size == spec.preprocess.frames) { "${frames.size} frames for ${spec.preprocess.frames}" }
        if (clip == null) return preprocessor.argb(frames[0])
        for (frame in frames) clip.put(preprocessor.argb(frame))
        return clip.tensor()
    }

    /** Real numbers for a tensor of the preprocessor; the same arrays each time. Throws EngineFailed. */
    public fun values(tensor: ByteBuffer): Values {
        engine.run(tensor, outputs)
        return decoder.decode(outputs)
    }

    /** The raw outputs of the last run, rewound. */
    public fun outputs(): List<ByteBuffer> = outputs.onEach { it.rewind() }

    /** What the last picture of the preprocessor shows, whose tensor was answered by `values`. */
    public fun read(values: Values): Answer = spec.task.read(values, preprocessor.placement)

    override fun close(): Unit = engine.close()
}
