package dev.edgekit.demo.engine

import dev.edgekit.core.BadRequest
import dev.edgekit.core.Engine
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.RuntimeVersion
import dev.edgekit.core.TensorSpec
import dev.edgekit.core.UnsupportedModel
import dev.edgekit.core.checkRuntime
import java.io.File
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/**
 * What a person or adb asks of an engine.
 *
 * abi  of Android ("arm64-v8a"): some runtimes are wrong on some CPUs
 */
class EngineOptions(val abi: String, val threads: Int = 1, val accelerator: String = "cpu") {
    init {
        if (threads !in 1..64) throw BadRequest("$threads threads", "1 to 64")
    }
}

/** A runtime that this build of the app carries; ENGINES lists them. */
abstract class EngineKind {
    /** As `Engine.name`. */
    abstract val name: String

    /** The target of the artifacts that it opens: "tflite", "onnx". */
    abstract val target: String

    /** Loads the native library. Throws UnsatisfiedLinkError where this APK has none for the CPU. */
    abstract val version: RuntimeVersion

    /**
     * model  the file's bytes: a direct buffer (`mapped`), which must stay as it is until the engine is closed
     *
     * Throws UnsupportedModel, BadRequest, RuntimeTooOld, EngineFailed.
     */
    fun open(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine {
        if (spec.target != target) throw UnsupportedModel("$name does not open files for ${spec.target}")
        if (options.accelerator != "cpu") {
            throw BadRequest("$name runs on the CPU here, not on ${options.accelerator}", "accelerator cpu")
        }
        spec.checkRuntime(version, options.abi)
        return start(spec, model, options)
    }

    /** Throws EngineFailed. */
    protected abstract fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine
}

/** A file's bytes, without a copy. */
fun mapped(file: File): ByteBuffer =
    file.inputStream().channel.use { it.map(FileChannel.MapMode.READ_ONLY, 0, it.size()) }

/** What the file itself says of a tensor must be what its manifest says. Throws EngineFailed. */
internal fun TensorSpec.compare(what: String, shape: List<Int>, type: String) {
    val same = shape.size == this.shape.size && shape.indices.all { shape[it] == this.shape[it] || it == 0 && shape[it] < 1 }
    if (!same || type.lowercase() != this.type.name.lowercase()) {
        throw EngineFailed("the file's $what is $shape ${type.lowercase()}, and its manifest says ${this.shape} ${this.type.name.lowercase()}")
    }
}

/** The tensors of most runtimes have no common type: how many there are is all that matters. */
internal fun sole(count: Int, what: String) {
    if (count != 1) throw EngineFailed("the file has $count ${what}s, not one")
}

/** The first line of what a runtime says. */
internal fun Throwable.words() = message?.trim()?.lineSequence()?.first()?.takeIf { it.isNotEmpty() } ?: javaClass.simpleName
