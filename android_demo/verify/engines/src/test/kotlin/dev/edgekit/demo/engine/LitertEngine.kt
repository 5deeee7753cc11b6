package dev.edgekit.demo.engine

import com.sun.jna.Memory
import com.sun.jna.NativeLibrary
import com.sun.jna.Pointer
import com.sun.jna.ptr.PointerByReference
import dev.edgekit.core.Engine
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.RuntimeVersion
import java.io.File
import java.nio.ByteBuffer

/**
 * Current LiteRT, which is not to be had for Android outside of Google's repository: the library of the Python wheel, by its C
 * API (https://github.com/google-ai-edge/LiteRT/tree/main/litert/c). So its answers, and what of the app is around an
 * engine, are those of Python and of today.
 */
internal class LitertEngine private constructor(spec: ModelSpec, model: ByteBuffer, private val api: NativeLibrary) : Engine {
    override val name = "litert"
    override val version = "2"
    override val facts = mapOf("threads" to "1", "accelerator" to "cpu")
    private val bytes = Memory(model.capacity().toLong()).also { it.getByteBuffer(0, it.size()).put(model.duplicate()) }
    private val environment = made("LiteRtCreateEnvironment", 0, Pointer.NULL)
    private val file = made("LiteRtCreateModelFromBuffer", environment, bytes, bytes.size())
    private val compiled = made("LiteRtCreateCompiledModel", environment, file, made("LiteRtCreateOptions").also {
        call("LiteRtSetOptionsHardwareAccelerators", it, CPU)
    })
    private val input = buffer("Input", 0, spec.input.bytes)
    private val outputs = Array(spec.outputs.size) { buffer("Output", it, spec.outputs[it].bytes) }  // in the file's order

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        input.rewind()
        locked(this.input, WRITE, input.remaining()) { it.put(input) }
        call("LiteRtRunCompiledModel", compiled, 0L, 1L, arrayOf(this.input), this.outputs.size.toLong(), this.outputs)
        for ((i, output) in outputs.withIndex()) {
            output.rewind()
            locked(this.outputs[i], READ, output.remaining()) { output.put(it) }
            output.rewind()
        }
        input.rewind()
    }

    override fun close() {
        for (buffer in outputs) api.getFunction("LiteRtDestroyTensorBuffer").invokeVoid(arrayOf(buffer))
        for ((kind, what) in listOf("TensorBuffer" to input, "CompiledModel" to compiled, "Model" to file, "Environment" to environment)) {
            api.getFunction("LiteRtDestroy$kind").invokeVoid(arrayOf(what))
        }
    }

    private fun buffer(side: String, place: Int, size: Int): Pointer {
        val tensor = made("LiteRtGetSubgraph$side", made("LiteRtGetModelSubgraph", file, 0L), place.toLong())
        val type = Memory(72)  // element type, rank and dimensions, strides
        call("LiteRtGetRankedTensorType", tensor, type)
        val needs = made("LiteRtGetCompiledModel${side}BufferRequirements", compiled, 0L, place.toLong())
        return made("LiteRtCreateManagedTensorBufferFromRequirements", environment, type, needs)
            .also { locked(it, READ, size) { } }
    }

    private fun locked(buffer: Pointer, mode: Int, size: Int, use: (ByteBuffer) -> Unit) {
        val at = PointerByReference()
        call("LiteRtLockTensorBuffer", buffer, at, mode)
        use(at.value.getByteBuffer(0, size.toLong()))
        call("LiteRtUnlockTensorBuffer", buffer)
    }

    /** What a function puts into its last argument. */
    private fun made(function: String, vararg arguments: Any?): Pointer =
        PointerByReference().also { call(function, *arguments, it) }.value

    private fun call(function: String, vararg arguments: Any?) {
        val status = api.getFunction(function).invokeInt(arguments)
        if (status != 0) throw EngineFailed("$function: status $status")
    }

    /** library  libLiteRt.so of the wheel ai-edge-litert */
    class Kind(private val library: File) : EngineKind() {
        override val name = "litert"
        override val target = "tflite"
        override val version = RuntimeVersion("litert", "2")
        override fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine =
            LitertEngine(spec, model, NativeLibrary.getInstance(library.path))
    }

    private companion object {
        const val CPU = 1
        const val READ = 0
        const val WRITE = 1
    }
}
