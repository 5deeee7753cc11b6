package dev.edgekit.core

import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipInputStream

/** An array of numpy's: `type` as numpy writes it ("|u1", "<f4"), `data` its bytes in C order, little endian. */
internal class NpyArray(val type: String, val shape: List<Int>, val data: ByteBuffer) {
    val size = shape.fold(1) { product, side -> product * side }

    fun floats(): FloatArray = FloatArray(size) { data.getFloat(4 * it) }
}

/** numpy's .npz (a zip of .npy files), of arrays of numbers. Throws DamagedFile. */
internal object Npz {
    private val HEADER = Regex("""'descr': '([|<][a-z]\d)', 'fortran_order': False, 'shape': \(([\d, ]*)\)""")

    fun read(name: String, stream: InputStream): Map<String, NpyArray> =
        try {
            ZipInputStream(stream).use { zip ->
                generateSequence { zip.nextEntry }.associate { it.name.removeSuffix(".npy") to array(zip.readBytes()) }
            }
        } catch (error: Exception) {  // zip and buffers throw whatever a damaged file leads them to
            throw DamagedFile(name, error.message ?: error.javaClass.simpleName, error)
        }

    /** https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1 to 3 */
    private fun array(bytes: ByteArray): NpyArray {
        val buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
        require(buffer.getInt(0) == 0x4D554E93) { "not an array of numpy" }  // \x93NUM
        val long = buffer.get(6) > 1
        val start = if (long) 12 else 10
        val length = if (long) buffer.getInt(8) else buffer.getShort(8).toInt() and 0xFFFF
        val header = String(bytes, start, length, Charsets.ISO_8859_1)
        val (type, sides) = requireNotNull(HEADER.find(header)) { "an array of another kind: $header" }.destructured
        val shape = sides.split(',').filter { it.isNotBlank() }.map { it.trim().toInt() }
        buffer.position(start + length)
        val array = NpyArray(type, shape, buffer.slice().order(ByteOrder.LITTLE_ENDIAN))
        require(array.data.remaining() == array.size * type.last().digitToInt()) { "an array ends too early" }
        return array
    }
}
