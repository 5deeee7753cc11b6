package dev.edgekit.core

import org.junit.Assert.assertEquals
import org.junit.Test

class JsonTest {
    @Test
    fun `values come back as they were written`() {
        val value = mapOf(
            "text" to "a \"quoted\" \\ line\n\tand \u0001 and \u00e9 and \ud83d\ude00", "empty" to emptyMap<String, Any>(),
            "list" to listOf(1L, -2.5, 1e-7, true, false, null, emptyList<Any>()), "long" to Long.MAX_VALUE,
        )
        assertEquals(value, Json.parse(Json.write(value)))
        assertEquals("[null,null,0.5,[1,2]]", Json.write(listOf(Double.NaN, Float.POSITIVE_INFINITY, 0.5f, longArrayOf(1, 2))))
    }

    @Test
    fun `escapes and space are read`() {
        assertEquals(listOf("\"\\/\b\u000c\n\r\t\u00e9"), Json.parse(" [ \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\" ]\r\n"))
    }

    @Test
    fun `what is not JSON is said with its place`() {
        val faults = listOf(
            "", "{", "[1", "[1 2]", "{1: 2}", "{\"a\" 1}", "{\"a\": 1", "\"open", "\"line\nbreak\"", "\"\\x\"", "\"\\u12\"", "\"\\u12x4\"",
            "tru", "nul", "1.2.3", "-", "[] []", "[".repeat(100_000),
        )
        for (text in faults) thrown<BadManifest> { Json.parse(text) }
        assertEquals("manifest.json: not JSON: ']' is missing (at character 3)", thrown<BadManifest> { Json.parse("[1 2]") }.message)
        thrown<IllegalArgumentException> { Json.write(Any()) }
    }
}
