package dev.edgekit.core

/** How one number of a tensor is stored. */
enum class ElementType(val bytes: Int) { FLOAT32(4), UINT8(1), INT8(1) }

enum class Layout { NHWC, NCHW, NC }

/** What the numbers that a file answers are; see edgekit/tasks/classification.py. */
enum class Scores { LOGITS, PROBABILITIES, LOG_PROBABILITIES }

/** An input or output of the file, of batch 1. Real value = scale * (stored - zeroPoint), where scale is given. */
class TensorSpec(
    val name: String,
    val shape: List<Int>,
    val type: ElementType,
    val layout: Layout,
    val scale: Float?,
    val zeroPoint: Int,
) {
    val elements = shape.fold(1) { product, side -> product * side }
    val bytes = elements * type.bytes
}

/** What the model wants to see: the fields of edgekit/preprocess.py. Mean and std on the 0..1 scale, RGB. */
class PreprocessSpec(
    val height: Int,
    val width: Int,
    val cropPct: Double,
    val squash: Boolean,
    val filter: Filter,
    val mean: List<Double>,
    val std: List<Double>,
)

/**
 * A model as its artifact describes it: manifest.json and labels.txt. Nothing about a model is known otherwise.
 *
 * file       the model file among `files`
 * folded     the file takes pixels 0..255 and normalises them itself
 * independent  each class by itself: its label holds from a probability of `threshold` on; else a picture is of one class
 * knows      in words, what the model was trained to tell apart
 * tolerance  how far its answers may lie from the golden ones
 * oldest     CPU class ("arm64", "x86-64", "any CPU") -> the oldest runtime that is right there
 */
class ModelSpec internal constructor(
    val model: String,
    val target: String,
    val scheme: String,
    val knows: String,
    val licence: String,
    val file: String,
    val files: Map<String, FileRecord>,
    val input: TensorSpec,
    val output: TensorSpec,
    val preprocess: PreprocessSpec,
    val folded: Boolean,
    val scores: Scores,
    val independent: Boolean,
    val threshold: Float,
    val labels: List<String>,
    val tolerance: Double,
    val oldest: Map<String, String>,
) {
    val classes get() = labels.size

    /** Compare the files with the manifest's checksums. Throws MissingFile, DamagedFile. */
    fun checkFiles(from: ModelFiles) = files.forEach { (name, record) -> record.check(name, from) }

    companion object {
        const val SCHEMA = 2

        /** Reads manifest.json, checks the checksum that it carries, and labels.txt. Throws EdgekitException. */
        fun read(files: ModelFiles): ModelSpec {
            val manifest = files.read("manifest.json")
            val spec = parse(String(manifest, Charsets.UTF_8), String(files.read("labels.txt"), Charsets.UTF_8))
            ManifestReader.checkSeal(manifest)
            return spec
        }

        /** The same of texts, without the checksum. */
        fun parse(manifest: String, labels: String): ModelSpec = ManifestReader(manifest).spec(labels)
    }
}
