package dev.edgekit.core

/** An object of the manifest, whose errors name the field. Throws BadManifest. */
internal class Fields(private val path: String, value: Any?) {
    @Suppress("UNCHECKED_CAST")
    private val map = value as? Map<String, Any?> ?: throw BadManifest("${path.ifEmpty { "the file" }} is not an object")

    fun optional(name: String): Any? = map[name]

    fun string(name: String, default: String? = null) = typed<String>(name, default)
    fun boolean(name: String) = typed<Boolean>(name)
    fun long(name: String) = typed<Long>(name)
    fun int(name: String) = long(name).let { if (it in Int.MIN_VALUE..Int.MAX_VALUE) it.toInt() else bad(name, it) }
    fun double(name: String) = typed<Number>(name).toDouble()
    fun list(name: String) = typed<List<Any?>>(name)
    fun fields(name: String, default: Any? = null) = Fields(inside(name), typed<Map<*, *>>(name, default as? Map<*, *>))
    fun objects(name: String) = list(name).mapIndexed { i, value -> Fields("${inside(name)}[$i]", value) }

    fun doubles(name: String, count: Int): List<Double> = numbers(name, list(name), count)

    /** Numbers among others of a field, as a colour of a palette. */
    fun numbers(name: String, value: Any?, count: Int): List<Double> {
        val numbers = (value as? List<*>).orEmpty().filterIsInstance<Number>().map { it.toDouble() }
        return if (numbers.size == count && (value as List<*>).size == count) numbers else bad(name, value)
    }

    fun <T : Any> choice(name: String, known: Map<String, T>): T = known[string(name)] ?: bad(name, string(name))

    fun <T> each(read: (Fields) -> T): Map<String, T> = map.mapValues { (name, value) -> read(Fields(inside(name), value)) }

    fun strings(name: String): List<String> = (map[name] as? List<*>).orEmpty().map { it as? String ?: bad(name, it) }

    fun strings(): Map<String, String> = map.mapValues { (name, _) -> string(name) }

    fun bad(name: String, value: Any?): Nothing = throw BadManifest("${inside(name)} is $value")

    private inline fun <reified T : Any> typed(name: String, default: T? = null): T {
        val value = map[name] ?: default ?: throw BadManifest("${inside(name)} is missing")
        return value as? T ?: bad(name, value)
    }

    private fun inside(name: String) = if (path.isEmpty()) name else "$path.$name"
}
