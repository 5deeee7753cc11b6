package dev.edgekit.demo.engine

import dev.edgekit.core.Engine
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.RuntimeVersion
import java.nio.ByteBuffer
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite

/**
 * TFLite's interpreter on the CPU: of org.tensorflow:tensorflow-lite, or of com.google.ai.edge.litert, which has the same
 * class. XNNPACK takes what it can of the file, and TFLite's own kernels the rest; with "cpu-builtin" these take all of it.
 */
class TfliteEngine private constructor(spec: ModelSpec, model: ByteBuffer, options: EngineOptions) : Engine {
    override val name = TfliteEngine.name
    override val version = TfliteEngine.version.version

    // the Java API does not say which operators a delegate took
    private val xnnpack = options.accelerator == "cpu"
    override val facts = mapOf(
        "threads" to "${options.threads}", "accelerator" to options.accelerator,
        "delegate" to if (xnnpack) "XNNPACK, as far as it takes the file" else "none",
    )
    private val interpreter = refusing("the file") {
        Interpreter(model, Interpreter.Options().setNumThreads(options.threads).setUseXNNPACK(xnnpack))
    }
    private val inputs = arrayOfNulls<Any>(1)
    private val outputs = HashMap<Int, Any>()
    private val places: IntArray  // of the manifest's outputs among the file's

    init {
        try {
            sole(interpreter.inputTensorCount, "input")
            interpreter.getInputTensor(0).let { spec.input.compare("input", it.shape().asList(), it.dataType().name) }
            places = spec.outputPlaces((0 until interpreter.outputTensorCount).map { interpreter.getOutputTensor(it).name() })
            for ((i, port) in spec.outputs.withIndex()) {
                interpreter.getOutputTensor(places[i]).let { port.compare("output", it.shape().asList(), it.dataType().name) }
            }
        } catch (error: Throwable) {
            close()
            throw error
        }
    }

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        inputs[0] = input.apply { rewind() }
        for (i in places.indices) this.outputs[places[i]] = outputs[i].apply { rewind() }
        refusing("this input") { interpreter.runForMultipleInputsOutputs(inputs, this.outputs) }
        input.rewind()
        for (output in outputs) output.rewind()
    }

    override fun close() = interpreter.close()

    companion object : EngineKind() {
        override val name = "tflite"
        override val target = "tflite"
        override val accelerators = listOf("cpu", "cpu-builtin")

        /** Both libraries say a bare number, and LiteRT counts anew from 1: its own classes tell them apart (from 2.0 on). */
        override val version by lazy {
            RuntimeVersion(if (isLiteRt()) "litert" else "tflite", TensorFlowLite.runtimeVersion())
        }

        override fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine =
            TfliteEngine(spec, model, options)

        private fun isLiteRt() = try {
            Class.forName("com.google.ai.edge.litert.Model")  // in this form R8 knows it, and keeps the class
            true
        } catch (_: ClassNotFoundException) {
            false
        }

        private inline fun <T> refusing(what: String, act: () -> T): T = try {
            act()
        } catch (error: RuntimeException) {  // IllegalArgumentException and IllegalStateException, both with the runtime's words
            throw EngineFailed("$version refuses $what: ${error.words()}", error)
        }
    }
}
