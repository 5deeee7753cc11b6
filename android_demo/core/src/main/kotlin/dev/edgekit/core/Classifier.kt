package dev.edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Pictures to named classes: preprocessing, an engine, post-processing. Of one thread; closing it closes the engine. */
class Classifier(val spec: ModelSpec, val engine: Engine) : AutoCloseable {
    val preprocessor = Preprocessor(spec)
    val postprocessor = Postprocessor(spec)
    private val output = ByteBuffer.allocateDirect(spec.output.bytes).order(ByteOrder.nativeOrder())

    /** Scores for a tensor of the preprocessor, [classes]; the same array each time. Throws EngineFailed. */
    fun scores(tensor: ByteBuffer): FloatArray {
        engine.run(tensor, output)
        return postprocessor.scores(output)
    }

    /** The raw output of the last run, rewound. */
    fun output(): ByteBuffer = output.apply { rewind() }

    fun top(tensor: ByteBuffer, k: Int): List<ClassScore> = postprocessor.top(scores(tensor), k)

    override fun close() = engine.close()
}
