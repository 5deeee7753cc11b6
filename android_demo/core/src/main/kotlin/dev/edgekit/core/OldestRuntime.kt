package dev.edgekit.core

/**
 * A runtime's age. TFLite, then LiteRT: the same interpreter under two names, counted on from 2.17 to 1.0. `name` is
 * "tflite" for org.tensorflow:tensorflow-lite, "litert" for com.google.ai.edge.litert, "onnxruntime"; the version is that of
 * the package.
 */
public class RuntimeVersion(public val name: String, public val version: String) : Comparable<RuntimeVersion> {
    private val numbers = version.split('.', '-', '+').map { it.toIntOrNull() ?: 0 }

    override fun compareTo(other: RuntimeVersion): Int {
        val generation = (name == "litert").compareTo(other.name == "litert")
        if (generation != 0) return generation
        val places = maxOf(numbers.size, other.numbers.size)
        return (0 until places).map { numbers.at(it).compareTo(other.numbers.at(it)) }.firstOrNull { it != 0 } ?: 0
    }

    override fun toString(): String = "${SHOWN[name] ?: name} $version"

    private fun List<Int>.at(i: Int) = getOrElse(i) { 0 }

    public companion object {
        private val SHOWN = mapOf("tflite" to "TFLite", "litert" to "LiteRT", "onnxruntime" to "ONNX Runtime")
        private val STATED = Regex("""^(tflite-runtime|TFLite|LiteRT) (\d+(?:\.\d+)*)""")

        /** "LiteRT 1.2" and what may follow it; null for words that name no version ("a runtime that knows opset 20"). */
        internal fun stated(text: String): RuntimeVersion? = STATED.find(text)?.destructured?.let { (name, version) ->
            RuntimeVersion(if (name == "LiteRT") "litert" else "tflite", version)
        }
    }
}

/**
 * Refuse a file that this runtime is known to be too old for: older ones refuse it with worse words, or, as TFLite 2.16.1
 * with dynamic int8 on arm64, answer wrongly without any.
 *
 * abi  of Android: "arm64-v8a", "x86_64", ...  Throws RuntimeTooOld.
 */
public fun ModelSpec.checkRuntime(has: RuntimeVersion, abi: String) {
    val cpu = if (abi.startsWith("x86")) "x86-64" else "arm64"
    val wants = oldest[cpu]?.let { RuntimeVersion.stated(it) } ?: return
    if (has < wants) throw RuntimeTooOld("$has", "$wants", cpu)
}
