package dev.edgekit.core

import java.security.MessageDigest

/** manifest.json field by field, of any schema: see edgekit/manifest.py. Throws BadManifest, NewerSchema, ... */
internal class ManifestReader(text: String) {
    private val root = newest(Json.parse(text))

    /** labels  the text of labels.txt, which a model without classes has not */
    fun spec(labels: () -> String): ModelSpec {
        val target = root.string("target")
        if (target !in RUNNABLE) throw UnsupportedModel("a file for $target")
        root.optional("layout")?.let { throw UnsupportedModel("a detector laid out for ${root.fields("layout").string("name")}", "edgekit export MODEL --target tflite, without --layout") }
        val files = root.fields("files").each { FileRecord(it.long("bytes"), it.string("sha256")) }
        val models = files.keys.filter { it.startsWith("model.") }
        if (models.size != 1) throw BadManifest("names ${models.size} model files, not one")
        val input = root.objects("inputs").let { if (it.size == 1) port(it[0]) else throw UnsupportedModel("a model of ${it.size} inputs") }
        val outputs = root.objects("outputs").map { output(it) }
        val preprocess = preprocess(root.fields("preprocess"))
        val seen = listOfNotNull(preprocess.frames.takeIf { preprocess.isClip }, preprocess.height, preprocess.width)
        val first = if (preprocess.isClip) Layout.NCTHW else Layout.NCHW
        val expected = if (input.layout == first) listOf(1, preprocess.channels) + seen else listOf(1) + seen + preprocess.channels
        if (input.shape != expected) throw BadManifest("inputs[0].shape is ${input.shape}, and the ${if (preprocess.isClip) "clip" else "image"} is $seen")
        val known = labels(labels)
        val task = TaskReader(root, outputs, known).task()
        if (preprocess.isClip && (task is Segmentation || task is Detection)) throw BadManifest("clips are answered by ${root.fields("task").string("name")}")
        val weights = root.fields("weights")
        return ModelSpec(
            root.string("model"), target, root.string("scheme"), weights.string("knows"), weights.string("licence", ""),
            models.single(), files, input, outputs, preprocess, root.boolean("folded"), task, known,
            stride(root.fields("golden")), root.fields("oldest_interpreter", emptyMap<String, Any>()).strings(), CardReader(root).card(),
        )
    }

    private fun labels(file: () -> String): List<String> {
        val count = root.int("labels")
        val labels = if (count == 0) emptyList() else file().lines().dropLastWhile { it.isEmpty() }
        return if (labels.size == count) labels else throw LabelsDoNotMatch(labels.size, count)
    }

    private fun output(f: Fields) = port(f, f.string("role"), f.double("tolerance"))

    private fun port(f: Fields, role: String = "", tolerance: Double = 0.0): Port {
        val shape = f.list("shape").mapIndexed { i, side ->
            // a batch of any size is a batch of one here
            if (i == 0) 1 else (side as? Long)?.takeIf { it in 1..65536 }?.toInt() ?: f.bad("shape", side)
        }
        val type = TYPES[f.string("dtype")] ?: throw UnsupportedModel("a tensor of type ${f.string("dtype")}")
        val layout = f.choice("layout", LAYOUTS)
        if (layout != Layout.UNKNOWN && layout.name.length != shape.size) f.bad("layout", "$layout for $shape")
        return Port(
            f.string("name"), shape, type, layout, f.optional("scale")?.let { f.double("scale").toFloat() },
            f.optional("zero_point")?.let { f.int("zero_point") } ?: 0, role, tolerance,
        )
    }

    private fun preprocess(f: Fields): PreprocessSpec {
        val size = f.doubles("input_size", 2).map { it.toInt() }
        val mean = f.list("mean").let { f.doubles("mean", if (it.size == 1) 1 else 3) }  // one of grey, three of RGB
        val std = f.doubles("std", mean.size)
        val cropPct = f.double("crop_pct")
        val frames = f.optional("frames")?.let { f.int("frames") } ?: 1
        val rate = f.optional("rate")?.let { f.double("rate") } ?: 0.0
        if (size.any { it !in 1..16384 }) f.bad("input_size", size)
        if (std.any { !(it > 0) }) f.bad("std", std)
        if (!(cropPct > 0)) f.bad("crop_pct", cropPct)
        if (frames !in 1..256) f.bad("frames", frames)
        if ((frames > 1) != (rate > 0)) f.bad("rate", "$rate for $frames frames")
        return PreprocessSpec(
            size[0], size[1], cropPct, f.choice("crop_mode", CROPS),
            f.choice("interpolation", Filter.values().associateBy { it.name.lowercase() }), mean, std, f.optional("pad")?.let { f.int("pad") } ?: 0,
            frames, rate,
        )
    }

    private fun stride(golden: Fields) = golden.int("stride").also { if (it < 1) golden.bad("stride", it) }

    companion object {
        private val RUNNABLE = setOf("tflite", "onnx")
        private val CROPS = CropMode.values().associateBy { it.name.lowercase() }
        private val TYPES = ElementType.values().associateBy { it.name.lowercase() }
        private val LAYOUTS = Layout.values().associateBy { if (it == Layout.UNKNOWN) "" else it.name }

        /** schema -> the same manifest in the words of the next */
        private val OLDER = mapOf(1L to ::from1, 2L to ::from2, 3L to ::from3)

        private fun newest(plain: Any?): Fields {
            val schema = Fields("", plain).long("schema")
            if (schema > ModelSpec.SCHEMA) throw NewerSchema(schema)
            if (schema == ModelSpec.SCHEMA.toLong()) return Fields("", plain)
            val upgrade = OLDER[schema] ?: throw BadManifest("schema is $schema")
            @Suppress("UNCHECKED_CAST")
            return newest(upgrade(plain as Map<String, Any?>))
        }

        /** Schema 1 knew scores of one label a picture alone; one score was then, as now, of one label. */
        private fun from1(old: Map<String, Any?>): Map<String, Any?> =
            old + mapOf("schema" to 2L, "independent" to (old["classes"] == 1L), "threshold" to 0.5)

        /** Schema 2 knew one task, one input and one output. */
        private fun from2(old: Map<String, Any?>): Map<String, Any?> {
            val meaning = listOf("scores", "independent", "threshold").associateWith { old[it] }
            val output = (old["output"] as? Map<*, *>)?.plus(mapOf("role" to "scores", "tolerance" to old["golden_tolerance"]))
            val proof = (old["proof"] as? Map<*, *>)?.let {
                val measure = mapOf("name" to "top-1 agreement", "value" to it["agreement"], "minimum" to it["min_agreement"])
                it + mapOf("measures" to listOf(measure), "outputs" to listOf(mapOf("sqnr_db" to it["sqnr_db"])))
            }
            return old + mapOf(
                "schema" to 3L, "task" to meaning + ("name" to old["task"]), "inputs" to listOf(old["input"]), "outputs" to listOf(output),
                "labels" to old["classes"], "golden" to mapOf("stride" to 1L), "proof" to proof,
            )
        }

        /** Schema 3 knew pictures alone. */
        private fun from3(old: Map<String, Any?>): Map<String, Any?> = old + mapOf("schema" to 4L)

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

/** The manifest's task, held against its outputs and labels as the `check` of edgekit/tasks does. */
internal class TaskReader(private val root: Fields, private val outputs: List<Port>, private val labels: List<String>) {
    private val fields = root.fields("task")

    fun task(): Task = when (val name = fields.string("name")) {
        "classification" -> classification()
        "embedding" -> Embedding(outputs.indexOf(sole("embedding")), fields.boolean("normalized"))
        "segmentation" -> segmentation()
        "detection" -> detection()
        "raw" -> Raw(outputs)
        else -> throw UnsupportedModel("a model for $name")
    }

    private fun classification(): Classification {
        val output = only("scores")
        if (output.elements != labels.size) throw BadManifest("outputs[0].shape is ${output.shape} for ${labels.size} labels")
        return Classification(labels, fields.choice("scores", SCORES), fields.boolean("independent"), threshold().toFloat())
    }

    private fun segmentation(): Segmentation {
        val output = only("scores")
        val channels = output.sides[0]
        val binary = channels == 1 && labels.size == 2
        if (output.sides.size != 3 || !(binary || channels == labels.size)) {
            throw BadManifest("outputs[0].shape is ${output.shape} for ${labels.size} labels")
        }
        val upsample = fields.fields("upsample")
        val size = root.fields("preprocess").doubles("input_size", 2).map { it.toInt() }
        return Segmentation(
            labels, fields.choice("scores", SCORES), threshold(), fields.optional("background")?.let { fields.int("background") },
            palette(Segmentation::colours),
            Upsampling(channels, output.sides[1], output.sides[2], size[0], size[1], upsample.choice("mode", SMOOTH), upsample.boolean("align_corners")),
        )
    }

    private fun detection(): Detection {
        val boxes = sole("boxes")
        val scores = sole("scores")
        val known = outputs == listOf(boxes, scores) && outputs.all { it.layout == Layout.NAC && it.type == ElementType.FLOAT32 }
        if (!known || boxes.sides != listOf(scores.sides[0], 4) || scores.sides[1] != labels.size) {
            throw BadManifest("outputs are ${outputs.joinToString { "${it.role} ${it.shape}" }} for boxes of ${labels.size} labels")
        }
        val nms = fields.optional("nms")?.let { fields.fields("nms") }?.run {
            val iou = double("iou").also { if (!(it > 0 && it <= 1)) bad("iou", it) }
            Nms(iou.toFloat(), count(this, "candidates", 4096))
        }
        return Detection(labels, threshold().toFloat(), nms, count(fields, "limit", 1000), palette { Segmentation.colours(it + 1).copyOfRange(1, it + 1) })
    }

    /** A colour a label, opaque ARGB; of so many labels where the manifest names none. */
    private fun palette(usual: (Int) -> IntArray): IntArray {
        val colours = fields.list("palette").map { rgb -> fields.numbers("palette", rgb, 3).map { it.toInt() and 255 } }
        if (colours.isEmpty()) return usual(labels.size)
        if (colours.size != labels.size) fields.bad("palette", "${colours.size} colours for ${labels.size} labels")
        return IntArray(colours.size) { i -> colours[i].fold(255) { argb, part -> argb shl 8 or part } }
    }

    private fun threshold() = fields.double("threshold").let { if (it > 0 && it < 1) it else fields.bad("threshold", it) }

    private fun count(of: Fields, name: String, most: Int) = of.int(name).also { if (it !in 1..most) of.bad(name, it) }

    private fun only(role: String): Port = sole(role).also { if (outputs.size != 1) throw BadManifest("${outputs.size} outputs of scores, not one") }

    private fun sole(role: String): Port =
        outputs.singleOrNull { it.role == role } ?: throw BadManifest("outputs: ${outputs.count { it.role == role }} of role $role, not one")

    private companion object {
        val SCORES = Scores.values().associateBy { it.name.lowercase().replace('_', '-') }
        val SMOOTH = mapOf("bilinear" to true, "nearest" to false)
    }
}
