package dev.edgekit.core

/** How one number of a tensor is stored. */
enum class ElementType(val bytes: Int) { FLOAT32(4), UINT8(1), INT8(1) }

/** What the sides of a tensor are: of a clip T are its frames; UNKNOWN where nothing is known. */
enum class Layout { NHWC, NCHW, NTHWC, NCTHW, NC, NTC, NAC, UNKNOWN }

/**
 * An input or output of the file, of batch 1. Real value = scale * (stored - zeroPoint), where scale is given.
 *
 * role       of an output: what it is to the task ("scores", "boxes", "embedding", "tokens"); "" where the task gives none
 * tolerance  of an output: how far its real numbers may lie from the golden ones
 */
class Port(
    val name: String,
    val shape: List<Int>,
    val type: ElementType,
    val layout: Layout,
    val scale: Float?,
    val zeroPoint: Int,
    val role: String = "",
    val tolerance: Double = 0.0,
) {
    val elements = shape.fold(1) { product, side -> product * side }
    val bytes = elements * type.bytes

    /** The sides of its real numbers, without the batch: channels first. */
    val sides = if (layout == Layout.NHWC) listOf(shape[3], shape[1], shape[2]) else shape.drop(1)
}

/** How a picture of other proportions than the input's is fitted: see edgekit/preprocess.py. */
enum class CropMode { CENTER, SQUASH, LETTERBOX }

/**
 * What the model wants to see: the fields of edgekit/preprocess.py. Mean and std on the 0..1 scale, RGB or grey. Of more than one of
 * `frames` the input is a clip, and `rate` is how many of its frames are a second.
 */
class PreprocessSpec(
    val height: Int,
    val width: Int,
    val cropPct: Double,
    val cropMode: CropMode,
    val filter: Filter,
    val mean: List<Double>,
    val std: List<Double>,
    val pad: Int = 0,
    val frames: Int = 1,
    val rate: Double = 0.0,
) {
    val channels get() = mean.size
    val isClip get() = frames > 1
}

/**
 * A model as its artifact describes it: manifest.json and labels.txt. Nothing about a model is known otherwise.
 *
 * file       the model file among `files`
 * outputs    in the manifest's order
 * folded     the file takes pixels 0..255 and normalises them itself
 * task       what its answers mean
 * labels     of its classes; none where the task has no classes
 * knows      in words, what the model was trained to tell apart
 * stride     of golden answers with height and width, or of boxes: every stride-th row and column, or box, was kept
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
    val input: Port,
    val outputs: List<Port>,
    val preprocess: PreprocessSpec,
    val folded: Boolean,
    val task: Task,
    val labels: List<String>,
    val stride: Int,
    val oldest: Map<String, String>,
) {
    /** Compare the files with the manifest's checksums. Throws MissingFile, DamagedFile. */
    fun checkFiles(from: ModelFiles) = files.forEach { (name, record) -> record.check(name, from) }

    companion object {
        const val SCHEMA = 4

        /** Reads manifest.json, checks the checksum that it carries, and labels.txt. Throws EdgekitException. */
        fun read(files: ModelFiles): ModelSpec {
            val manifest = files.read("manifest.json")
            val spec = ManifestReader(String(manifest, Charsets.UTF_8)).spec { String(files.read("labels.txt"), Charsets.UTF_8) }
            ManifestReader.checkSeal(manifest)
            return spec
        }

        /** The same of texts, without the checksum. */
        fun parse(manifest: String, labels: String): ModelSpec = ManifestReader(manifest).spec { labels }
    }
}
