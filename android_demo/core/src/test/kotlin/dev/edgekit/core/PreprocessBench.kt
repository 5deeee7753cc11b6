package dev.edgekit.core

import java.io.File
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer

/**
 * CPU time of preprocessing, for benchmarks/android_preprocess.py, which speaks first: a line "argb N" or "yuv N" on
 * standard input is answered by the nanoseconds of N frames of 1280 x 720. Its argument is the folder of a model.
 */
fun main(arguments: Array<String>) {
    val preprocessor = Preprocessor(ModelSpec.read(ModelFiles.folder(File(arguments[0]))))
    val random = java.util.Random(0)
    val argb = IntArray(WIDTH * HEIGHT) { random.nextInt() or (255 shl 24) }
    val ways = mapOf(
        "argb" to { preprocessor.argb(argb, WIDTH, HEIGHT) },
        "yuv" to frame(random, 0).let { { preprocessor.yuv(it) } },
        "yuv90" to frame(random, 90).let { { preprocessor.yuv(it) } },
    )
    val threads = ManagementFactory.getThreadMXBean()
    for (line in generateSequence { readLine() }) {
        val (name, count) = line.split(' ')
        val way = ways.getValue(name)
        val start = threads.currentThreadCpuTime
        repeat(count.toInt()) { way() }
        println(threads.currentThreadCpuTime - start)
    }
}

private const val WIDTH = 1280
private const val HEIGHT = 720

/** As most phones deliver it: Cb and Cr interleaved in one buffer. */
private fun frame(random: java.util.Random, rotation: Int): YuvFrame {
    fun noise(size: Int) = ByteBuffer.allocateDirect(size).apply { put(ByteArray(size).also { random.nextBytes(it) }).rewind() }
    val chroma = noise(WIDTH * HEIGHT / 2)
    val cr = chroma.duplicate().apply { position(1) }.slice()
    return YuvFrame(WIDTH, HEIGHT, rotation, noise(WIDTH * HEIGHT), WIDTH, chroma, cr as ByteBuffer, WIDTH, 2)
}
