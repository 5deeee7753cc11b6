package dev.edgekit.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Test

class PostprocessorTest {
    private fun output(dtype: String, scale: String, zero: String) = Given.spec { text ->
        val at = text.indexOf("\"output\"")
        text.take(at) + text.drop(at).replaceFirst("float32", dtype).replaceFirst("\"scale\": null", "\"scale\": $scale")
            .replaceFirst("\"zero_point\": null", "\"zero_point\": $zero")
    }

    @Test
    fun `scores are real numbers, whatever the file stores`() {
        val bytes = ByteBuffer.wrap(byteArrayOf(0, 1, 127, -128, -1))
        assertArrayEquals(floatArrayOf(-2f, -1.5f, 61.5f, 62f, 125.5f), Postprocessor(output("uint8", "0.5", "4")).scores(bytes), 0f)
        assertArrayEquals(floatArrayOf(-2f, -1.5f, 61.5f, -66f, -2.5f), Postprocessor(output("int8", "0.5", "4")).scores(bytes), 0f)
        val floats = ByteBuffer.allocate(20).order(ByteOrder.nativeOrder()).apply { repeat(5) { putFloat(it - 1.5f) } }
        val plain = Postprocessor(Given.spec())
        assertArrayEquals(floatArrayOf(-1.5f, -0.5f, 0.5f, 1.5f, 2.5f), plain.scores(floats), 0f)
        assertSame(plain.scores(floats), plain.scores(floats))
    }

    @Test
    fun `independent classes are named by their threshold, all of them or none`() {
        val folder = Given.models.first { it.name == "py-nets-ends_in_sigmoid" }
        val several = Postprocessor(ModelSpec.read(ModelFiles.folder(folder)))
        val scores = floatArrayOf(0.9f, 0.5f, 0.49f, 0.6f, 0f)
        assertEquals(setOf(0, 1, 3), several.named(scores))
        assertEquals(listOf("class 0" to true, "class 3" to true, "class 1" to true), several.top(scores, 1).map { it.label to it.holds })
        assertEquals(listOf(false), several.top(FloatArray(5), 1).map { it.holds })
        val one = Postprocessor(ModelSpec.read(ModelFiles.folder(File(folder.parentFile, "py-nets-one_logit"))))
        assertEquals(listOf(0f, 0.5f, 1f), listOf(-1000f, 0f, 1000f).map { one.probabilities(floatArrayOf(it))[0] })
    }

    @Test
    fun `ties go to the lower class, and probabilities are left as they are`() {
        val scores = floatArrayOf(1f, 3f, 3f, 1000f, 3f)
        assertEquals(listOf(3, 0, 1), Postprocessor(Given.spec()).top(scores, 3).map { it.index })
        assertEquals(listOf(1f, 0f), Postprocessor(Given.spec()).top(scores, 2).map { it.probability })
        val given = Postprocessor(Given.spec { it.replace("\"scores\": \"logits\"", "\"scores\": \"probabilities\"") })
        assertEquals(listOf(3, 1, 2, 4, 0), given.top(scores, 9).map { it.index })
        assertEquals(1000f, given.top(scores, 1)[0].probability)
    }
}
