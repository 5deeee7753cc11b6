package dev.edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/** A decoded picture: ARGB in one Int, opaque. */
class Picture(val width: Int, val height: Int, val argb: IntArray)

/**
 * Examples that carry their answers: golden.npz of an artifact, as it is.
 *
 * tensors  what the file takes for each picture, its bytes (little endian)
 * answers  what the file answered where it was made, [classes] each
 */
class Golden(val pictures: List<Picture>, val tensors: List<ByteArray>, val answers: List<FloatArray>) {
    companion object {
        /** Throws MissingFile, DamagedFile. */
        fun read(files: ModelFiles, spec: ModelSpec): Golden {
            val arrays = files.opened(NAME) { Npz.read(NAME, it) }
            fun array(name: String) = arrays[name] ?: throw DamagedFile(NAME, "it holds no $name")
            val tensors = array("tensors")
            val answers = array("answers")
            val count = answers.shape.firstOrNull() ?: 0
            if (count == 0) throw DamagedFile(NAME, "it holds no answers")
            val kind = NUMPY.getValue(spec.input.type)
            if (tensors.type != kind || tensors.shape != listOf(count) + spec.input.shape.drop(1)) {
                throw DamagedFile(NAME, "its tensors are ${tensors.type} ${tensors.shape}, and the file takes ${spec.input.shape}")
            }
            if (answers.type != "<f4" || answers.shape != listOf(count, spec.classes)) {
                throw DamagedFile(NAME, "its answers are ${answers.type} ${answers.shape} for ${spec.classes} classes")
            }
            val scores = answers.floats()
            return Golden(
                (0 until count).map { picture(array("image_$it")) },
                (0 until count).map { i -> ByteArray(spec.input.bytes).also { tensors.data.bulk(i * it.size, it, it.size) } },
                (0 until count).map { scores.copyOfRange(it * spec.classes, (it + 1) * spec.classes) },
            )
        }

        internal fun picture(rgb: NpyArray): Picture {
            if (rgb.type != "|u1" || rgb.shape.size != 3 || rgb.shape[2] != 3) throw DamagedFile(NAME, "a picture is ${rgb.shape}")
            fun byte(i: Int) = rgb.data.get(i).toInt() and 255
            val argb = IntArray(rgb.size / 3) { 255 shl 24 or (byte(3 * it) shl 16) or (byte(3 * it + 1) shl 8) or byte(3 * it + 2) }
            return Picture(rgb.shape[1], rgb.shape[0], argb)
        }

        private const val NAME = "golden.npz"
        private val NUMPY = mapOf(ElementType.FLOAT32 to "<f4", ElementType.UINT8 to "|u1", ElementType.INT8 to "|i1")
    }
}

/**
 * Whether this device gives the right answers, as `edgekit verify` judges it.
 *
 * equalTensors  pictures whose tensor is the golden one to the last bit
 * maxAbs        largest difference of a score to the golden one; infinite where a score is not a number
 * sameTop1      pictures that are named alike
 */
class GoldenReport(
    val pictures: Int, val equalTensors: Int, val maxAbs: Double, val tolerance: Double, val sameTop1: Int,
) {
    val tensorsEqual get() = equalTensors == pictures
    val passed get() = tensorsEqual && maxAbs <= tolerance

    fun toMap(): Map<String, Any?> = linkedMapOf(
        "passed" to passed, "pictures" to pictures, "tensors_equal" to tensorsEqual,
        "max_abs" to maxAbs, "tolerance" to tolerance, "same_top1" to sameTop1,
    )
}

/** Golden pictures through the preprocessing; golden tensors through the engine. Throws EngineFailed. */
fun Golden.check(classifier: Classifier): GoldenReport {
    var equal = 0
    var same = 0
    var maxAbs = 0.0
    val given = ByteBuffer.allocateDirect(classifier.spec.input.bytes).order(ByteOrder.nativeOrder())
    for (i in pictures.indices) {
        val picture = pictures[i]
        val made = classifier.preprocessor.argb(picture.argb, picture.width, picture.height)
        given.clear()
        given.put(tensors[i]).rewind()
        if (made == given) equal++
        val scores = classifier.scores(given)
        for (c in scores.indices) {
            val distance = abs(scores[c] - answers[i][c]).toDouble()
            maxAbs = maxOf(maxAbs, if (distance.isNaN()) Double.POSITIVE_INFINITY else distance)
        }
        if (classifier.postprocessor.named(scores) == classifier.postprocessor.named(answers[i])) same++
    }
    return GoldenReport(pictures.size, equal, maxAbs, classifier.spec.tolerance, same)
}
