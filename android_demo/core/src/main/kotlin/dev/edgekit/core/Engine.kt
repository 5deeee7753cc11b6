package dev.edgekit.core

import java.nio.ByteBuffer

/**
 * A runtime that holds one opened model file. Of one thread at a time.
 *
 * Opening is the constructor's business and throws EngineFailed or RuntimeTooOld; `run` throws EngineFailed.
 */
public interface Engine : AutoCloseable {
    /** "tflite" or "onnxruntime". */
    public val name: String

    /** Of the runtime, as it says itself: "2.16.1". */
    public val version: String

    /** What really runs, not what was asked for: threads, accelerator, ... */
    public val facts: Map<String, String>

    /**
     * One inference. Buffers are direct, in native order, whole tensors as the manifest says, and are rewound; `outputs` in
     * its order, the same list each time.
     */
    public fun run(input: ByteBuffer, outputs: List<ByteBuffer>)

    override fun close()
}
