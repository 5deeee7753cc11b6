package dev.edgekit.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Test

class TasksTest {
    private fun decoder(dtype: String, scale: String, zero: String) = Decoder(Given.spec { text ->
        val at = text.indexOf("\"output\"")
        text.take(at) + text.drop(at).replaceFirst("float32", dtype).replaceFirst("\"scale\": null", "\"scale\": $scale")
            .replaceFirst("\"zero_point\": null", "\"zero_point\": $zero")
    }.outputs)

    private fun floats(vararg numbers: Float): ByteBuffer =
        ByteBuffer.allocate(4 * numbers.size).order(ByteOrder.nativeOrder()).apply { numbers.forEach { putFloat(it) } }

    @Test
    fun `answers are real numbers, whatever the file stores`() {
        val bytes = listOf(ByteBuffer.wrap(byteArrayOf(0, 1, 127, -128, -1)))
        assertArrayEquals(floatArrayOf(-2f, -1.5f, 61.5f, 62f, 125.5f), decoder("uint8", "0.5", "4").decode(bytes)[0], 0f)
        assertArrayEquals(floatArrayOf(-2f, -1.5f, 61.5f, -66f, -2.5f), decoder("int8", "0.5", "4").decode(bytes)[0], 0f)
        assertArrayEquals(floatArrayOf(0f, 1f, 127f, 128f, 255f), decoder("uint8", "null", "null").decode(bytes)[0], 0f)
        val numbers = listOf(floats(-1.5f, -0.5f, 0.5f, 1.5f, 2.5f))
        val plain = Decoder(Given.spec().outputs)
        assertArrayEquals(floatArrayOf(-1.5f, -0.5f, 0.5f, 1.5f, 2.5f), plain.decode(numbers)[0], 0f)
        assertSame(plain.decode(numbers)[0], plain.decode(numbers)[0])
    }

    @Test
    fun `independent classes are named by their threshold, all of them or none`() {
        val folder = Given.models.first { it.name == "py-nets-ends_in_sigmoid" }
        val several = ModelSpec.read(ModelFiles.folder(folder)).classification()
        val scores = floatArrayOf(0.9f, 0.5f, 0.49f, 0.6f, 0f)
        assertEquals(setOf(0, 1, 3), several.named(scores))
        assertEquals(listOf("class 0" to true, "class 3" to true, "class 1" to true), several.read(scores).top(1).map { it.label to it.holds })
        assertEquals(listOf(false), several.read(FloatArray(5)).top(1).map { it.holds })
        val one = ModelSpec.read(ModelFiles.folder(File(folder.parentFile, "py-nets-one_logit"))).classification()
        assertEquals(listOf(0f, 0.5f, 1f), listOf(-1000f, 0f, 1000f).map { one.probabilities(floatArrayOf(it))[0] })
    }

    @Test
    fun `ties go to the lower class, and probabilities are left as they are`() {
        val scores = floatArrayOf(1f, 3f, 3f, 1000f, 3f)
        val best = Given.spec().classification().read(scores)
        assertEquals(listOf(3, 0, 1), best.top(3).map { it.index })
        assertEquals(listOf(1f, 0f), best.top(2).map { it.probability })
        val given = Given.spec { it.replace("\"scores\": \"logits\"", "\"scores\": \"probabilities\"") }.classification().read(scores)
        assertEquals(listOf(3, 1, 2, 4, 0), given.top(9).map { it.index })
        assertEquals(1000f, given.top(1)[0].probability)
    }

    private val whole = Placement(24, 8, 0.5, 1.0, 0.0, 0.0)  // the input is 8 high and 12 wide: a picture of twice the width, squashed

    private fun segmenter(shape: String, layout: String, labels: String, more: String = "") = ModelSpec.parse(
        Given.third(
            """{"name": "segmentation", "scores": "logits", "threshold": 0.5, "background": 0, "ignore": 255,
                "palette": [${listOf("[0, 0, 0]", "[255, 0, 1]", "[0, 128, 0]").take(labels.lines().size - 1).joinToString()}], "upsample": {"mode": "bilinear", "align_corners": false}$more}""",
            listOf(Given.port("scores", shape, layout, role = "scores")), labels.lines().size - 1,
        ),
        labels,
    )

    @Test
    fun `scores of a smaller map become a mask of the picture's own pixels`() {
        val spec = segmenter("[1, 4, 6, 3]", "NHWC", "nothing\nleft\nright\n")
        assertEquals(listOf(3, 4, 6), spec.outputs[0].sides)
        // pixel by pixel as the file has them: the left half is the second class, the right one the third
        val raw = floats(*FloatArray(4 * 6 * 3) { i -> if (i % 3 == if (i / 3 % 6 < 3) 1 else 2) 2f else 0f })
        val mask = spec.task.read(Decoder(spec.outputs).decode(listOf(raw)), whole) as Answer.Mask
        assertEquals(listOf(12, 8), listOf(mask.width, mask.height))
        for (i in mask.classes.indices) assertEquals(if (i % 12 < 6) 1 else 2, mask.classes[i].toInt())
        for ((i, name) in mask.whole().withIndex()) assertEquals(if (i % 24 < 12) 1 else 2, name.toInt())
        assertEquals(listOf("left" to 0.5f, "right" to 0.5f), mask.shares().map { it.label to it.part })
        assertEquals(listOf(0xFF000000, 0xFFFF0001, 0xFF008000).map { it.toInt() }, mask.colours.asList())
        assertEquals(0, mask.background)
    }

    @Test
    fun `in a letterbox the frame is no part of the mask`() {
        val spec = segmenter("[1, 3, 8, 12]", "NCHW", "nothing\nleft\nright\n")
        // 3 x 8 pixels in the middle of 12 x 8: columns 4 to 6 are the picture's, and the frame is of the second class
        val scores = FloatArray(3 * 96) { if ((it % 12 in 4..6) == (it / 96 == 2)) 1f else 0f }
        val mask = spec.task.read(listOf(scores), Placement(6, 16, 0.5, 0.5, 4.0, 0.0)) as Answer.Mask
        assertEquals(listOf("right" to 1f), mask.shares().map { it.label to it.part })
        assertEquals(setOf(2.toByte()), mask.whole().toSet())
        assertEquals(6 * 16, mask.whole().size)
        assertEquals(Pair(0.0, 16.0), mask.at.back(4.0, 8.0))
    }

    @Test
    fun `colours are those of PASCAL VOC where the manifest gives none`() {
        val first = listOf(0x000000, 0x800000, 0x008000, 0x808000, 0x000080, 0x800080, 0x008080, 0x808080, 0x400000)
        assertEquals(first.map { it or (255 shl 24) }, Segmentation.colours(9).asList())
        val plain = Given.third(
            """{"name": "segmentation", "scores": "logits", "threshold": 0.5, "background": 0, "palette": [],
                "upsample": {"mode": "nearest", "align_corners": false}}""", listOf(Given.port("o", "[1, 1, 4, 6]", "NCHW", role = "scores")), 2,
        )
        assertEquals(Segmentation.colours(2).asList(), (ModelSpec.parse(plain, "a\nb\n").task as Segmentation).palette.asList())
    }

    @Test
    fun `one channel is binary, by its threshold`() {
        for ((scores, threshold, bar) in listOf(Triple("logits", "0.5", 0f), Triple("logits", "0.9", 2.19723f), Triple("probabilities", "0.9", 0.9f))) {
            val spec = segmenter("[1, 1, 8, 12]", "NCHW", "nothing\nthing\n", """, "threshold": $threshold, "scores": "$scores"""")
            val numbers = FloatArray(96) { if (it == 5) bar + 1e-4f else bar - 1e-4f }
            val mask = spec.task.read(listOf(numbers), whole) as Answer.Mask
            assertEquals(listOf(5), mask.classes.indices.filter { mask.classes[it] == 1.toByte() })
            assertEquals(95 / 96.0, spec.task.alike(listOf(numbers), listOf(FloatArray(96) { bar - 1 }))!!, 1e-9)
        }
    }

    @Test
    fun `pixels between two of the map lie between their scores, or are the nearest's`() {
        fun rows(bilinear: Boolean, aligned: Boolean, size: Int = 4): List<Float> {
            val found = ArrayList<Float>()
            Upsampling(1, 1, 2, 1, size, bilinear, aligned).rows(floatArrayOf(0f, 1f)) { _, row -> found += row.asList() }
            return found
        }
        assertEquals(listOf(0f, 0.25f, 0.75f, 1f), rows(bilinear = true, aligned = false))  // torch.nn.functional.interpolate
        assertEquals(listOf(0f, 1 / 3f, 2 / 3f, 1f), rows(bilinear = true, aligned = true))
        assertEquals(listOf(0f, 0f, 1f, 1f), rows(bilinear = false, aligned = false))
        assertEquals(listOf(0f, 1f), rows(bilinear = true, aligned = false, size = 2))
        assertEquals(listOf(0f), rows(bilinear = true, aligned = true, size = 1))
    }

    @Test
    fun `of boxes around one thing the best is shown, of each label by itself`() {
        val task = Detection(listOf("bag", "shoe"), 0.5f, Nms(0.5f, 1000), 100, intArrayOf(1, 2))
        // two that overlap by just the limit, one by more, and one elsewhere, in a letterbox of half the picture's size
        val boxes = floatArrayOf(4f, 2f, 8f, 6f, 4f, 2f, 8f, 4f, 4f, 2f, 8f, 5f, 0f, 0f, 3f, 20f)
        val scores = floatArrayOf(0.9f, 0.1f, 0.75f, 0.9f, 0.8f, 0.1f, 0.5f, 0.3f)
        val at = Placement(20, 16, 0.5, 0.5, 2.0, 0.0)
        val answer = task.read(listOf(boxes, scores), at, 0.25f)
        val said = answer.boxes.map { "${it.label} ${it.score} at ${it.area.run { listOf(left, top, right, bottom) }}" }
        val best = listOf("bag 0.9 at [4.0, 4.0, 12.0, 12.0]", "shoe 0.9 at [4.0, 4.0, 12.0, 8.0]", "bag 0.75 at [4.0, 4.0, 12.0, 8.0]")
        assertEquals(best + listOf("bag 0.5 at [0.0, 0.0, 2.0, 16.0]", "shoe 0.3 at [0.0, 0.0, 2.0, 16.0]"), said)
        assertEquals(listOf(5, 4, 3, 0), listOf(0.25f, 0.5f, 0.6f, 0.95f).map { answer.from(it).size })
        assertEquals(4, task.read(listOf(boxes, scores), at).boxes.size)
        assertEquals(1.0, task.alike(listOf(boxes, FloatArray(8)), listOf(boxes, FloatArray(8))), 0.0)
        assertEquals(0.0, task.alike(listOf(boxes, scores), listOf(boxes, FloatArray(8))), 0.0)
    }

    private fun embedding() = ModelSpec.parse(
        Given.third(
            """{"name": "embedding", "pooling": "class token", "grid": [1, 2], "normalized": false}""",
            listOf(Given.port("tokens", "[1, 2, 3]", "NTC", role = "tokens"), Given.port("vector", "[1, 3]", "NC", role = "embedding")),
        ),
        "",
    )

    @Test
    fun `an embedding gets length 1, and its nearest pictures are found`() {
        val task = embedding().task
        val vector = task.read(listOf(FloatArray(6), floatArrayOf(3f, 0f, 4f)), whole) as Answer.Vector
        assertArrayEquals(floatArrayOf(0.6f, 0f, 0.8f), vector.numbers, 0f)
        val gallery = Gallery(linkedMapOf("far" to floatArrayOf(0f, 1f, 0f), "near" to floatArrayOf(0f, 0f, 1f), "same" to vector.numbers))
        val nearest = gallery.nearest(vector, 2)
        assertEquals(listOf("same", "near"), nearest.map { it.name })
        assertEquals(0.8f, nearest[1].similarity, 1e-6f)
        assertEquals(0.96, task.alike(listOf(FloatArray(6), floatArrayOf(3f, 0f, 4f)), listOf(FloatArray(6), floatArrayOf(4f, 0f, 3f)))!!, 1e-6)
        assertArrayEquals(FloatArray(3), Embedding.unit(FloatArray(3)), 0f)
    }

    @Test
    fun `any other network answers its tensors as they are`() {
        val spec = ModelSpec.parse(
            Given.third("""{"name": "raw"}""", listOf(Given.port("depth", "[1, 1, 2, 2]", "NCHW"), Given.port("pose", "[-1, 2]", ""))), "",
        )
        val answer = spec.task.read(listOf(floatArrayOf(1f, 2f, 3f, 4f), floatArrayOf(5f, 6f)), whole) as Answer.Raw
        assertEquals(listOf("depth" to listOf(1, 2, 2), "pose" to listOf(2)), answer.tensors.map { it.name to it.sides })
        assertEquals(listOf(5f, 6f), answer.tensors[1].numbers.asList())
        assertEquals(null, spec.task.alike(emptyList(), emptyList()))
    }
}
