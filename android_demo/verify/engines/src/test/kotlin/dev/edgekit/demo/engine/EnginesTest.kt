package dev.edgekit.demo.engine

import dev.edgekit.core.BadRequest
import dev.edgekit.core.EngineFailed
import dev.edgekit.core.Golden
import dev.edgekit.core.RuntimeTooOld
import dev.edgekit.core.UnsupportedModel
import dev.edgekit.core.check
import java.io.File
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
        for (artifact in Given.runnable) for (threads in 1..2) artifact.open(threads = threads).use { classifier ->
            val report = Golden.read(artifact.files, artifact.spec).check(classifier)
            assertTrue("$artifact: ${report.toMap()}", report.tensorsEqual && report.maxAbs <= artifact.stray * report.tolerance)
            assertEquals("$threads", classifier.engine.facts["threads"])
        }
    }

    @Test
    fun `from pixels to names`() {
        for (artifact in Given.runnable) artifact.open().use { classifier ->
            val golden = Golden.read(artifact.files, artifact.spec)
            for ((picture, answers) in golden.pictures.zip(golden.answers)) {
                val top = classifier.top(classifier.preprocessor.argb(picture.argb, picture.width, picture.height), 3)
                val best = answers.indices.maxByOrNull { answers[it] }!!
                val close = answers[best] - answers[top[0].index] <= 2 * artifact.stray * artifact.spec.tolerance
                assertTrue("$artifact: ${top[0]}, and the golden answer is $best", close)
                assertEquals(artifact.spec.labels[top[0].index], top[0].label)
                assertTrue(top.zipWithNext().all { (a, b) -> a.probability >= b.probability })
            }
        }
    }

    @Test
    fun `the runtimes are the ones of the app`() {
        val expected = mapOf("tflite" to System.getProperty("edgekit.tflite"), "onnxruntime" to System.getProperty("edgekit.ort"))
        assertEquals(expected, ENGINES.associate { it.name to it.version.version })
    }

    @Test
    fun `another buffer is another answer`() {
        for (artifact in listOf(Given.tflite, Given.onnx)) artifact.open().use { classifier ->
            val golden = Golden.read(artifact.files, artifact.spec)
            val tensors = golden.tensors.map { direct(it) }
            val first = tensors.map { classifier.scores(it).copyOf() }
            for (i in tensors.indices.reversed()) assertArrayEquals(first[i], classifier.scores(tensors[i]), 0f)
            assertSame(classifier.output(), classifier.output())
            assertEquals(artifact.spec.output.bytes, classifier.output().remaining())
        }
    }

    @Test
    fun `an inference leaves next to nothing for the garbage collector`() {
        val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
        for (artifact in listOf(Given.tflite, Given.onnx)) artifact.open().use { classifier ->
            val tensor = direct(Golden.read(artifact.files, artifact.spec).tensors[0])
            val id = Thread.currentThread().id
            repeat(200) { classifier.scores(tensor) }
            val before = threads.getThreadAllocatedBytes(id)
            repeat(100) { classifier.scores(tensor) }
            val each = (threads.getThreadAllocatedBytes(id) - before) / 100
            assertTrue("$artifact: $each bytes", each < 1024)  // of the runtimes' own Java: 104 of TFLite, 440 of ONNX Runtime
        }
    }

    @Test
    fun `a closed engine says so`() {
        for (artifact in listOf(Given.tflite, Given.onnx)) {
            val classifier = artifact.open()
            repeat(2) { classifier.close() }
            thrown<EngineFailed> { classifier.scores(direct(ByteArray(artifact.spec.input.bytes))) }
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
        val (tflite, ort) = ENGINES
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
