package dev.edgekit.core

import java.io.ByteArrayOutputStream
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
        Classifier(spec, PlaybackEngine(golden, change)).use { given.check(it) }

    @Test
    fun `right answers pass, and the report says how right`() {
        val report = checked { it + 0.01f }
        assertTrue(report.passed)
        assertEquals(golden.pictures.size, report.equalTensors)
        assertEquals(0.01, report.maxAbs, 1e-6)
        assertEquals(report.pictures, report.sameTop1)
        assertEquals(true, report.toMap()["passed"])
    }

    @Test
    fun `answers outside the tolerance, or no numbers, do not pass`() {
        assertFalse(checked { it + 0.02f }.passed)
        val none = checked { Float.NaN }
        assertFalse(none.passed)
        assertEquals(Double.POSITIVE_INFINITY, none.maxAbs, 0.0)
        assertTrue(checked { -it }.sameTop1 < golden.pictures.size)
    }

    @Test
    fun `another pixel is another tensor`() {
        val first = golden.pictures[0]
        val other = Picture(first.width, first.height, first.argb.copyOf().also { it[first.argb.size / 2] = 255 shl 24 })
        val report = checked(Golden(listOf(other) + golden.pictures.drop(1), golden.tensors, golden.answers))
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

    private fun npy(type: String, shape: String, bytes: Int): ByteArray {
        val header = "{'descr': '$type', 'fortran_order': False, 'shape': $shape, }\n".toByteArray()
        return byteArrayOf(0x93.toByte(), 'N'.code.toByte(), 'U'.code.toByte(), 'M'.code.toByte(), 'P'.code.toByte(), 'Y'.code.toByte(), 2, 0) +
            byteArrayOf(header.size.toByte(), 0, 0, 0) + header + ByteArray(bytes)
    }

    private fun npz(vararg arrays: Pair<String, ByteArray>) = ByteArrayOutputStream().also { out ->
        ZipOutputStream(out).use { zip -> for ((name, bytes) in arrays) { zip.putNextEntry(ZipEntry("$name.npy")); zip.write(bytes) } }
    }.toByteArray()
}
