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
 * answers  what the file answered to each where it was made; of maps of scores every `stride`-th row and column
 */
class Golden(val pictures: List<Picture>, val tensors: List<ByteArray>, val answers: List<Values>) {
    companion object {
        /** Throws MissingFile, DamagedFile. */
        fun read(files: ModelFiles, spec: ModelSpec): Golden {
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
                (0 until count).map { picture(array("image_$it")) },
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

/** What golden answers keep of an output with height and width: every stride-th row and column. */
private class Thinned(port: Port, private val stride: Int) {
    private val whole = port.sides
    private val isMap = port.layout == Layout.NCHW || port.layout == Layout.NHWC
    val sides = if (isMap) listOf(whole[0], thinned(whole[1]), thinned(whole[2])) else whole

    fun of(numbers: FloatArray): FloatArray {
        if (!isMap || stride == 1) return numbers
        val (_, rows, columns) = sides
        return FloatArray(whole[0] * rows * columns) {
            val (channel, row) = Pair(it / (rows * columns), it / columns % rows)
            numbers[(channel * whole[1] + row * stride) * whole[2] + it % columns * stride]
        }
    }

    private fun thinned(side: Int) = (side + stride - 1) / stride
}

/** How far an output is off, over all examples: infinite where a number is none. */
class Distance(val output: String, val maxAbs: Double, val tolerance: Double) {
    val passed get() = maxAbs <= tolerance
}

/**
 * Whether this device gives the right answers, as `edgekit verify` judges it.
 *
 * equalTensors  pictures whose tensor is the golden one to the last bit
 * alike         of each picture, in the task's measure (`Task.alike`); empty where it has none
 */
class GoldenReport(val pictures: Int, val equalTensors: Int, val outputs: List<Distance>, val alike: List<Double>) {
    val tensorsEqual get() = equalTensors == pictures
    val passed get() = tensorsEqual && outputs.all { it.passed }

    /** The output that is off most, by its own tolerance. */
    val worst get() = outputs.maxByOrNull { it.maxAbs - it.tolerance }!!

    fun toMap(): Map<String, Any?> = linkedMapOf(
        "passed" to passed, "pictures" to pictures, "tensors_equal" to tensorsEqual,
        "outputs" to outputs.map { linkedMapOf("name" to it.output, "max_abs" to it.maxAbs, "tolerance" to it.tolerance) },
        "alike" to alike,
    )
}

/** Golden pictures through the preprocessing; golden tensors through the engine. Throws EngineFailed. */
fun Golden.check(model: Model): GoldenReport {
    val spec = model.spec
    val kept = spec.outputs.map { Thinned(it, spec.stride) }
    val given = ByteBuffer.allocateDirect(spec.input.bytes).order(ByteOrder.nativeOrder())
    val off = DoubleArray(kept.size)
    var equal = 0
    val alike = pictures.indices.mapNotNull { i ->
        val made = model.preprocessor.argb(pictures[i].argb, pictures[i].width, pictures[i].height)
        given.clear()
        given.put(tensors[i]).rewind()
        if (made == given) equal++
        val values = model.values(given).mapIndexed { output, numbers -> kept[output].of(numbers) }
        for (output in off.indices) off[output] = maxOf(off[output], distance(values[output], answers[i][output]))
        spec.task.alike(answers[i], values)
    }
    return GoldenReport(pictures.size, equal, spec.outputs.mapIndexed { i, port -> Distance(port.name, off[i], port.tolerance) }, alike)
}

private fun distance(a: FloatArray, b: FloatArray): Double {
    var most = 0.0
    for (i in a.indices) {
        val distance = abs(a[i] - b[i]).toDouble()
        most = maxOf(most, if (distance.isNaN()) Double.POSITIVE_INFINITY else distance)
    }
    return most
}
