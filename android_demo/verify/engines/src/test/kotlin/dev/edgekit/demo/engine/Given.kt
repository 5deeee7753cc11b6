package dev.edgekit.demo.engine

import dev.edgekit.core.Model
import dev.edgekit.core.ModelFiles
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.RuntimeTooOld
import dev.edgekit.core.checkRuntime
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Artifacts: the committed ones, and those that `-Dedgekit.models=FOLDER` brings. */
internal object Given {
    private val root = generateSequence(File("").absoluteFile) { it.parentFile }.first { File(it, "tests/golden").isDirectory }
    val tflite = artifact("tiny-tflite-int8")
    val onnx = artifact("tiny-onnx-int8")
    private val more = System.getProperty("edgekit.models")?.let { File(it).listFiles() }.orEmpty().filter { File(it, "manifest.json").isFile }
    private val tasks = (
        listOf("tiny3-segmentation-tflite-int8", "tiny3-embedding-onnx", "tiny3-grey-tflite-int8") +
        listOf("tiny3-tflite-int8", "roads-tflite-int8", "embedder-tflite-int8", "depth-onnx-fp32", "clips-tflite-fp32")
    ).map { artifact(it) }
    private val all = listOf(tflite, onnx) + tasks + more.map { Artifact(it) }

    /** Those that the runtimes here are said to be too old for. */
    val tooOld = all.filter { try { it.spec.checkRuntime(it.kind.version, Desktop.ABI); false } catch (_: RuntimeTooOld) { true } }
    val runnable = all - tooOld.toSet()

    private fun artifact(name: String) = Artifact(File(root, "tests/golden/$name"))
}

internal class Artifact(val folder: File) {
    val files = ModelFiles.folder(folder)
    val spec = spec { it }
    val model get() = mapped(File(folder, spec.file))
    val kind get() = ENGINES.first { it.target == spec.target }

    /** TFLite 2.16.1 rounds a transformer's integers otherwise than the LiteRT that made the golden answers: up to 1.3 tolerances. */
    val stray = if (spec.scheme == "int8-static" && spec.target == "tflite" && Regex("vit|swin").containsMatchIn(spec.model)) 2.0 else 1.0

    /** With another manifest, and more labels. */
    fun spec(labels: String = "", change: (String) -> String): ModelSpec =
        ModelSpec.parse(change(File(folder, "manifest.json").readText()), File(folder, "labels.txt").run { if (exists()) readText() else "" } + labels)

    fun open(spec: ModelSpec = this.spec, model: ByteBuffer = this.model, threads: Int = 1, abi: String = Desktop.ABI) =
        Model(spec, kind.open(spec, model, EngineOptions(abi, threads)))

    override fun toString(): String = folder.name
}

internal fun direct(bytes: ByteArray): ByteBuffer =
    ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).also { it.put(bytes).rewind() }

internal inline fun <reified E : Throwable> thrown(act: () -> Unit): E {
    try {
        act()
    } catch (error: Throwable) {
        return error as? E ?: throw error
    }
    throw AssertionError("nothing was thrown")
}
