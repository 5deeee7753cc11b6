package dev.edgekit.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Pixels to tensors, and scores to names, as Python makes them (android_demo/verify/vectors.py), to the last bit. */
class PixelsTest {
    private val pad = 114  // of vectors.py
    private val inputs = Npz.read("inputs.npz", javaClass.getResourceAsStream("/vectors/inputs.npz")!!)

    private fun each(test: (name: String, spec: ModelSpec, expected: Map<String, NpyArray>) -> Unit) {
        val small = listOf("ends_in_sigmoid", "ends_in_log_softmax", "one_logit").map { "py-nets-$it" }
        val known = setOf("mobilenetv2", "efficientnet_lite0", "vit_tiny", "swin_tiny") + small
        assertEquals(known, Given.models.map { it.name }.toSet())
        for (model in Given.models) test(model.name, ModelSpec.read(ModelFiles.folder(model)), Given.vectors(model))
    }

    @Test
    fun `pictures become the tensors of Python`() = each { name, spec, expected ->
        val digests = expected.getValue("images")
        val preprocessor = Preprocessor(spec)
        for (i in 0 until digests.shape[0]) {
            val picture = Golden.picture(inputs.getValue("image_$i"))
            val what = "$name, ${picture.width} x ${picture.height}"
            assertEquals(what, digests.line(i), digest(preprocessor.argb(picture.argb, picture.width, picture.height)))
            val stride = 4 * picture.width + 12
            assertEquals(what, digests.line(i), digest(preprocessor.rgba(rgba(picture, stride), stride, picture.width, picture.height)))
        }
    }

    @Test
    fun `every way of fitting gives the pixels of Python`() {
        val fits = vectors("fits")
        val picture = Golden.picture(inputs.getValue("image_0"))
        for (i in 0 until fits.getValue("pixels").shape[0]) {
            val (w, h, height, width) = (0..3).map { fits.getValue("sizes").data.getInt(16 * i + 4 * it) }
            val (filter, mode, channels) = (0..2).map { fits.getValue("ways").data.getInt(12 * i + 4 * it) }
            val crop = fits.getValue("crop_pct").data.getDouble(8 * i)
            val spec = fitting(height, width, mode, Filter.values()[filter], crop)
            val part = IntArray(w * h) { picture.argb[it / w * picture.width + it % w] }
            val out = ByteBuffer.allocate(3 * height * width)
            val rows = ArgbRows().of(part, w, h)
            Resizer(w, h, spec).run(if (channels == 1) GreyRows().of(rows) else rows) { _, pixels ->
                for (x in pixels.indices step 4 - channels) out.put(pixels[x].toByte())
            }
            out.flip()
            val what = "$w x $h to $width x $height, ${spec.filter}, crop_pct $crop, ${spec.cropMode}, $channels channels"
            assertEquals(what, fits.getValue("pixels").line(i), digest(out))
        }
        val all = ByteBuffer.allocate(65536)
        for (value in 0..255) for (alpha in 0..255) all.put(overWhite(value, alpha).toByte())
        all.rewind()
        assertEquals(fits.getValue("over_white").line(0), digest(all))
    }

    private fun fitting(height: Int, width: Int, mode: Int, filter: Filter, crop: Double) =
        PreprocessSpec(height, width, crop, CropMode.values()[mode], filter, emptyList(), emptyList(), pad)

    @Test
    fun `scores become the masks of Python`() {
        val masks = vectors("masks")
        fun ints(name: String, i: Int, count: Int) = (0 until count).map { masks.getValue(name).data.getInt(4 * (i * count + it)) }
        fun doubles(name: String, i: Int, count: Int) = (0 until count).map { masks.getValue(name).data.getDouble(8 * (i * count + it)) }
        val scores = masks.getValue("scores").floats()
        var at = 0
        for (i in 0 until masks.getValue("masks").shape[0]) {
            val (channels, rows, columns) = ints("heads", i, 3)
            val (height, width, w, h) = ints("sizes", i, 4)
            val (upsampling, mode, logits) = ints("ways", i, 3)
            val threshold = doubles("thresholds", i, 1)[0]
            val what = "$channels x $rows x $columns to $height x $width of $w x $h, way $upsampling, mode $mode, threshold $threshold"
            val head = scores.copyOfRange(at, at + channels * rows * columns).also { at += it.size }
            val up = Upsampling(channels, rows, columns, height, width, upsampling > 0, upsampling == 2)
            val large = ByteBuffer.allocate(4 * channels * height * width).order(ByteOrder.LITTLE_ENDIAN)
            up.rows(head) { y, row -> for (j in row.indices) large.putFloat(4 * ((j / width * height + y) * width + j % width), row[j]) }
            assertEquals(what, masks.getValue("upsampled").line(i), digest(large))
            val labels = List(maxOf(channels, 2)) { "$it" }
            val kind = if (logits == 1) Scores.LOGITS else Scores.PROBABILITIES
            val task = Segmentation(labels, kind, threshold, null, Segmentation.colours(labels.size), up)
            val place = Fit(Fit.Size(w, h), fitting(height, width, mode, Filter.BILINEAR, 1.0)).placement
            val mask = task.read(listOf(head), place)
            assertEquals(what, masks.getValue("masks").line(i), digest(ByteBuffer.wrap(mask.whole())))
            val shares = mask.shares().associate { it.index to it.part }
            assertEquals(what, doubles("shares", i, 5).map { it.toFloat() }, (0 until 5).map { shares[it] ?: 0f })
            val corners = listOf(place.back(0.0, 0.0), place.back(width.toDouble(), height.toDouble())).flatMap { it.toList() }
            assertEquals(what, doubles("back", i, 4), corners)
        }
    }

    @Test
    fun `answers become the boxes of Python`() {
        val vectors = vectors("boxes")
        val taken = HashMap<String, Int>()
        fun floats(name: String, count: Int) = FloatArray(count).also { made ->
            val from = taken.getOrDefault(name, 0)
            for (i in made.indices) made[i] = vectors.getValue(name).data.getFloat(4 * (from + i))
            taken[name] = from + count
        }
        for (i in 0 until vectors.getValue("counts").size) {
            val (anchors, classes, height, width, w) = (0..4).map { vectors.getValue("sizes").data.getInt(24 * i + 4 * it) }
            val (threshold, from, iou, candidates, limit) = (0..4).map { vectors.getValue("rules").data.getDouble(40 * i + 8 * it) }
            val h = vectors.getValue("sizes").data.getInt(24 * i + 20)
            val nms = if (iou > 0) Nms(iou.toFloat(), candidates.toInt()) else null
            val task = Detection(List(classes) { "$it" }, threshold.toFloat(), nms, limit.toInt(), IntArray(classes))
            val values = listOf(floats("boxes", 4 * anchors), floats("scores", anchors * classes))
            val count = vectors.getValue("counts").data.getInt(4 * i)
            val labels = (0 until count).map { vectors.getValue("labels").data.getInt(4 * (taken.getOrDefault("labels", 0) + it)) }
            taken.merge("labels", count, Int::plus)
            val what = "$anchors x $classes of $width x $height, $w x $h, threshold $threshold from $from, nms $iou of $candidates, limit $limit"
            val found = task.found(values, from.toFloat())
            assertEquals(what, labels, found.map { it.index })
            assertEquals(what, floats("scored", count).asList(), found.map { it.score })
            assertEquals(what, floats("found", 4 * count).asList(), found.flatMap { it.area.run { listOf(left, top, right, bottom) } })
            val at = Fit(Fit.Size(w, h), fitting(height, width, vectors.getValue("modes").data.getInt(4 * i), Filter.BILINEAR, 1.0)).placement
            val back = task.read(values, at, from.toFloat()).boxes.flatMap { it.area.run { listOf(left, top, right, bottom) } }
            assertEquals(what, floats("back", 4 * count).asList(), back)
            val moved = FloatArray(4 * anchors) { values[0][it] + it % 3 }
            assertEquals(what, vectors.getValue("alike").data.getDouble(8 * i), task.alike(values, listOf(moved, values[1])), 0.0)
        }
    }

    @Test
    fun `pictures are as alike as Python finds them`() {
        val vectors = vectors("vectors")
        val similarity = vectors.getValue("similarity").floats()
        val gallery = vectors.getValue("gallery").floats().asList().chunked(vectors.getValue("query").size)
        val query = Answer.Vector(Embedding.unit(vectors.getValue("query").floats()))
        val nearest = Gallery(gallery.withIndex().associate { (i, numbers) -> "$i" to Embedding.unit(numbers.toFloatArray()) }).nearest(query, gallery.size)
        assertEquals(similarity.indices.sortedByDescending { similarity[it] }.map { "$it" }, nearest.map { it.name })
        for (found in nearest) assertEquals(similarity[found.name.toInt()], found.similarity, 1e-6f)  // sums of another order
    }

    private fun vectors(name: String) = Npz.read("$name.npz", javaClass.getResourceAsStream("/vectors/$name.npz")!!)

    @Test
    fun `camera frames become the tensors of Python, however they lie`() = each { name, spec, expected ->
        val digests = expected.getValue("frames")
        val preprocessor = Preprocessor(spec)
        for (i in 0 until digests.shape[0]) {
            val frame = frame(i)
            val what = "$name, ${frame.width} x ${frame.height} turned by ${frame.rotation}"
            assertEquals(what, digests.line(i), digest(preprocessor.yuv(frame)))
        }
    }

    @Test
    fun `answers become the classes and probabilities of Python`() = each { _, spec, expected ->
        val answers = expected.getValue("answers").floats()
        val probabilities = expected.getValue("probabilities").floats()
        val classes = expected.getValue("classes")
        val k = classes.shape[1]
        for (i in 0 until classes.shape[0]) {
            val count = spec.labels.size
            val task = spec.classification()
            val top = task.read(answers.copyOfRange(i * count, (i + 1) * count)).top(k)
            assertEquals((0 until k).map { classes.data.getInt(4 * (i * k + it)) }, top.map { it.index })
            assertEquals(top.map { spec.labels[it.index] }, top.map { it.label })
            // Python's exp and Java's differ in the last bits
            for (j in 0 until k) assertEquals(probabilities[i * k + j], top[j].probability, 1e-6f)
            if (task.independent) assertEquals(top.map { it.probability >= task.threshold }, top.map { it.holds })
        }
    }

    @Test
    fun `golden pictures of whole artifacts become their golden tensors`() {
        for (folder in Given.artifacts.map { Given.golden(it) } + Given.more) {
            val files = ModelFiles.folder(folder)
            val spec = ModelSpec.read(files)
            spec.checkFiles(files)
            val golden = Golden.read(files, spec)
            assertTrue(golden.pictures.size >= 4)
            val model = Model(spec, PlaybackEngine(golden))
            golden.frames.zip(golden.tensors).forEach { (frames, tensor) -> assertEquals(ByteBuffer.wrap(tensor), model.tensor(frames)) }
        }
    }

    private fun frame(i: Int): YuvFrame {
        val (width, height, rotation, row, chromaRow) = (0..4).map { inputs.getValue("frame_$i").data.getInt(4 * it) }
        fun plane(name: String) = direct(inputs.getValue("frame_${i}_$name").data)
        val pixelStride = inputs.getValue("frame_$i").data.getInt(20)
        return YuvFrame(width, height, rotation, plane("y"), row, plane("u"), plane("v"), chromaRow, pixelStride)
    }

    private fun direct(bytes: ByteBuffer) = ByteBuffer.allocateDirect(bytes.remaining()).apply { put(bytes.duplicate()).rewind() }

    private fun rgba(picture: Picture, stride: Int) = ByteBuffer.allocateDirect(stride * picture.height).apply {
        picture.argb.forEachIndexed { i, p ->
            val at = i / picture.width * stride + i % picture.width * 4
            putInt(at, p shl 8 or (p ushr 24))
        }
    }

    private fun digest(tensor: ByteBuffer): String = MessageDigest.getInstance("SHA-256").apply { update(tensor) }.digest().hex()

    private fun NpyArray.line(i: Int) = ByteArray(32).also { data.bulk(32 * i, it, 32) }.hex()
}
