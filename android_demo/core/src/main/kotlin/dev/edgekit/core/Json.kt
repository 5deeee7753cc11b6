package dev.edgekit.core

/**
 * JSON, as small as a manifest and a report need it: a value is Map, List, String, Long, Double, Boolean or null.
 *
 * Own code, because Android carries an old org.json that would hide any other copy of it on the phone and is missing on
 * the JVM, where these sources are tested; and a library of our choice would be larger than this app.
 */
public object Json {
    /** Throws BadManifest with the place of the first fault. */
    public fun parse(text: String): Any? = Parser(text).document()

    /** Numbers, strings, booleans, null, lists, arrays of Long and maps, on one line. Not-a-number becomes null. */
    public fun write(value: Any?): String = StringBuilder().also { it.put(value) }.toString()

    private fun StringBuilder.put(value: Any?) {
        when (value) {
            null -> append("null")
            is String -> quote(value)
            is Double -> append(if (value.isNaN() || value.isInfinite()) "null" else value.toString())
            is Float -> put(value.toDouble())
            is Number, is Boolean -> append(value.toString())
            is LongArray -> put(value.asList())
            is Iterable<*> -> {
                append('[')
                value.forEachIndexed { i, each -> if (i > 0) append(','); put(each) }
                append(']')
            }
            is Map<*, *> -> {
                append('{')
                value.entries.forEachIndexed { i, (key, each) ->
                    if (i > 0) append(',')
                    quote(key.toString()); append(':'); put(each)
                }
                append('}')
            }
            else -> throw IllegalArgumentException("no JSON for ${value.javaClass}")
        }
    }

    private fun StringBuilder.quote(text: String) {
        append('"')
        for (c in text) when {
            c == '"' || c == '\\' -> append('\\').append(c)
            c < ' ' -> append("\\u").append(c.code.toString(16).padStart(4, '0'))
            else -> append(c)
        }
        append('"')
    }

    private const val DEEPEST = 64  // a manifest has 4 levels; a hostile file must not overflow the stack

    private class Parser(private val text: String) {
        private var at = 0
        private var depth = 0

        fun document(): Any? {
            val value = value()
            space()
            if (at < text.length) fail("something follows the end")
            return value
        }

        private fun value(): Any? {
            space()
            return when (peek()) {
                '{' -> nested { members() }
                '[' -> nested { elements() }
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        private fun <T> nested(read: () -> T): T {
            if (++depth > DEEPEST) fail("too deep")
            at++
            return read().also { depth-- }
        }

        private fun members(): Map<String, Any?> {
            val map = LinkedHashMap<String, Any?>()
            if (next('}')) return map
            do {
                space()
                val key = string()
                if (!next(':')) fail("':' is missing")
                map[key] = value()
            } while (next(','))
            if (!next('}')) fail("'}' is missing")
            return map
        }

        private fun elements(): List<Any?> {
            val list = ArrayList<Any?>()
            if (next(']')) return list
            do list.add(value()) while (next(','))
            if (!next(']')) fail("']' is missing")
            return list
        }

        private fun string(): String {
            if (peek() != '"') fail("a string is missing")
            val out = StringBuilder()
            at++
            while (true) {
                val c = take()
                when {
                    c == '"' -> return out.toString()
                    c < ' ' -> fail("a string is not closed")
                    c == '\\' -> out.append(escape())
                    else -> out.append(c)
                }
            }
        }

        private fun escape(): Char = when (val c = take()) {
            '"', '\\', '/' -> c
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                at += 4
                val digits = if (at <= text.length) text.substring(at - 4, at) else ""
                digits.toIntOrNull(16)?.toChar() ?: fail("an escape is not right")
            }
            else -> fail("an escape is not right")
        }

        private fun number(): Any {
            val start = at
            while (at < text.length && text[at] in "+-.0123456789eE") at++
            val digits = text.substring(start, at)
            return digits.toLongOrNull() ?: digits.toDoubleOrNull() ?: fail("a value is missing")
        }

        private fun <T> word(word: String, value: T): T {
            if (!text.startsWith(word, at)) fail("a value is missing")
            at += word.length
            return value
        }

        private fun next(c: Char): Boolean {
            space()
            return (peek() == c).also { if (it) at++ }
        }

        private fun space() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else END

        private fun take(): Char = if (at < text.length) text[at++] else fail("the file ends too early")

        private fun fail(what: String): Nothing = throw BadManifest("not JSON: $what (at character $at)")
    }

    private const val END = '\u0000'
}
