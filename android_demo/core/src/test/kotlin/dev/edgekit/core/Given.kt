package dev.edgekit.core

import java.io.ByteArrayInputStream
import java.io.File
import java.io.FileNotFoundException
import java.nio.ByteBuffer

/** What the tests are given: artifacts of tests/golden, vectors made by Python, an engine that plays its answers back. */
internal object Given {
    private val root = generateSequence(File("").absoluteFile) { it.parentFile }.first { File(it, "tests/golden").isDirectory }

    val artifacts = listOf("tiny-tflite-int8", "tiny-onnx-int8") +
        listOf("tiny3-segmentation-tflite-int8", "tiny3-embedding-onnx", "tiny3-grey-tflite-int8", "tiny3-detection-tflite-fp32") +
        listOf("tiny3-tflite-int8", "roads-tflite-int8", "embedder-tflite-int8", "depth-onnx-fp32", "clips-tflite-fp32")
    val models = File(javaClass.getResource("/vectors/inputs.npz")!!.toURI()).parentFile.listFiles()!!.filter { it.isDirectory }

    /** Artifacts that `-Dedgekit.models=FOLDER` brings. */
    val more = System.getProperty("edgekit.models")?.let { File(it).listFiles() }.orEmpty().filter { File(it, "manifest.json").isFile }

    fun golden(name: String) = File(root, "tests/golden/$name")

    fun artifact(name: String) = ModelFiles.folder(golden(name))

    /** The tiny TFLite artifact with some files exchanged; null takes one away. */
    fun tiny(vararg changed: Pair<String, ByteArray?>): ModelFiles {
        val whole = artifact(artifacts[0])
        val other = changed.toMap()
        return ModelFiles { name ->
            if (name in other) ByteArrayInputStream(other[name] ?: throw FileNotFoundException(name)) else whole.open(name)
        }
    }

    fun manifest() = String(tiny().read("manifest.json"))

    fun labels() = String(tiny().read("labels.txt"))

    fun spec(change: (String) -> String = { it }) = ModelSpec.parse(change(manifest()), labels())

    /** A manifest of schema 3, with what tells tasks apart. Its input is 8 pixels high and 12 wide. */
    fun third(
        task: String, outputs: List<String>, labels: Int = 0, stride: Int = 1, input: String = port("pixels", "[1, 8, 12, 3]", "NHWC", "uint8"),
    ) = """{
        "schema": 3, "model": "py:nets:some", "target": "onnx", "scheme": "fp32", "weights": {"knows": "nothing", "licence": ""},
        "files": {"model.onnx": {"bytes": 1, "sha256": "00"}}, "inputs": [$input], "outputs": [${outputs.joinToString()}],
        "preprocess": {"input_size": [8, 12], "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        "folded": true, "task": $task, "labels": $labels, "golden": {"source": "drawn", "own": false, "stride": $stride}
    }"""

    fun port(name: String, shape: String, layout: String, type: String = "float32", role: String = "", tolerance: Double = 0.01) =
        """{"name": "$name", "shape": $shape, "dtype": "$type", "layout": "$layout", "scale": null, "zero_point": null,
            "role": "$role", "tolerance": $tolerance}"""

    fun vectors(model: File) = Npz.read("expected.npz", File(model, "expected.npz").inputStream())
}

internal class PlaybackEngine(private val golden: Golden, private val change: (Float) -> Float = { it }) : Engine {
    override val name = "playback"
    override val version = "1.0"
    override val facts = mapOf("threads" to "1")
    var closed = false

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        val bytes = ByteArray(input.remaining()).also { input.get(it) }
        val known = golden.tensors.indexOfFirst { it.contentEquals(bytes) }
        if (known < 0) throw EngineFailed("a tensor that is not golden")
        golden.answers[known].zip(outputs).forEach { (numbers, output) ->
            numbers.forEachIndexed { i, number -> output.putFloat(4 * i, change(number)) }
        }
        input.rewind()
    }

    override fun close() {
        closed = true
    }
}

internal inline fun <reified E : Throwable> thrown(act: () -> Unit): E {
    try {
        act()
    } catch (error: Throwable) {
        return error as? E ?: throw error
    }
    throw AssertionError("nothing was thrown")
}

internal fun ModelSpec.classification() = task as Classification
