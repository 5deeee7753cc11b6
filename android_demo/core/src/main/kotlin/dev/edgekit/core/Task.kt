package dev.edgekit.core

/** Real numbers of one answer, an array for each output in the manifest's order: channels first, without the batch. */
public typealias Values = List<FloatArray>

/** What a model's answers mean; the same five as in edgekit/tasks. Of one thread, as the Model that holds it. */
public sealed interface Task {
    /** `at`: where on the picture its input lies. */
    public fun read(values: Values, at: Placement): Answer

    /** How alike two answers to one picture are, 1 where they say the same; null where the task has no measure. */
    public fun alike(golden: Values, values: Values): Double?

    /** One answer of those to several windows of a video; of one window itself. Not of masks and boxes, whose models take pictures. */
    public fun mean(windows: List<Values>): Values
}

/** What a model says of one picture. */
public sealed interface Answer {
    /** The probability of the best class; the mean score of the boxes that are shown. 0 where nothing tells. */
    public val sure: Float get() = 0f

    /** `probabilities` of the labels; `holding`: the classes that hold, each by itself; null where one excludes the others. */
    public class Classes(public val labels: List<String>, public val probabilities: FloatArray, public val holding: Set<Int>?) : Answer {
        override val sure: Float get() = probabilities.max()

        /** The k most probable classes, and every one that holds by itself, best first; ties by the lower class. */
        public fun top(k: Int): List<ClassScore> =
            probabilities.indices.sortedByDescending { probabilities[it] }.take(maxOf(k, holding?.size ?: 0))  // stable
                .map { ClassScore(it, labels[it], probabilities[it], holding?.contains(it)) }
    }

    /**
     * A class for each pixel of the model's input, [height, width].
     *
     * colours  ARGB for each class; background: the class that is no thing, where there is one
     * at       where on the picture the input lies
     */
    public class Mask(
        public val width: Int, public val height: Int, public val classes: ByteArray, public val labels: List<String>, public val colours: IntArray, public val background: Int?,
        public val at: Placement,
    ) : Answer {
        /** The same for each of the picture's own pixels: the class of the input's pixel under its centre. */
        public fun whole(): ByteArray {
            val columns = at.columns(width)
            val rows = at.rows(height)
            return ByteArray(at.width * at.height) { classes[rows[it / at.width] * width + columns[it % at.width]] }
        }

        /** Each label's share of the picture, the largest first, of those that are there. */
        public fun shares(): List<Share> {
            val columns = IntArray(width).also { counts -> for (x in at.columns(width)) counts[x]++ }
            val rows = IntArray(height).also { counts -> for (y in at.rows(height)) counts[y]++ }
            val counts = LongArray(labels.size)
            for (y in 0 until height) for (x in 0 until width) counts[classes[y * width + x].toInt() and 255] += rows[y].toLong() * columns[x]
            return counts.indices.filter { counts[it] > 0 }.sortedByDescending { counts[it] }
                .map { Share(it, labels[it], (counts[it].toDouble() / counts.sum()).toFloat()) }
        }
    }

    /**
     * Things on a picture, the best first, in its own pixels.
     *
     * colours    ARGB for each label
     * threshold  of scores: from it on the model would have them shown
     * at         where on the picture the input lies
     */
    public class Boxes(
        public val labels: List<String>, public val colours: IntArray, public val at: Placement, public val threshold: Float, public val boxes: List<Box>,
    ) : Answer {
        override val sure: Float get() = from(threshold).run { if (isEmpty()) 0f else map { it.score }.average().toFloat() }

        /** Those of a score or more. */
        public fun from(score: Float): List<Box> = boxes.filter { it.score >= score }
    }

    /** An embedding of length 1. */
    public class Vector(public val numbers: FloatArray) : Answer

    /** Tensors that nothing is known about but their names and sides. */
    public class Raw(public val tensors: List<RawTensor>) : Answer
}

/** One class of an answer. holds: of classes that do not exclude each other, whether it is on the picture; else null. */
public data class ClassScore(val index: Int, val label: String, val probability: Float, val holds: Boolean? = null)

/** A thing: its label, the score of that, 0..1, and where it is. */
public class Box(public val index: Int, public val label: String, public val score: Float, public val area: Area)

/** How much of a picture a label covers, of 1. */
public data class Share(val index: Int, val label: String, val part: Float)

/** One output; sides: without the batch, channels first where it has rows and columns. */
public class RawTensor(public val name: String, public val sides: List<Int>, public val numbers: FloatArray)

/** Any other network: its tensors as they are. */
public class Raw(private val outputs: List<Port>) : Task {
    override fun read(values: Values, at: Placement): Answer.Raw =
        Answer.Raw(outputs.mapIndexed { i, port -> RawTensor(port.name, port.sides, values[i].copyOf()) })

    override fun alike(golden: Values, values: Values): Double? = null

    override fun mean(windows: List<Values>): Values = meanOf(windows)
}

/** Number by number, summed in Double; new arrays. */
internal fun meanOf(windows: List<Values>): Values = windows[0].indices.map { output ->
    FloatArray(windows[0][output].size) { i -> (windows.sumOf { it[output][i].toDouble() } / windows.size).toFloat() }
}
