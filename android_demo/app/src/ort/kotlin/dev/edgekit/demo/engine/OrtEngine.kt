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
import dev.edgekit.core.Port
import dev.edgekit.core.RuntimeVersion
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
    private val input = Bound(listOf(spec.input))
    private val output = Bound(spec.outputs)
    private var closed = false

    init {
        try {
            sole(session.numInputs.toInt(), "input")
            input.named("input", session.inputInfo.values.toList())
            val places = spec.outputPlaces(session.outputNames.toList())
            output.named("output", session.outputInfo.values.toList().let { found -> places.map { found[it] } })
        } catch (error: Throwable) {
            close()
            throw error
        }
    }

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        refusing("this input") { session.run(this.input.to(listOf(input)), output.to(outputs)).close() }
    }

    override fun close() {
        if (closed) return  // a session minds
        closed = true
        input.close()
        output.close()
        session.close()
    }

    /** Tensors over a caller's buffers, made anew only where a buffer is another. */
    private class Bound(private val ports: List<Port>) : AutoCloseable {
        private val over = arrayOfNulls<ByteBuffer>(ports.size)
        private val bound = HashMap<String, OnnxTensor>()
        private var names = emptyList<String>()

        /** The file's tensors for the ports, in their order. Throws EngineFailed where they are others. */
        fun named(what: String, found: List<NodeInfo>) {
            for ((port, node) in ports.zip(found)) {
                val info = node.info as? TensorInfo ?: throw EngineFailed("the file's $what is no tensor")
                port.compare(what, info.shape.map { it.toInt() }, if (info.type == OnnxJavaType.FLOAT) "float32" else info.type.name)
            }
            names = found.map { it.name }
        }

        fun to(buffers: List<ByteBuffer>): Map<String, OnnxTensor> {
            for (i in ports.indices) {
                val buffer = buffers[i].apply { rewind() }
                if (over[i] === buffer) continue
                val shape = LongArray(ports[i].shape.size) { ports[i].shape[it].toLong() }
                bound.put(names[i], OnnxTensor.createTensor(environment, buffer, shape, TYPES.getValue(ports[i].type)))?.close()
                over[i] = buffer
            }
            return bound
        }

        override fun close() {
            bound.values.forEach { it.close() }
            bound.clear()
            over.fill(null)
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
