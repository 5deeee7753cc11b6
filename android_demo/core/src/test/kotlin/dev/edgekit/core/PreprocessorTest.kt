package dev.edgekit.core

import com.sun.management.ThreadMXBean
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class PreprocessorTest {
    private val black = 255 shl 24
    private val red = black or 0xFF0000

    /** The tiny model, whose tensor is the fitted pixels. */
    private fun spec(fit: String = "", change: (String) -> String = { it }) = Given.spec { change(it.replace("\"crop_pct\": 1.0", "\"crop_pct\": 1.0$fit")) }

    private fun Preprocessor.pixels(argb: IntArray, width: Int, height: Int): List<List<Int>> {
        val tensor = argb(argb, width, height)
        return (0 until 32 * 32).map { i -> (0..2).map { tensor.get(3 * i + it).toInt() and 255 } }
    }

    @Test
    fun `one pixel fills the input`() {
        val pixels = Preprocessor(spec()).pixels(intArrayOf(red), 1, 1)
        assertEquals(setOf(listOf(255, 0, 0)), pixels.toSet())
    }

    @Test
    fun `what cannot be a picture is refused with its size`() {
        val preprocessor = Preprocessor(spec())
        val large = thrown<PictureTooLarge> { Preprocessor.check(20000, 10000) }
        assertEquals("an image of 20000 x 10000 pixels is too large (more than 178 megapixels)", large.message)
        thrown<PictureTooLarge> { preprocessor.argb(IntArray(1), 1 shl 30, 1 shl 30) }
        thrown<BadPicture> { preprocessor.argb(IntArray(1), 0, 1) }
        thrown<BadPicture> { preprocessor.argb(IntArray(11), 3, 4) }
        thrown<BadPicture> { preprocessor.rgba(ByteBuffer.allocate(47), 12, 3, 4) }
        thrown<BadPicture> { preprocessor.rgba(ByteBuffer.allocate(48), 11, 3, 4) }
        Preprocessor.check(20000, 8000)
    }

    @Test
    fun `a thread of pixels is refused where the whole would be huge, and squashed where asked`() {
        val thin = IntArray(800_000) { red }
        val error = thrown<PictureTooNarrow> { Preprocessor(spec()).argb(thin, 1, thin.size) }
        assertEquals("1 x 800000 pixels is too long and narrow for an input of 32 x 32", error.message)
        val squash = spec { it.replace("\"crop_mode\": \"center\"", "\"crop_mode\": \"squash\"") }
        assertEquals(setOf(listOf(255, 0, 0)), Preprocessor(squash).pixels(thin, 1, thin.size).toSet())
    }

    @Test
    fun `a crop beyond the picture is black, as Pillow crops`() {
        val preprocessor = Preprocessor(spec { it.replace("\"crop_pct\": 1.0", "\"crop_pct\": 2.0") })
        val pixels = preprocessor.pixels(intArrayOf(red), 1, 1)
        for (y in 0 until 32) for (x in 0 until 32) {
            val inside = y in 8 until 24 && x in 8 until 24
            assertEquals("$x, $y", listOf(if (inside) 255 else 0, 0, 0), pixels[32 * y + x])
        }
    }

    @Test
    fun `transparent pixels lie over white`() {
        val preprocessor = Preprocessor(spec())
        assertEquals(listOf(255, 255, 255), preprocessor.pixels(intArrayOf(0), 1, 1)[0])
        // Image.alpha_composite(white, (255, 0, 100, 77))
        val half = 77 shl 24 or (255 shl 16) or 100
        assertEquals(listOf(255, 178, 208), preprocessor.pixels(intArrayOf(half), 1, 1)[0])
        val bytes = ByteBuffer.wrap(byteArrayOf(-1, 0, 100, 77))
        preprocessor.rgba(bytes, 4, 1, 1).let { assertEquals(listOf(255, 178, 208), (0..2).map { c -> it.get(c).toInt() and 255 }) }
    }

    @Test
    fun `every filter of a manifest resizes, and nearest takes what is there`() {
        val argb = IntArray(64 * 64) { if (it % 2 == 0) red else black }
        for (filter in Filter.values()) {
            val preprocessor = Preprocessor(spec { it.replace("bicubic", filter.name.lowercase()) })
            val reds = preprocessor.pixels(argb, 64, 64).map { it[0] }.toSet()
            if (filter == Filter.NEAREST) assertEquals(setOf(0), reds) else assertTrue("$filter $reds", reds.any { it in 100..156 })
        }
    }

    @Test
    fun `an input that is not square is covered`() {
        val wide = spec { it.replace(Regex("\"input_size\": \\[\\s*32,\\s*32"), "\"input_size\": [16, 32").replace(Regex("1,\\s*32,\\s*32,\\s*3"), "1,16,32,3") }
        for ((w, h) in listOf(333 to 100, 100 to 333)) {
            val tensor = Preprocessor(wide).argb(IntArray(w * h) { red }, w, h)
            assertEquals(16 * 32 * 3, tensor.remaining())
            assertEquals(setOf(-1, 0), (0 until tensor.remaining()).map { tensor.get(it).toInt() }.toSet())
        }
    }

    @Test
    fun `pixels are stored as the input wants them`() {
        val argb = intArrayOf(black or (200 shl 16) or (10 shl 8))
        val int8 = spec { it.replace("\"dtype\": \"uint8\"", "\"dtype\": \"int8\"").replace("\"zero_point\": 0", "\"zero_point\": -128") }
        assertArrayEquals(byteArrayOf(72, -118, -128), ByteArray(3) { Preprocessor(int8).argb(argb, 1, 1).get(it) })
        val plain = spec { it.replaceFirst("\"scale\": 1.0", "\"scale\": null") }
        assertArrayEquals(byteArrayOf(200.toByte(), 10, 0), ByteArray(3) { Preprocessor(plain).argb(argb, 1, 1).get(it) })
        val planes = spec { it.replace("NHWC", "NCHW").replace(Regex("1,\\s*32,\\s*32,\\s*3"), "1,3,32,32") }
        assertArrayEquals(byteArrayOf(200.toByte(), 10, 0), ByteArray(3) { i -> Preprocessor(planes).argb(argb, 1, 1).get(i * 1024 + 500) })
    }

    @Test
    fun `a grey input takes Pillow's L, once`() {
        val grey = spec {
            it.replace(Regex("\"mean\": \\[[^]]*]"), "\"mean\": [0.5]").replace(Regex("\"std\": \\[[^]]*]"), "\"std\": [0.25]")
                .replace(Regex("1,\\s*32,\\s*32,\\s*3"), "1,32,32,1")
        }
        // Image.new("RGB", (1, 1), colour).convert("L")
        for ((colour, expected) in listOf(0xFF0000 to 76, 0x00FF00 to 150, 0x0000FF to 29, 0xFFFFFF to 255, 0x0A141E to 18)) {
            val tensor = Preprocessor(grey).argb(intArrayOf(black or colour), 1, 1)
            assertEquals(32 * 32, tensor.remaining())
            assertEquals(setOf(expected), (0 until 32 * 32).map { tensor.get(it).toInt() and 255 }.toSet())
        }
        thrown<BadManifest> { spec { it.replace(Regex("\"mean\": \\[[^]]*]"), "\"mean\": [0.5]") } }
    }

    @Test
    fun `a letterbox shows the whole picture, in a frame`() {
        val letterbox = spec { it.replace("\"crop_mode\": \"center\"", "\"crop_mode\": \"letterbox\", \"pad\": 114") }
        val preprocessor = Preprocessor(letterbox)
        val pixels = preprocessor.pixels(IntArray(8 * 3) { red }, 8, 3)  // 32 x 12 of 32 x 32
        for (y in 0 until 32) assertEquals(setOf(if (y in 10 until 22) listOf(255, 0, 0) else listOf(114, 114, 114)), pixels.subList(32 * y, 32 * y + 32).toSet())
        assertEquals(Pair(0.0, 0.0), preprocessor.placement.back(0.0, 10.0))
        assertEquals(Pair(8.0, 3.0), preprocessor.placement.back(32.0, 22.0))
        val tall = preprocessor.pixels(IntArray(2 * 64) { red }, 2, 64)
        assertEquals(listOf(114, 255, 114), listOf(14, 15, 16).map { tall[it][0] })
        assertEquals(Preprocessor(letterbox).let { runCatching { it.placement }.isFailure }, true)
    }

    @Test
    fun `planes that are too small, and odd rotations, are refused`() {
        fun frame(y: Int = 16, row: Int = 4, chroma: Int = 4, pixelStride: Int = 1, turn: Int = 0) = YuvFrame(
            4, 4, turn, ByteBuffer.allocate(y), row, ByteBuffer.allocate(chroma), ByteBuffer.allocate(4), 2, pixelStride,
        )
        val preprocessor = Preprocessor(spec())
        preprocessor.yuv(frame())
        for (bad in listOf(frame(y = 15), frame(row = 3), frame(chroma = 3), frame(pixelStride = 0), frame(turn = 45))) {
            thrown<BadPicture> { preprocessor.yuv(bad) }
        }
    }

    @Test
    fun `frames after the first allocate nothing`() {
        val spec = ModelSpec.read(ModelFiles.folder(Given.models.first()))
        val preprocessor = Preprocessor(spec)
        val y = ByteBuffer.allocateDirect(1280 * 720)
        val chroma = ByteBuffer.allocateDirect(1280 * 360)
        val frame = YuvFrame(1280, 720, 90, y, 1280, chroma, chroma, 1280, 2)
        val argb = IntArray(1280 * 720)
        val rgba = ByteBuffer.allocateDirect(4 * argb.size)
        val threads = ManagementFactory.getThreadMXBean() as ThreadMXBean
        val me = Thread.currentThread().id
        for (way in listOf({ preprocessor.yuv(frame) }, { preprocessor.argb(argb, 1280, 720) }, { preprocessor.rgba(rgba, 5120, 1280, 720) })) {
            repeat(3) { way() }
            val before = threads.getThreadAllocatedBytes(me)
            for (i in 0 until 10) way()
            assertEquals(0, threads.getThreadAllocatedBytes(me) - before)
        }
    }
}
