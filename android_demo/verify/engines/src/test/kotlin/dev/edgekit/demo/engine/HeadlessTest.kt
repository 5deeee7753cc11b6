package dev.edgekit.demo.engine

import dev.edgekit.core.BadRequest
import dev.edgekit.core.Golden
import dev.edgekit.core.Json
import dev.edgekit.core.MemoryFacts
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** The contract of edgekit/devices/adb.py; tests/test_adb.py runs the same from the other side. */
class HeadlessTest {
    @get:Rule
    val temporary = TemporaryFolder()
    private val folder by lazy { File(temporary.root, "files/bench") }

    @Before
    fun `the libraries are loaded`() {
        Desktop
    }

    private fun extras(artifact: Artifact, vararg more: Pair<String, Any?>) = mapOf(
        "run_id" to "R-1", "model" to File(artifact.folder, artifact.spec.file).path,
        "spec" to File(artifact.folder, "manifest.json").path, "engine" to artifact.kind.name, "accelerator" to "cpu",
        "threads" to 2, "outputs" to true, "warmup" to 0, "runs" to 3, "min_ms" to 0L, "finish" to true,
    ) + more

    @Suppress("UNCHECKED_CAST")
    private fun run(extras: Map<String, Any?>, progress: (Int) -> Boolean = { true }): Map<String, Any?> {
        Headless(folder, Desktop.device, "0.1.0", ENGINES, { MemoryFacts(1, 2) }, progress = progress).run(extras)
        val id = extras["run_id"]
        assertFalse(File(folder, "$id.json.partial").exists())
        return Json.parse(File(folder, "$id.json").readText()) as Map<String, Any?>
    }

    @Suppress("UNCHECKED_CAST")
    private operator fun Any?.get(name: String): Any? = (this as Map<String, Any?>).getValue(name)

    @Test
    fun `answers to every tensor, and raw times`() {
        for (artifact in listOf(Given.tflite, Given.onnx)) {
            val golden = Golden.read(artifact.files, artifact.spec)
            val input = temporary.newFile().apply { writeBytes(golden.tensors.reduce(ByteArray::plus)) }
            val said = run(extras(artifact, "input" to input.path))
            assertEquals(listOf(1L, "R-1", "ok", null), listOf("schema", "run_id", "status", "error").map { said[it] })
            assertEquals(3, (said["timing_ns"]["runs"] as List<*>).size)
            assertEquals(emptyList<Any>(), said["timing_ns"]["warmup"])
            assertTrue((said["timing_ns"]["runs"] as List<*>).all { it as Long > 0 })
            assertEquals(artifact.spec.files.getValue(artifact.spec.file).sha256, said["model"]["sha256"])
            assertEquals(artifact.kind.version.version, said["app"]["engine_version"])
            assertEquals("2", said["applied"]["threads"])
            assertEquals(1L, said["memory"]["pss_kb"])
            val answers = ByteBuffer.wrap(File(folder, "R-1.out").readBytes()).order(ByteOrder.LITTLE_ENDIAN)
            assertEquals(golden.answers.size * artifact.spec.outputs.single().bytes, answers.remaining())
            for (answer in golden.answers) for (score in answer[0]) assertTrue(abs(answers.getFloat() - score) <= artifact.spec.outputs[0].tolerance)
        }
    }

    @Test
    fun `without an input it answers zeros, and keeps nothing that was not asked for`() {
        val said = run(extras(Given.tflite, "outputs" to false, "warmup" to 2, "runs" to 0))
        assertEquals("ok", said["status"])
        assertEquals(2, (said["timing_ns"]["warmup"] as List<*>).size)
        assertEquals(emptyList<Any>(), said["timing_ns"]["runs"])
        assertEquals(listOf(Given.tflite.spec.outputs[0].name to 64), (said["outputs"] as List<*>).map { it["name"] to (it["sha256"] as String).length })
        assertFalse(File(folder, "R-1.out").exists())
    }

    @Test
    fun `an accelerator is the engine's that has it, and what refused is said`() {
        fun ran(accelerator: String) = run(extras(Given.tflite, "accelerator" to accelerator)).let { it["app"]["engine"] to it["applied"] as Map<*, *> }
        val (engine, npu) = ran("npu")
        assertEquals(listOf("litert", "npu"), listOf(engine, npu["accelerator"]))
        assertFalse("refused" in npu.keys)
        val (_, gpu) = ran("gpu")  // the desktop has none
        assertEquals("cpu", gpu["accelerator"])
        assertTrue("$gpu", "${gpu["refused"]}".startsWith("GPU: "))
    }

    @Test
    fun `a person may stop it, and what was measured is kept`() {
        val said = run(extras(Given.tflite, "runs" to 100)) { it < 4 }
        assertEquals(listOf("cancelled", 4), listOf(said["status"], (said["timing_ns"]["runs"] as List<*>).size))
    }

    @Test
    fun `whatever goes wrong is an answer`() {
        val damaged = temporary.newFolder().also { Given.tflite.folder.copyRecursively(it, overwrite = true) }
        File(damaged, "model.tflite").apply { writeBytes(readBytes().copyOf(1000)) }
        val short = temporary.newFile().apply { writeBytes(ByteArray(10)) }
        for ((type, message, more) in listOf<Triple<String, String, Pair<String, Any?>>>(
            Triple("BadRequest", "this app has no engine openvino", "engine" to "openvino"),
            Triple("BadRequest", "no model was given", "model" to null),
            Triple("BadRequest", "0 threads", "threads" to 0),
            Triple("BadRequest", "warmup -1, runs 3, min_ms 0", "warmup" to -1),
            Triple("BadRequest", "threads is two", "threads" to "two"),
            Triple("BadRequest", "tflite has no accelerator tpu here", "accelerator" to "tpu"),
            Triple("BadRequest", "$short holds 10 bytes", "input" to short.path),
            Triple("UnsupportedModel", "onnxruntime does not open files for tflite", "engine" to "onnxruntime"),
            Triple("MissingFile", "manifest.json is missing", "spec" to "/nowhere/manifest.json"),
            Triple("DamagedFile", "model.tflite is damaged: it ends after 1000 of 13757 bytes", "model" to File(damaged, "model.tflite").path),
        )) {
            val said = run(extras(Given.tflite, more))
            assertEquals(listOf("error", "load", type, message), listOf(said["status"], said["error"]["stage"], said["error"]["type"], said["error"]["message"]))
            assertTrue(said["error"]["hint"] is String)
            assertEquals(null, said["timing_ns"])
        }
    }

    @Test
    fun `a name that leads elsewhere is refused`() {
        for (id in listOf("../x", "", "a/b", null)) {
            thrown<BadRequest> { Headless(folder, Desktop.device, "0.1.0", ENGINES).run(extras(Given.tflite, "run_id" to id)) }
        }
        assertFalse(folder.exists())
    }
}
