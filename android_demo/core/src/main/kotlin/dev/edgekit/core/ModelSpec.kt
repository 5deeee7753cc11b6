package dev.edgekit.core

/** How one number of a tensor is stored. */
public enum class ElementType(public val bytes: Int) { FLOAT32(4), UINT8(1), INT8(1) }

/** What the sides of a tensor are: of a clip T are its frames; UNKNOWN where nothing is known. */
public enum class Layout { NHWC, NCHW, NTHWC, NCTHW, NC, NTC, NAC, UNKNOWN }

/**
 * An input or output of the file, of batch 1. Real value = scale * (stored - zeroPoint), where scale is given.
 *
 * role       of an output: what it is to the task ("scores", "boxes", "embedding", "tokens"); "" where the task gives none
 * tolerance  of an output: how far its real numbers may lie from the golden ones
 */
public class Port(
    public val name: String,
    public val shape: List<Int>,
    public val type: ElementType,
    public val layout: Layout,
    public val scale: Float?,
    public val zeroPoint: Int,
    public val role: String = "",
    public val tolerance: Double = 0.0,
) {
    public val elements: Int = shape.fold(1) { product, side -> product * side }
    public val bytes: Int = elements * type.bytes

    /** The sides of its real numbers, without the batch: channels first. */
    public val sides: List<Int> = if (layout == Layout.NHWC) listOf(shape[3], shape[1], shape[2]) else shape.drop(1)
}

/** How a picture of other proportions than the input's is fitted: see edgekit/preprocess.py. */
public enum class CropMode { CENTER, SQUASH, LETTERBOX }

/**
 * What the model wants to see: the fields of edgekit/preprocess.py. Mean and std on the 0..1 scale, RGB or grey. Of more than one of
 * `frames` the input is a clip, and `rate` is how many of its frames are a second.
 */
public class PreprocessSpec(
    public val height: Int,
    public val width: Int,
    public val cropPct: Double,
    public val cropMode: CropMode,
    public val filter: Filter,
    public val mean: List<Double>,
    public val std: List<Double>,
    public val pad: Int = 0,
    public val frames: Int = 1,
    public val rate: Double = 0.0,
) {
    public val channels: Int get() = mean.size
    public val isClip: Boolean get() = frames > 1
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
 * card       what else it says, for people
 * oldest     CPU class ("arm64", "x86-64", "any CPU") -> the oldest runtime that is right there
 */
public class ModelSpec internal constructor(
    public val model: String,
    public val target: String,
    public val scheme: String,
    public val knows: String,
    public val licence: String,
    public val file: String,
    public val files: Map<String, FileRecord>,
    public val input: Port,
    public val outputs: List<Port>,
    public val preprocess: PreprocessSpec,
    public val folded: Boolean,
    public val task: Task,
    public val labels: List<String>,
    public val stride: Int,
    public val oldest: Map<String, String>,
    public val card: ModelCard,
) {
    /** Compare the files with the manifest's checksums. Throws MissingFile, DamagedFile. */
    public fun checkFiles(from: ModelFiles): Unit = files.forEach { (name, record) -> record.check(name, from) }

    public companion object {
        public const val SCHEMA: Int = 4

        /** Reads manifest.json, checks the checksum that it carries, and labels.txt. Throws EdgekitException. */
        public fun read(files: ModelFiles): ModelSpec {
            val manifest = files.read("manifest.json")
            val spec = ManifestReader(String(manifest, Charsets.UTF_8)).spec { String(files.read("labels.txt"), Charsets.UTF_8) }
            ManifestReader.checkSeal(manifest)
            return spec
        }

        /** The same of texts, without the checksum. */
        public fun parse(manifest: String, labels: String): ModelSpec = ManifestReader(manifest).spec { labels }
    }
}
