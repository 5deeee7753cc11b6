package dev.edgekit.core

import java.nio.ByteBuffer

/** What the file returned, as real numbers, channels first. Of one thread: `decode` fills the same arrays each time. */
public class Decoder(outputs: List<Port>) {
    private val ports = outputs.map { One(it) }

    /** `scale * (stored - zero point)` where an output is quantized. The buffers are rewound. */
    public fun decode(raw: List<ByteBuffer>): Values = ports.mapIndexed { i, port -> port.decode(raw[i]) }

    private class One(private val port: Port) {
        private val numbers = FloatArray(port.elements)
        private val channels = if (port.layout == Layout.NHWC) port.shape[3] else 1
        private val plane = port.elements / channels
        private val table = if (port.type == ElementType.FLOAT32) null else FloatArray(256) { real(it.toByte()) }

        fun decode(raw: ByteBuffer): FloatArray {
            raw.rewind()
            if (table == null && channels == 1) {
                raw.asFloatBuffer().get(numbers)
                return numbers
            }
            for (pixel in 0 until plane) for (c in 0 until channels) {
                val i = pixel * channels + c
                numbers[c * plane + pixel] = if (table == null) raw.getFloat(4 * i) else table[raw.get(i).toInt() and 255]
            }
            return numbers
        }

        private fun real(stored: Byte): Float {
            val number = if (port.type == ElementType.UINT8) (stored.toInt() and 255).toFloat() else stored.toFloat()
            return if (port.scale == null) number else (number - port.zeroPoint) * port.scale
        }
    }
}
