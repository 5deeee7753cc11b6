package dev.edgekit.core

import java.security.MessageDigest

/** manifest.json, schema 1 or 2, field by field; see edgekit/artifact.py. Throws BadManifest, NewerSchema, ... */
internal class ManifestReader(text: String) {
    private val root = Fields("", Json.parse(text))

    fun spec(labelFile: String): ModelSpec {
        val schema = root.long("schema")
        if (schema > ModelSpec.SCHEMA) throw NewerSchema(schema)
        if (schema < 1) throw BadManifest("schema is $schema")
        if (root.string("task") != "classification") throw UnsupportedModel("a model for ${root.string("task")}")
        val target = root.string("target")
        if (target !in RUNNABLE) throw UnsupportedModel("a file for $target")
        val files = root.fields("files").each { FileRecord(it.long("bytes"), it.string("sha256")) }
        val models = files.keys.filter { it.startsWith("model.") }
        if (models.size != 1) throw BadManifest("names ${models.size} model files, not one")
        val classes = root.int("classes")
        val labels = labelFile.lines().dropLastWhile { it.isEmpty() }
        if (labels.size != classes) throw LabelsDoNotMatch(labels.size, classes)
        val input = tensor(root.fields("input"))
        val output = tensor(root.fields("output"))
        val preprocess = preprocess(root.fields("preprocess"))
        val pixels = listOf(preprocess.height, preprocess.width)
        val expected = if (input.layout == Layout.NCHW) listOf(1, 3) + pixels else listOf(1) + pixels + 3
        if (input.shape != expected) throw BadManifest("input.shape is ${input.shape}, and the picture is $pixels")
        if (output.elements != classes) throw BadManifest("output.shape is ${output.shape} for $classes classes")
        val weights = root.fields("weights")
        return ModelSpec(
            root.string("model"), target, root.string("scheme"), weights.string("knows"), weights.string("licence", ""),
            models.single(), files, input, output, preprocess, root.boolean("folded"),
            root.choice("scores", SCORES), independent(schema, classes), threshold(schema), labels, root.double("golden_tolerance"),
            root.fields("oldest_interpreter", emptyMap<String, Any>()).strings(),
        )
    }

    /** Schema 1 did not say: one score was then, as now, of one label. */
    private fun independent(schema: Long, classes: Int) = if (schema < 2) classes == 1 else root.boolean("independent")

    private fun threshold(schema: Long): Float {
        val threshold = if (schema < 2) 0.5 else root.double("threshold")
        return if (threshold > 0 && threshold < 1) threshold.toFloat() else root.bad("threshold", threshold)
    }

    private fun tensor(f: Fields): TensorSpec {
        val shape = f.list("shape").mapIndexed { i, side ->
            // a batch of any size is a batch of one here
            if (i == 0) 1 else (side as? Long)?.takeIf { it in 1..65536 }?.toInt() ?: f.bad("shape", side)
        }
        val type = TYPES[f.string("dtype")] ?: throw UnsupportedModel("a tensor of type ${f.string("dtype")}")
        return TensorSpec(
            f.string("name"), shape, type, f.choice("layout", Layout.values().associateBy { it.name }),
            f.optional("scale")?.let { f.double("scale").toFloat() }, f.optional("zero_point")?.let { f.int("zero_point") } ?: 0,
        )
    }

    private fun preprocess(f: Fields): PreprocessSpec {
        val size = f.doubles("input_size", 2).map { it.toInt() }
        val std = f.doubles("std", 3)
        val cropPct = f.double("crop_pct")
        if (size.any { it !in 1..16384 }) f.bad("input_size", size)
        if (std.any { !(it > 0) }) f.bad("std", std)
        if (!(cropPct > 0)) f.bad("crop_pct", cropPct)
        return PreprocessSpec(
            size[0], size[1], cropPct, f.choice("crop_mode", CROPS),
            f.choice("interpolation", Filter.values().associateBy { it.name.lowercase() }), f.doubles("mean", 3), std,
        )
    }

    companion object {
        private val RUNNABLE = setOf("tflite", "onnx")
        private val SCORES = Scores.values().associateBy { it.name.lowercase().replace('_', '-') }
        private val CROPS = mapOf("center" to false, "squash" to true)
        private val TYPES = ElementType.values().associateBy { it.name.lowercase() }

        /** The manifest's own checksum is that of the file with zeros in its place; schema 1 had none. Throws DamagedFile. */
        fun checkSeal(manifest: ByteArray) {
            val text = String(manifest, Charsets.ISO_8859_1)  // a character for each byte
            val root = Fields("", Json.parse(text))
            if (root.long("schema") < 2 && root.optional("checksum") == null) return
            val checksum = root.string("checksum")
            val unsealed = text.replace(checksum, "0".repeat(checksum.length)).toByteArray(Charsets.ISO_8859_1)
            val digest = MessageDigest.getInstance("SHA-256").digest(unsealed).hex()
            if (digest != checksum) throw DamagedFile("manifest.json", "its checksum differs")
        }
    }
}

/** An object of the manifest, whose errors name the field. */
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

    fun doubles(name: String, count: Int): List<Double> {
        val numbers = list(name).filterIsInstance<Number>().map { it.toDouble() }
        return if (numbers.size == count && list(name).size == count) numbers else bad(name, list(name))
    }

    fun <T : Any> choice(name: String, known: Map<String, T>): T = known[string(name)] ?: bad(name, string(name))

    fun <T> each(read: (Fields) -> T): Map<String, T> = map.mapValues { (name, value) -> read(Fields(inside(name), value)) }

    fun strings(): Map<String, String> = map.mapValues { (name, _) -> string(name) }

    fun bad(name: String, value: Any?): Nothing = throw BadManifest("${inside(name)} is $value")

    private inline fun <reified T : Any> typed(name: String, default: T? = null): T {
        val value = map[name] ?: default ?: throw BadManifest("${inside(name)} is missing")
        return value as? T ?: bad(name, value)
    }

    private fun inside(name: String) = if (path.isEmpty()) name else "$path.$name"
}
