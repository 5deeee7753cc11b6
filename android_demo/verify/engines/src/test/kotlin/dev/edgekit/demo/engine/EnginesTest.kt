package dev.edgekit.demo.engine

import dev.edgekit.core.Answer
import dev.edgekit.core.BadRequest
import dev.edgekit.core.Classification
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.Golden
import dev.edgekit.core.Model
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.RuntimeTooOld
import dev.edgekit.core.UnsupportedModel
import dev.edgekit.core.check
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.lang.management.ManagementFactory
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test

class EnginesTest {
    @Before
    fun `the libraries are loaded`() {
        Desktop
    }

    @Test
    fun `golden pictures become golden tensors, and those golden answers, within the artifact's tolerance`() {
        for (artifact in Given.runnable) for (threads in 1..2) artifact.open(threads = threads).use { opened ->
            val report = Golden.read(artifact.files, artifact.spec).check(opened)
            val near = report.outputs.all { it.maxAbs <= artifact.stray * it.tolerance }
            assertTrue("$artifact: ${report.toMap()}", report.tensorsEqual && near)
            assertEquals("$threads", opened.engine.facts["threads"])
        }
    }

    @Test
    fun `from pixels to names`() {
        for (artifact in Given.runnable.filter { it.spec.task is Classification }) artifact.open().use { opened ->
            val golden = Golden.read(artifact.files, artifact.spec)
            for ((frames, answers) in golden.frames.zip(golden.answers)) {
                val values = opened.values(opened.tensor(frames))
                val top = (opened.read(values) as Answer.Classes).top(3)
                val best = answers[0].indices.maxByOrNull { answers[0][it] }!!
                val close = answers[0][best] - answers[0][top[0].index] <= 2 * artifact.stray * artifact.spec.outputs[0].tolerance
                assertTrue("$artifact: ${top[0]}, and the golden answer is $best", close)
                assertEquals(artifact.spec.labels[top[0].index], top[0].label)
                assertTrue(top.zipWithNext().all { (a, b) -> a.probability >= b.probability })
            }
        }
    }

    @Test
    fun `the runtimes are the ones of the app`() {
        val expected = mapOf("tflite" to System.getProperty("edgekit.tflite"), "onnxruntime" to System.getProperty("edgekit.ort"), "litert" to System.getProperty("edgekit.tflite"))
        assertEquals(expected, ENGINES.associate { it.name to it.version.version })
    }

    @Test
    fun `another buffer is another answer`() {
        for (artifact in listOf(Given.tflite, Given.onnx)) artifact.open().use { opened ->
            val golden = Golden.read(artifact.files, artifact.spec)
            val tensors = golden.tensors.map { direct(it) }
            val first = tensors.map { opened.values(it)[0].copyOf() }
            for (i in tensors.indices.reversed()) assertArrayEquals(first[i], opened.values(tensors[i])[0], 0f)
            assertSame(opened.outputs(), opened.outputs())
            assertEquals(artifact.spec.outputs.map { it.bytes }, opened.outputs().map { it.remaining() })
        }
    }

    /** Of pixels [1, 2, 4, 3]: their mean, their negatives, and the largest of each colour; resources/several.py made the files. */
    @Test
    fun `several outputs come in the manifest's order, found by their names`() {
        val pixels = FloatArray(24) { (it * 7 % 24).toFloat() }
        val colours = (0..2).map { c -> pixels.filterIndexed { i, _ -> i % 3 == c } }
        val largest = colours.map { it.max() }
        val tensor = ByteBuffer.allocateDirect(96).order(ByteOrder.nativeOrder()).apply { pixels.forEach { putFloat(it) } }
        for ((kind, names) in listOf(
            TfliteEngine to (0..2).map { "serving_default_output_${it}_output" }, OrtEngine to listOf("mean", "negative", "largest"),
        )) {
            val file = direct(javaClass.getResourceAsStream("/several.${kind.target}")!!.readBytes())
            fun open(vararg outputs: Pair<String, String>) = several(kind, *outputs).let { Model(it, kind.open(it, file, EngineOptions(Desktop.ABI))) }
            open(names[2] to "[1, 3]", names[1] to "[1, 2, 4, 3]", names[0] to "[1, 3]").use { opened ->
                repeat(2) {
                    val (first, second, third) = opened.values(tensor)
                    assertEquals(largest, first.asList())
                    assertEquals(pixels.map { -it }, second.asList())
                    for (c in 0..2) assertEquals(colours[c].average(), third[c].toDouble(), 1e-4)
                }
            }
            fun refused(vararg outputs: Pair<String, String>) = thrown<EngineFailed> { open(*outputs).close() }.message
            assertEquals("the file has 3 outputs, and its manifest says 1", refused(names[0] to "[1, 3]"))
            assertEquals("the file has no output other: ${names.joinToString()}", refused(names[0] to "[1, 3]", names[1] to "[1, 2, 4, 3]", "other" to "[1, 3]"))
            val swapped = refused(names[1] to "[1, 3]", names[0] to "[1, 2, 4, 3]", names[2] to "[1, 3]")
            assertEquals("the file's output is [1, 2, 4, 3] float32, and its manifest says [1, 3] float32", swapped)
        }
    }

    private fun several(kind: EngineKind, vararg outputs: Pair<String, String>): ModelSpec {
        fun port(name: String, shape: String) =
            """{"name": "$name", "shape": $shape, "dtype": "float32", "layout": "", "scale": null, "zero_point": null, "role": "", "tolerance": 0.0}"""
        val input = port("pixels", "[1, 2, 4, 3]").replace("\"layout\": \"\"", "\"layout\": \"NHWC\"")
        return ModelSpec.parse(
            """{"schema": 3, "model": "several", "target": "${kind.target}", "scheme": "fp32", "weights": {"knows": ""}, "folded": true,
                "files": {"model.${kind.target}": {"bytes": 1, "sha256": ""}}, "task": {"name": "raw"}, "labels": 0,
                "inputs": [$input], "outputs": [${outputs.joinToString { (name, shape) -> port(name, shape) }}], "golden": {"stride": 1},
                "preprocess": {"input_size": [2, 4], "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear",
                    "mean": [0, 0, 0], "std": [1, 1, 1]}}""",
            "",
        )
    }

    /** No GPU here: LiteRT refuses it, as it does on a phone whose GPU lacks an operator. An NPU gets the CPU for what it leaves. */
    @Test
    fun `where an accelerator refuses a file the CPU answers, and that is said`() {
        for (artifact in Given.runnable.filter { it.spec.target == "tflite" }) for (accelerator in listOf("gpu", "npu")) {
            Model(artifact.spec, AcceleratedEngine.open(artifact.spec, artifact.model, EngineOptions(Desktop.ABI, 2, accelerator))).use { opened ->
                val report = Golden.read(artifact.files, artifact.spec).check(opened)
                val near = report.outputs.all { it.maxAbs <= artifact.stray * it.tolerance }
                assertTrue("$artifact: ${report.toMap()}", report.tensorsEqual && near)
                val facts = opened.engine.facts
                if (accelerator == "gpu") {
                    assertEquals("cpu", facts["accelerator"])
                    assertTrue("$facts", facts.getValue("refused").startsWith("GPU: LiteRtCreateCompiledModel: status "))
                    assertEquals("2", facts["threads"])
                } else assertEquals("npu" to "NPU, and the CPU for what it leaves", facts["accelerator"] to facts["delegate"])
                repeat(2) { opened.close() }
                thrown<EngineFailed> { opened.values(direct(ByteArray(artifact.spec.input.bytes))) }
            }
        }
    }

    @Test
    fun `a damaged file never reaches CompiledModel, which it would end the process in`() {
        val whole = File(Given.tflite.folder, Given.tflite.spec.file).readBytes()
        for (bytes in listOf(whole.copyOf(whole.size / 2), whole.copyOf(100), ByteArray(1000) { 7 }, byteArrayOf())) {
            val error = thrown<EngineFailed> { AcceleratedEngine.open(Given.tflite.spec, direct(bytes), EngineOptions(Desktop.ABI, accelerator = "gpu")) }
            assertTrue(error.message, error.message.startsWith("${AcceleratedEngine.version} refuses the file: "))
        }
        val six = Given.tflite.spec("sixth\n") { it.replace("\"classes\": 5", "\"classes\": 6").replace(Regex("""\[\s*1,\s*5\s*]"""), "[1, 6]") }
        val error = thrown<EngineFailed> { AcceleratedEngine.open(six, Given.tflite.model, EngineOptions(Desktop.ABI, accelerator = "npu")).close() }
        assertEquals("the file's output is [1, 5] float32, and its manifest says [1, 6] float32", error.message)
    }

    @Test
    fun `an inference leaves next to nothing for the garbage collector`() {
        val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
        for (artifact in listOf(Given.tflite, Given.onnx)) artifact.open().use { opened ->
            val tensor = direct(Golden.read(artifact.files, artifact.spec).tensors[0])
            val id = Thread.currentThread().id
            repeat(200) { opened.values(tensor) }
            val before = threads.getThreadAllocatedBytes(id)
            repeat(100) { opened.values(tensor) }
            val each = (threads.getThreadAllocatedBytes(id) - before) / 100
            assertTrue("$artifact: $each bytes", each < 1024)  // of the runtimes' own Java: 104 of TFLite, 440 of ONNX Runtime
        }
    }

    @Test
    fun `a closed engine says so`() {
        for (artifact in listOf(Given.tflite, Given.onnx)) {
            val opened = artifact.open()
            repeat(2) { opened.close() }
            thrown<EngineFailed> { opened.values(direct(ByteArray(artifact.spec.input.bytes))) }
        }
    }

    @Test
    fun `a truncated or foreign file is refused in the runtime's words`() {
        for (artifact in listOf(Given.tflite, Given.onnx)) {
            val whole = File(artifact.folder, artifact.spec.file).readBytes()
            for (bytes in listOf(whole.copyOf(whole.size / 2), ByteArray(1000) { 7 }, byteArrayOf())) {
                val error = thrown<EngineFailed> { artifact.open(model = direct(bytes)).close() }
                assertTrue(error.message, error.message.startsWith("${artifact.kind.version} refuses the file: "))
                assertTrue(error.message, '\n' !in error.message)
            }
        }
    }

    @Test
    fun `a file of other shapes than its manifest says is refused`() {
        for (artifact in listOf(Given.tflite, Given.onnx)) {
            val six = artifact.spec("sixth\n") {
                it.replace("\"classes\": 5", "\"classes\": 6").replace(Regex("""\[\s*1,\s*5\s*]"""), "[1, 6]")
            }
            val error = thrown<EngineFailed> { artifact.open(six).close() }
            assertEquals("the file's output is [1, 5] float32, and its manifest says [1, 6] float32", error.message)
            val type = artifact.spec.input.type.name.lowercase()
            val typed = artifact.spec { it.replaceFirst("\"dtype\": \"$type\"", "\"dtype\": \"int8\"") }
            val other = thrown<EngineFailed> { artifact.open(typed).close() }
            assertTrue(other.message, "the file's input is ${artifact.spec.input.shape} $type, and" in other.message)
        }
    }

    @Test
    fun `what a runtime does not do is refused before the file is opened`() {
        val (tflite, ort, litert) = ENGINES
        thrown<UnsupportedModel> { litert.open(Given.onnx.spec, Given.onnx.model, EngineOptions(Desktop.ABI, accelerator = "gpu")) }
        thrown<UnsupportedModel> { tflite.open(Given.onnx.spec, Given.onnx.model, EngineOptions(Desktop.ABI)) }
        thrown<UnsupportedModel> { ort.open(Given.tflite.spec, Given.tflite.model, EngineOptions(Desktop.ABI)) }
        val gpu = EngineOptions(Desktop.ABI, accelerator = "gpu")
        for (artifact in listOf(Given.tflite, Given.onnx)) {
            val error = thrown<BadRequest> { artifact.kind.open(artifact.spec, artifact.model, gpu) }
            assertEquals("${artifact.kind.name} has no accelerator gpu here", error.message)
        }
        thrown<BadRequest> { EngineOptions(Desktop.ABI, threads = 0) }
    }

    @Test
    fun `a file that this runtime is wrong about is refused on the CPU where it is wrong`() {
        val dynamic = Given.tflite.spec { it.replace(Regex("\"arm64\": \"[^\"]*\""), "\"arm64\": \"LiteRT 1.2\"") }
        for (artifact in Given.tooOld) {
            assertEquals("int8-dynamic", artifact.spec.scheme)
            thrown<RuntimeTooOld> { artifact.open().close() }
        }
        val error = thrown<RuntimeTooOld> { Given.tflite.open(dynamic, abi = "arm64-v8a").close() }
        assertEquals("this file needs LiteRT 1.2 or later on arm64, and this app has TFLite 2.16.1", error.message)
        Given.tflite.open(dynamic).close()
    }
}
