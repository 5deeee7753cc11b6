package dev.edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/** A decoded picture: ARGB in one Int, opaque. */
public class Picture(public val width: Int, public val height: Int, public val argb: IntArray)

/**
 * Examples that carry their answers: golden.npz of an artifact, as it is.
 *
 * frames   of each example: one picture, or those of a clip, the oldest first
 * tensors  what the file takes for each example, its bytes (little endian)
 * answers  what the file answered to each where it was made; of maps of scores every `stride`-th row and column, of boxes every
 *          `stride`-th
 */
public class Golden(public val frames: List<List<Picture>>, public val tensors: List<ByteArray>, public val answers: List<Values>) {
    /** The first frame of each. */
    public val pictures: List<Picture> get() = frames.map { it[0] }

    public companion object {
        /** Throws MissingFile, DamagedFile. */
        public fun read(files: ModelFiles, spec: ModelSpec): Golden {
            val arrays = files.opened(NAME) { Npz.read(NAME, it) }
            fun array(name: String) = arrays[name] ?: throw DamagedFile(NAME, "it holds no $name")
            val tensors = array("tensors")
            val count = tensors.shape.firstOrNull() ?: 0
            if (count == 0) throw DamagedFile(NAME, "it holds no tensors")
            val kind = NUMPY.getValue(spec.input.type)
            if (tensors.type != kind || tensors.shape != listOf(count) + spec.input.shape.drop(1)) {
                throw DamagedFile(NAME, "its tensors are ${tensors.type} ${tensors.shape}, and the file takes ${spec.input.shape}")
            }
            val answers = spec.outputs.mapIndexed { i, port ->
                val one = if (i == 0) "answers" else ""  // before schema 3
                answers(arrays[one] ?: array("answers_$i"), count, Thinned(port, spec.stride))
            }
            return Golden(
                (0 until count).map { frames(array("image_$it"), spec.preprocess.frames) },
                (0 until count).map { i -> ByteArray(spec.input.bytes).also { tensors.data.bulk(i * it.size, it, it.size) } },
                (0 until count).map { picture -> answers.map { it[picture] } },
            )
        }

        /** For each picture. */
        private fun answers(array: NpyArray, count: Int, kept: Thinned): List<FloatArray> {
            if (array.type != "<f4" || array.shape != listOf(count) + kept.sides) {
                throw DamagedFile(NAME, "its answers are ${array.type} ${array.shape}, and the file's are ${kept.sides}")
            }
            val numbers = array.floats()
            val each = numbers.size / count
            return (0 until count).map { numbers.copyOfRange(it * each, (it + 1) * each) }
        }

        internal fun picture(rgb: NpyArray) = frames(rgb, 1).single()

        internal fun frames(rgb: NpyArray, count: Int): List<Picture> {
            val shape = if (count > 1) rgb.shape else listOf(1) + rgb.shape
            if (rgb.type != "|u1" || shape.size != 4 || shape[0] != count || shape[3] != 3) throw DamagedFile(NAME, "an example is ${rgb.shape}")
            val (height, width) = shape.subList(1, 3)
            fun byte(i: Int) = rgb.data.get(i).toInt() and 255
            return (0 until count).map { frame ->
                val start = frame * width * height
                Picture(width, height, IntArray(width * height) {
                    val i = 3 * (start + it)
                    255 shl 24 or (byte(i) shl 16) or (byte(i + 1) shl 8) or byte(i + 2)
                })
            }
        }

        private const val NAME = "golden.npz"
        private val NUMPY = mapOf(ElementType.FLOAT32 to "<f4", ElementType.UINT8 to "|u1", ElementType.INT8 to "|i1")
    }
}

/** What golden answers keep of an output with height and width: every stride-th row and column; of boxes every stride-th. */
private class Thinned(port: Port, private val stride: Int) {
    private val whole = port.sides
    private val layout = port.layout
    val sides = when (layout) {
        Layout.NCHW, Layout.NHWC -> listOf(whole[0], thinned(whole[1]), thinned(whole[2]))
        Layout.NAC -> listOf(thinned(whole[0])) + whole.drop(1)
        else -> whole
    }

    fun of(numbers: FloatArray): FloatArray {
        if (sides == whole) return numbers
        if (layout == Layout.NAC) return FloatArray(sides[0] * whole[1]) { numbers[it / whole[1] * stride * whole[1] + it % whole[1]] }
        val (_, rows, columns) = sides
        return FloatArray(whole[0] * rows * columns) {
            val (channel, row) = Pair(it / (rows * columns), it / columns % rows)
            numbers[(channel * whole[1] + row * stride) * whole[2] + it % columns * stride]
        }
    }

    private fun thinned(side: Int) = (side + stride - 1) / stride
}

/** How far an output is off, over all examples: infinite where a number is none. */
public class Distance(public val output: String, public val maxAbs: Double, public val tolerance: Double) {
    public val passed: Boolean get() = maxAbs <= tolerance
}

/**
 * Whether this device gives the right answers, as `edgekit verify` judges it.
 *
 * equalTensors  pictures whose tensor is the golden one to the last bit
 * alike         of each picture, in the task's measure (`Task.alike`); empty where it has none
 * sure          of each picture, how sure the model is here (`Answer.sure`)
 */
public class GoldenReport(
    public val pictures: Int, public val equalTensors: Int, public val outputs: List<Distance>, public val alike: List<Double>, public val sure: List<Float>,
) {
    public val tensorsEqual: Boolean get() = equalTensors == pictures
    public val passed: Boolean get() = tensorsEqual && outputs.all { it.passed }

    /** The output that is off most, by its own tolerance. */
    public val worst: Distance get() = outputs.maxByOrNull { it.maxAbs - it.tolerance }!!

    /** Places of the examples, the one first of which the model is surest: it says best what the model does. */
    public val surest: List<Int> get() = sure.indices.sortedByDescending { sure[it] }

    /** For JSON. */
    public fun toMap(): Map<String, Any?> = linkedMapOf(
        "passed" to passed, "pictures" to pictures, "tensors_equal" to tensorsEqual,
        "outputs" to outputs.map { linkedMapOf("name" to it.output, "max_abs" to it.maxAbs, "tolerance" to it.tolerance) },
        "alike" to alike,
    )
}

/** Golden pictures through the preprocessing; golden tensors through the engine. Throws EngineFailed. */
public fun Golden.check(model: Model): GoldenReport {
    val spec = model.spec
    val kept = spec.outputs.map { Thinned(it, spec.stride) }
    val given = ByteBuffer.allocateDirect(spec.input.bytes).order(ByteOrder.nativeOrder())
    val off = DoubleArray(kept.size)
    var equal = 0
    val sure = ArrayList<Float>()
    val alike = frames.indices.mapNotNull { i ->
        val made = model.tensor(frames[i])
        given.clear()
        given.put(tensors[i]).rewind()
        if (made == given) equal++
        val whole = model.values(given)
        sure += model.read(whole).sure
        val values = whole.mapIndexed { output, numbers -> kept[output].of(numbers) }
        for (output in off.indices) off[output] = maxOf(off[output], distance(values[output], answers[i][output]))
        spec.task.alike(answers[i], values)
    }
    return GoldenReport(frames.size, equal, spec.outputs.mapIndexed { i, port -> Distance(port.name, off[i], port.tolerance) }, alike, sure)
}

private fun distance(a: FloatArray, b: FloatArray): Double {
    var most = 0.0
    for (i in a.indices) {
        val distance = abs(a[i] - b[i]).toDouble()
        most = maxOf(most, if (distance.isNaN()) Double.POSITIVE_INFINITY else distance)
    }
    return most
}
