package dev.edgekit.demo.engine

import dev.edgekit.core.BadRequest
import dev.edgekit.core.Engine
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.Port
import dev.edgekit.core.RuntimeVersion
import dev.edgekit.core.UnsupportedModel
import dev.edgekit.core.checkRuntime
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
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

    /** Where it runs here, the usual way first. */
    open val accelerators = listOf("cpu")

    /** Of the native library, which it loads. Throws LinkageError where this APK has none for the CPU. */
    abstract val version: RuntimeVersion

    /**
     * model  the file's bytes, a direct buffer in native order (`mapped`), which must not change until the engine is closed
     *
     * Throws UnsupportedModel, BadRequest, RuntimeTooOld, EngineFailed.
     */
    fun open(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine {
        if (spec.target != target) throw UnsupportedModel("$name does not open files for ${spec.target}")
        if (options.accelerator !in accelerators) {
            throw BadRequest(
                "$name has no accelerator ${options.accelerator} here",
                "one of ${accelerators.joinToString()}; an app with LiteRT 2, as Gradle builds it, has gpu and npu",
            )
        }
        val loaded = try {
            version
        } catch (_: LinkageError) {
            throw BadRequest("this app has no library of $name for ${options.abi}", "an APK for this CPU")
        }
        spec.checkRuntime(loaded, options.abi)
        return start(spec, model, options)
    }

    /** Throws EngineFailed. */
    protected abstract fun start(spec: ModelSpec, model: ByteBuffer, options: EngineOptions): Engine
}

/** Of those for one target the one that has the accelerator; else the usual one, which says that it has not. */
fun List<EngineKind>.having(accelerator: String) = find { accelerator in it.accelerators } ?: first()

/** A file's bytes, without a copy. Throws FileNotFoundException. */
fun mapped(file: File): ByteBuffer = file.inputStream().channel.use {
    it.map(FileChannel.MapMode.READ_ONLY, 0, it.size()).order(ByteOrder.nativeOrder())
}

/** What the file itself says of a tensor must be what its manifest says. Throws EngineFailed. */
internal fun Port.compare(what: String, shape: List<Int>, type: String) {
    val one = if ((shape.firstOrNull() ?: 1) < 1) listOf(1) + shape.drop(1) else shape  // a batch of any size
    val found = "$one ${type.lowercase()}"
    val wanted = "${this.shape} ${this.type.name.lowercase()}"
    if (found != wanted) throw EngineFailed("the file's $what is $found, and its manifest says $wanted")
}

/** Throws EngineFailed. */
internal fun sole(count: Int, what: String) {
    if (count != 1) throw EngineFailed("the file has $count ${what}s, not one")
}

/**
 * Where the manifest's outputs are among the file's, by their names; a sole one needs none. Throws EngineFailed.
 *
 * names  of the file's outputs, in its order
 */
internal fun ModelSpec.outputPlaces(names: List<String>): IntArray {
    if (names.size != outputs.size) throw EngineFailed("the file has ${names.size} outputs, and its manifest says ${outputs.size}")
    if (names.size == 1) return intArrayOf(0)
    return IntArray(names.size) { i ->
        names.indexOf(outputs[i].name).also { if (it < 0) throw EngineFailed("the file has no output ${outputs[i].name}: ${names.joinToString()}") }
    }
}

/** The first line of what a runtime says. */
internal fun Throwable.words() = message?.trim()?.lineSequence()?.first()?.takeIf { it.isNotEmpty() } ?: javaClass.simpleName
