package dev.edgekit.demo.engine

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import dev.edgekit.core.ElementType
import dev.edgekit.core.Engine
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.RuntimeVersion
import dev.edgekit.core.TensorSpec
import java.nio.ByteBuffer

/** ONNX Runtime on the CPU, with its own kernels (CPUExecutionProvider), set up as edgekit/runtimes/onnxruntime.py does. */
class OrtEngine private constructor(spec: ModelSpec, model: ByteBuffer, options: EngineOptions) : Engine {
    override val name = OrtEngine.name
    override val version = OrtEngine.version.version
    override val facts = mapOf(
        "threads" to "${options.threads}", "accelerator" to "cpu", "provider" to "CPUExecutionProvider",
    )
    private val session = refusing("the file") {
        OrtSession.SessionOptions().use {
            it.setIntraOpNumThreads(options.threads)
            it.setInterOpNumThreads(1)
            it.addConfigEntry("session.intra_op.allow_spinning", "0")  // idle threads would heat the phone
            environment.createSession(model, it)
        }
    }
    private val input = Bound(spec.input, if (session.numInputs == 1L) session.inputNames.first() else "")
    private val output = Bound(spec.output, if (session.numOutputs == 1L) session.outputNames.first() else "")
    private var closed = false

    init {
        try {
            sole(session.numInputs.toInt(), "input")
            sole(session.numOutputs.toInt(), "output")
            compare("input", spec.input, session.inputInfo.values.first())
            compare("output", spec.output, session.outputInfo.values.first())
        } catch (error: Throwable) {
            close()
            throw error
        }
    }

    override fun run(input: ByteBuffer, output: ByteBuffer) {
        refusing("this input") { session.run(this.input.to(input), this.output.to(output)).close() }
    }

    override fun close() {
        if (closed) return  // a session minds
        closed = true
        input.close()
        output.close()
        session.close()
    }

    private fun compare(what: String, wanted: TensorSpec, found: NodeInfo) {
        val info = found.info as? TensorInfo ?: throw EngineFailed("the file's $what is no tensor")
        wanted.compare(what, info.shape.map { it.toInt() }, if (info.type == OnnxJavaType.FLOAT) "float32" else info.type.name)
    }

    /** A tensor over a caller's buffer, made anew only where the buffer is another. */
    private class Bound(private val spec: TensorSpec, private val name: String) : AutoCloseable {
        private val shape = LongArray(spec.shape.size) { spec.shape[it].toLong() }
        private var over: ByteBuffer? = null
        private var bound = emptyMap<String, OnnxTensor>()

        fun to(buffer: ByteBuffer): Map<String, OnnxTensor> {
            buffer.rewind()
            if (over !== buffer) {
                close()
                bound = mapOf(name to OnnxTensor.createTensor(environment, buffer, shape, TYPES.getValue(spec.type)))
                over = buffer
            }
            return bound
        }

        override fun close() {
            bound.values.forEach { it.close() }
            bound = emptyMap()
            over = null
        }
    }

    companion object : EngineKind() {
        override val name = "onnxruntime"
        override val target = "onnx"
        private val environment by lazy { OrtEnvironment.getEnvironment().apply { setTelemetry(false) } }
        override val version by lazy { RuntimeVersion("onnxruntime", environment.version) }
        private val TYPES = mapOf(
            ElementType.FLOAT32 to OnnxJavaType.FLOAT, ElementType.UINT8 to OnnxJavaType.UINT8, ElementType.INT8 to OnnxJavaType.INT8,
        )

        override fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine =
            OrtEngine(spec, model, options)

        private inline fun <T> refusing(what: String, act: () -> T): T = try {
            act()
        } catch (error: Exception) {  // OrtException, and IllegalStateException once it is closed
            throw EngineFailed("$version refuses $what: ${error.words()}", error)
        }
    }
}
