package dev.edgekit.demo.engine

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import dev.edgekit.core.ElementType
import dev.edgekit.core.Engine
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.Port
import java.io.File
import java.nio.ByteBuffer
import org.tensorflow.lite.Interpreter

/**
 * LiteRT's CompiledModel on a GPU or NPU. The accelerator is asked for alone, so that LiteRT refuses a file of which it would leave
 * operators to the CPU; for an NPU it adds the CPU itself. What is refused runs on the CPU's interpreter, and `facts` says so.
 *
 * A damaged file ends the process in CompiledModel (google-ai-edge/LiteRT#10080): the interpreter, which verifies files, opens each one
 * first, and says what its tensors are called.
 */
class AcceleratedEngine private constructor(private val file: File, private val compiled: CompiledModel, spec: ModelSpec, signature: Signature, accelerator: String) :
    Engine {
    override val name = AcceleratedEngine.name
    override val version = AcceleratedEngine.version.version
    override val facts = mapOf("accelerator" to accelerator) +
        if (accelerator == "npu") mapOf("delegate" to "NPU, and the CPU for what it leaves") else emptyMap()
    private val key = signature.key
    private val input = Bound(spec.input, compiled.createInputBuffer(signature.input, key))
    private val outputs = spec.outputs.zip(signature.outputs) { port, name -> Bound(port, compiled.createOutputBuffer(name, key)) }
    private val inputs = mapOf(signature.input to input.buffer)
    private val named = signature.outputs.zip(outputs) { name, bound -> name to bound.buffer }.toMap()
    private var closed = false

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        if (closed) throw EngineFailed("the engine is closed")
        refusing("this input") {
            this.input.write(input)
            compiled.run(inputs, named, key)
            for (i in outputs.indices) this.outputs[i].read(outputs[i])
        }
    }

    override fun close() {
        if (closed) return
        closed = true
        for (bound in outputs + input) bound.buffer.close()
        compiled.close()
        file.delete()
    }

    /** A tensor of LiteRT's, and the array through which it is filled and read: the Kotlin API has no direct buffers. */
    private class Bound(private val port: Port, val buffer: TensorBuffer) {
        private val floats = if (port.type == ElementType.FLOAT32) FloatArray(port.elements) else null
        private val bytes = if (floats == null) ByteArray(port.bytes) else null

        fun write(from: ByteBuffer) {
            from.rewind()
            if (floats != null) buffer.writeFloat(floats.also { from.asFloatBuffer().get(it) }) else buffer.writeInt8(bytes!!.also { from.get(it) })
            from.rewind()
        }

        fun read(into: ByteBuffer) {
            into.rewind()
            if (floats != null) into.asFloatBuffer().put(buffer.readFloat()) else into.put(buffer.readInt8())
            into.rewind()
        }
    }

    /** The names that a file's signature has for its tensors, outputs in the manifest's order. */
    private class Signature(val key: String, val input: String, val outputs: List<String>)

    companion object : EngineKind() {
        override val name = "litert"
        override val target = "tflite"
        override val accelerators = listOf("gpu", "npu")
        override val version get() = TfliteEngine.version
        private val ACCELERATORS = mapOf("gpu" to Accelerator.GPU, "npu" to Accelerator.NPU)

        override fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine {
            val signature = refusing("the file") { Interpreter(model).use { signature(it, spec) } }
            val copy = File.createTempFile("model", ".tflite")  // in the app's own cache
            try {
                copy.outputStream().channel.use { it.write(model.duplicate()) }
                val compiled = CompiledModel.create(copy.path, CompiledModel.Options(ACCELERATORS.getValue(options.accelerator)), null)
                return try {
                    AcceleratedEngine(copy, compiled, spec, signature, options.accelerator)
                } catch (error: Throwable) {
                    compiled.close()
                    throw error
                }
            } catch (error: LiteRtException) {
                copy.delete()
                return refused(spec, model, options, error)
            } catch (error: LinkageError) {  // the accelerator's library is not in this APK
                copy.delete()
                return refused(spec, model, options, error)
            }
        }

        /** On the CPU, and why. */
        private fun refused(spec: ModelSpec, model: ByteBuffer, options: EngineOptions, error: Throwable): Engine {
            val cpu = TfliteEngine.open(spec, model, EngineOptions(options.abi, options.threads))
            return object : Engine by cpu {
                override val facts = cpu.facts + ("refused" to "${options.accelerator.uppercase()}: ${error.words()}")
            }
        }

        /** Throws EngineFailed where the file's tensors are others than the manifest's. */
        private fun signature(file: Interpreter, spec: ModelSpec): Signature {
            val key = file.signatureKeys.firstOrNull() ?: throw EngineFailed("the file has no signature, which CompiledModel wants")
            sole(file.getSignatureInputs(key).size, "input")
            val input = file.getSignatureInputs(key).single()
            file.getInputTensorFromSignature(input, key).let { spec.input.compare("input", it.shape().asList(), it.dataType().name) }
            val names = file.getSignatureOutputs(key).toList()
            val tensors = names.map { file.getOutputTensorFromSignature(it, key) }
            val places = spec.outputPlaces(tensors.map { it.name() })
            for ((i, port) in spec.outputs.withIndex()) tensors[places[i]].let { port.compare("output", it.shape().asList(), it.dataType().name) }
            return Signature(key, input, places.map { names[it] })
        }

        private inline fun <T> refusing(what: String, act: () -> T): T = try {
            act()
        } catch (error: RuntimeException) {  // the interpreter's
            throw EngineFailed("$version refuses $what: ${error.words()}", error)
        } catch (error: LiteRtException) {
            throw EngineFailed("$version refuses $what: ${error.words()}", error)
        }
    }
}
