/**
 * What the app uses of LiteRT's Kotlin API, whose AAR only Google's repository has, with the same signatures
 * (https://github.com/google-ai-edge/LiteRT/tree/main/litert/kotlin/src/main/kotlin/com/google/ai/edge/litert, Apache-2.0), on the desktop's
 * libLiteRt.so by LiteRT's C API. `-Dedgekit.litert` names that library.
 */
package com.google.ai.edge.litert

import com.sun.jna.Memory
import com.sun.jna.NativeLibrary
import com.sun.jna.Pointer
import com.sun.jna.ptr.LongByReference
import com.sun.jna.ptr.PointerByReference

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

class LiteRtException(code: Int, message: String) : Exception("$message: status $code")

class Environment private constructor() : AutoCloseable {
    override fun close() = Unit
}

class TensorBuffer internal constructor(private val handle: Pointer, private val size: Int) : AutoCloseable {
    fun writeFloat(data: FloatArray) = locked(WRITE) { it.write(0, data, 0, data.size) }
    fun readFloat(): FloatArray = locked(READ) { it.getFloatArray(0, size / 4) }
    fun writeInt8(data: ByteArray) = locked(WRITE) { it.write(0, data, 0, data.size) }
    fun readInt8(): ByteArray = locked(READ) { it.getByteArray(0, size) }

    private fun <T> locked(mode: Int, use: (Pointer) -> T): T {
        val at = PointerByReference()
        Native.call("LiteRtLockTensorBuffer", handle, at, mode)
        return use(at.value).also { Native.call("LiteRtUnlockTensorBuffer", handle) }
    }

    override fun close() = Native.destroy("TensorBuffer", handle)

    internal val pointer get() = handle

    private companion object {
        const val READ = 0
        const val WRITE = 1
    }
}

class CompiledModel private constructor(private val environment: Pointer, private val model: Pointer, private val compiled: Pointer) : AutoCloseable {
    class Options(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))
    }

    private val signature = Native.made("LiteRtGetModelSignature", model, 0L)
    private val inputs = names("Input")
    private val outputs = names("Output")

    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer = buffer("Input", inputs.indexOf(inputName), signature)

    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer = buffer("Output", outputs.indexOf(outputName), signature)

    fun run(inputs: Map<String, TensorBuffer>, outputs: Map<String, TensorBuffer>, signature: String? = null) {
        check(signature == Native.made("LiteRtGetSignatureKey", this.signature).getString(0))
        val given = Array(this.inputs.size) { inputs.getValue(this.inputs[it]).pointer }
        val taken = Array(this.outputs.size) { outputs.getValue(this.outputs[it]).pointer }
        Native.call("LiteRtRunCompiledModel", compiled, 0L, given.size.toLong(), given, taken.size.toLong(), taken)
    }

    override fun close() {
        Native.destroy("CompiledModel", compiled)
        Native.destroy("Model", model)
        Native.destroy("Environment", environment)
    }

    private fun names(side: String): List<String> {
        val count = LongByReference()
        Native.call("LiteRtGetNumSignature${side}s", signature, count)
        return (0 until count.value).map { Native.made("LiteRtGetSignature${side}Name", signature, it).getString(0) }
    }

    private fun buffer(side: String, place: Int, signature: String?): TensorBuffer {
        check(place >= 0 && signature != null) { "no such tensor" }
        val tensor = Native.made("LiteRtGetSignature${side}TensorByIndex", this.signature, place.toLong())
        val type = Memory(72)  // element type, rank and dimensions, strides
        Native.call("LiteRtGetRankedTensorType", tensor, type)
        val needs = Native.made("LiteRtGetCompiledModel${side}BufferRequirements", compiled, 0L, place.toLong())
        val rank = type.getInt(4) and 127
        val elements = (0 until rank).fold(1) { product, i -> product * type.getInt(8 + 4L * i) }
        val buffer = Native.made("LiteRtCreateManagedTensorBufferFromRequirements", environment, type, needs)
        return TensorBuffer(buffer, elements * if (type.getInt(0) == FLOAT32) 4 else 1)
    }

    companion object {
        private const val FLOAT32 = 1

        @JvmStatic
        fun create(filePath: String, options: Options, optionalEnv: Environment? = null): CompiledModel {
            check(optionalEnv == null)
            val environment = Native.made("LiteRtCreateEnvironment", 0, Pointer.NULL)
            val model = Native.made("LiteRtCreateModelFromFile", environment, filePath)
            // as LiteRT's own: an NPU gets the CPU for what it leaves
            val asked = if (options.accelerators == setOf(Accelerator.NPU)) options.accelerators + Accelerator.CPU else options.accelerators
            val chosen = Native.made("LiteRtCreateOptions")
            Native.call("LiteRtSetOptionsHardwareAccelerators", chosen, asked.sumOf { 1 shl it.value - 1 })
            return try {
                CompiledModel(environment, model, Native.made("LiteRtCreateCompiledModel", environment, model, chosen))
            } catch (error: LiteRtException) {
                Native.destroy("Model", model)
                Native.destroy("Environment", environment)
                throw error
            }
        }
    }
}

private object Native {
    private val api: NativeLibrary by lazy { NativeLibrary.getInstance(System.getProperty("edgekit.litert")) }

    fun call(function: String, vararg arguments: Any?) {
        val status = api.getFunction(function).invokeInt(arguments)
        if (status != 0) throw LiteRtException(status, function)
    }

    /** What a function puts into its last argument. */
    fun made(function: String, vararg arguments: Any?): Pointer = PointerByReference().also { call(function, *arguments, it) }.value

    fun destroy(kind: String, what: Pointer) = api.getFunction("LiteRtDestroy$kind").invokeVoid(arrayOf<Any?>(what))
}
