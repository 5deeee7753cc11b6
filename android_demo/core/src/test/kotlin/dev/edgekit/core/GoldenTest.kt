package dev.edgekit.core

import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class GoldenTest {
    private val spec = ModelSpec.read(Given.tiny())
    private val golden = Golden.read(Given.tiny(), spec)

    private fun checked(given: Golden = golden, change: (Float) -> Float = { it }) =
        Model(spec, PlaybackEngine(golden, change)).use { given.check(it) }

    @Test
    fun `right answers pass, and the report says how right`() {
        val report = checked { it + 0.01f }
        assertTrue(report.passed)
        assertEquals(golden.pictures.size, report.equalTensors)
        assertEquals(0.01, report.worst.maxAbs, 1e-6)
        assertEquals(List(report.pictures) { 1.0 }, report.alike)
        assertEquals(true, report.toMap()["passed"])
    }

    @Test
    fun `answers outside the tolerance, or no numbers, do not pass`() {
        assertFalse(checked { it + 0.02f }.passed)
        val none = checked { Float.NaN }
        assertFalse(none.passed)
        assertEquals(Double.POSITIVE_INFINITY, none.worst.maxAbs, 0.0)
        assertTrue(0.0 in checked { -it }.alike)
    }

    @Test
    fun `another pixel is another tensor`() {
        val first = golden.pictures[0]
        val other = Picture(first.width, first.height, first.argb.copyOf().also { it[first.argb.size / 2] = 255 shl 24 })
        val report = checked(Golden(listOf(listOf(other)) + golden.frames.drop(1), golden.tensors, golden.answers))
        assertEquals(golden.pictures.size - 1, report.equalTensors)
        assertFalse(report.passed)
    }

    @Test
    fun `a damaged golden file is said to be`() {
        val whole = Given.tiny().read("golden.npz")
        val other = Given.artifact("tiny-onnx-int8").read("golden.npz")
        val changed = whole.copyOf().also { for (i in 200..400) it[i] = 7 }
        for (bytes in listOf(whole.copyOf(9000), changed, ByteArray(0), byteArrayOf(1, 2, 3), other)) {
            thrown<DamagedFile> { Golden.read(Given.tiny("golden.npz" to bytes), spec) }
        }
        val error = thrown<DamagedFile> { Golden.read(Given.tiny("golden.npz" to other), spec) }
        assertTrue(error.message, error.message.startsWith("golden.npz is damaged: its tensors are <f4 ["))
        thrown<MissingFile> { Golden.read(Given.tiny("golden.npz" to null), spec) }
    }

    @Test
    fun `arrays that do not belong together are refused`() {
        val tensors = npy("|u1", "(1, 32, 32, 3)", 3072)
        val answers = npy("<f4", "(1, 5)", 20)
        val picture = npy("|u1", "(1, 1, 3)", 3)
        Golden.read(Given.tiny("golden.npz" to npz("tensors" to tensors, "answers" to answers, "image_0" to picture)), spec)
        for (bad in listOf(
            npz("tensors" to tensors, "answers" to answers),
            npz("tensors" to npy("|u1", "(0, 32, 32, 3)", 0), "answers" to npy("<f4", "(0, 5)", 0)),
            npz("tensors" to tensors, "answers" to npy("<f4", "(1, 4)", 16), "image_0" to picture),
            npz("tensors" to tensors, "answers" to npy("<f4", "()", 4), "image_0" to picture),
            npz("tensors" to tensors, "answers" to npy("<i4", "(1, 5)", 20), "image_0" to picture),
            npz("tensors" to tensors, "answers" to answers, "image_0" to npy("|u1", "(1, 3)", 3)),
            npz("tensors" to tensors, "answers" to answers, "image_0" to npy("|u1", "(1, 1, 4)", 4)),
            npz("tensors" to tensors, "answers" to answers, "image_0" to npy("<f4", "(1, 1, 3)", 12)),
            npz("tensors" to tensors, "answers" to npy("<f4", "(1, 5)", 19), "image_0" to picture),
            npz("tensors" to tensors, "answers" to npy(">f4", "(1, 5)", 20), "image_0" to picture),
            npz("tensors" to "hello, this is no array".toByteArray()),
        )) thrown<DamagedFile> { Golden.read(Given.tiny("golden.npz" to bad), spec) }
    }

    @Test
    fun `each of several outputs has its own tolerance, and maps are thinned`() {
        val spec = ModelSpec.parse(
            Given.third(
                """{"name": "raw"}""",
                listOf(Given.port("map", "[1, 2, 3, 5]", "NCHW", tolerance = 0.01), Given.port("pose", "[1, 2]", "NC", tolerance = 1.0)), stride = 2,
            ),
            "",
        )
        val thinned = FloatArray(2 * 2 * 3) { 100f * (it / 6) + 10 * (it / 3 % 2 * 2) + it % 3 * 2 }  // channel, row, column as digits
        val arrays = arrayOf(
            "tensors" to npy("|u1", "(1, 8, 12, 3)", 288), "answers_0" to npy("<f4", "(1, 2, 2, 3)", thinned),
            "answers_1" to npy("<f4", "(1, 2)", floatArrayOf(7f, 8f)), "image_0" to npy("|u1", "(1, 1, 3)", 3),
        )
        fun golden(vararg changed: Pair<String, ByteArray>) =
            npz(*(arrays.toMap() + changed).toList().toTypedArray()).let { bytes -> Golden.read({ bytes.inputStream() }, spec) }
        val given = golden()
        fun off(map: Float, pose: Float) = Model(spec, object : Engine by PlaybackEngine(given) {
            override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
                for (i in 0 until 30) outputs[0].putFloat(4 * i, map + 100 * (i / 15) + 10 * (i / 5 % 3) + i % 5)
                for (i in 0 until 2) outputs[1].putFloat(4 * i, pose + 7 + i)
            }
        }).use { given.check(it) }
        assertTrue(off(0f, 0.5f).passed)
        assertEquals("pose" to 2.0, off(0f, 2f).worst.run { output to maxAbs })
        assertFalse(off(0f, 2f).passed || off(0.5f, 0f).passed)
        assertEquals(emptyList<Double>(), off(0f, 0f).alike)
        for (bad in listOf("(1, 2, 3, 5)" to FloatArray(30), "(2, 2, 2, 3)" to FloatArray(24))) {
            thrown<DamagedFile> { golden("answers_0" to npy("<f4", bad.first, bad.second)) }
        }
        val error = thrown<DamagedFile> { npz(*arrays.filter { it.first != "answers_1" }.toTypedArray()).let { bytes -> Golden.read({ bytes.inputStream() }, spec) } }
        assertEquals("golden.npz is damaged: it holds no answers_1", error.message)
    }

    @Test
    fun `of many boxes every so many-th is kept`() {
        val ports = listOf(Given.port("b", "[1, 5, 4]", "NAC", role = "boxes"), Given.port("s", "[1, 5, 2]", "NAC", role = "scores"))
        val task = """{"name": "detection", "threshold": 0.25, "nms": null, "limit": 100, "palette": []}"""
        val spec = ModelSpec.parse(Given.third(task, ports, labels = 2, stride = 2), "a\nb\n")
        val boxes = FloatArray(12) { it / 4 * 8f + it % 4 }
        val scores = FloatArray(6) { (it / 2 * 4f + it % 2) / 100 }
        val given = npz(
            "tensors" to npy("|u1", "(1, 8, 12, 3)", 288), "answers_0" to npy("<f4", "(1, 3, 4)", boxes),
            "answers_1" to npy("<f4", "(1, 3, 2)", scores), "image_0" to npy("|u1", "(1, 1, 3)", 3),
        ).let { bytes -> Golden.read({ bytes.inputStream() }, spec) }
        fun off(by: Float) = Model(spec, object : Engine by PlaybackEngine(given) {
            override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
                for (i in 0 until 20) outputs[0].putFloat(4 * i, i.toFloat() + if (i / 4 % 2 == 1) 99 else 0)  // what is left out is not compared
                for (i in 0 until 10) outputs[1].putFloat(4 * i, i / 100f + by)
            }
        }).use { given.check(it) }
        assertEquals(0.0, off(0f).worst.maxAbs, 1e-6)
        assertTrue(off(0f).passed)
        assertFalse(off(0.1f).passed)
    }

    @Test
    fun `the example that the model is surest of is the first that is shown`() {
        assertEquals(listOf(1, 2, 0), GoldenReport(3, 3, emptyList(), emptyList(), listOf(0.2f, 0.9f, 0.9f)).surest)
        val at = Placement(8, 8, 1.0, 1.0, 0.0, 0.0)
        fun boxes(vararg scores: Float) = Answer.Boxes(listOf("a"), IntArray(1), at, 0.3f, scores.map { Box(0, "a", it, Area(0f, 0f, 1f, 1f)) })
        assertEquals(0.6f, boxes(0.8f, 0.4f, 0.1f).sure, 1e-6f)  // of those that are shown
        assertEquals(0f, boxes(0.1f).sure, 0f)
        assertEquals(0.7f, Answer.Classes(listOf("a", "b"), floatArrayOf(0.3f, 0.7f), null).sure, 0f)
        assertEquals(0f, Answer.Vector(floatArrayOf(1f)).sure, 0f)
    }

    private fun npy(type: String, shape: String, numbers: FloatArray) =
        npy(type, shape, 0) + ByteBuffer.allocate(4 * numbers.size).order(ByteOrder.LITTLE_ENDIAN).apply { numbers.forEach { putFloat(it) } }.array()

    private fun npy(type: String, shape: String, bytes: Int): ByteArray {
        val header = "{'descr': '$type', 'fortran_order': False, 'shape': $shape, }\n".toByteArray()
        return byteArrayOf(0x93.toByte(), 'N'.code.toByte(), 'U'.code.toByte(), 'M'.code.toByte(), 'P'.code.toByte(), 'Y'.code.toByte(), 2, 0) +
            byteArrayOf(header.size.toByte(), 0, 0, 0) + header + ByteArray(bytes)
    }

    private fun npz(vararg arrays: Pair<String, ByteArray>) = ByteArrayOutputStream().also { out ->
        ZipOutputStream(out).use { zip -> for ((name, bytes) in arrays) { zip.putNextEntry(ZipEntry("$name.npy")); zip.write(bytes) } }
    }.toByteArray()
}
