package dev.edgekit.core

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
    fun `ties go to the lower class, and probabilities are left as they are`() {
        val scores = floatArrayOf(1f, 3f, 3f, 1000f, 3f)
        assertEquals(listOf(3, 0, 1), Postprocessor(Given.spec()).top(scores, 3).map { it.index })
        assertEquals(listOf(1f, 0f), Postprocessor(Given.spec()).top(scores, 2).map { it.probability })
        val given = Postprocessor(Given.spec { it.replace("\"scores\": \"logits\"", "\"scores\": \"probabilities\"") })
        assertEquals(listOf(3, 1, 2, 4, 0), given.top(scores, 9).map { it.index })
        assertEquals(1000f, given.top(scores, 1)[0].probability)
    }
}
