package org.example.birds

import android.app.Activity
import android.graphics.BitmapFactory
import android.os.Bundle
import android.widget.TextView
import dev.edgekit.core.Answer
import dev.edgekit.core.Engine
import dev.edgekit.core.Golden
import dev.edgekit.core.Model
import dev.edgekit.core.ModelFiles
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.check
import dev.edgekit.core.read
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.TensorFlowLite

class BirdsActivity : Activity() {
    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        val text = TextView(this).also { setContentView(it) }
        val files = ModelFiles { assets.open("birds/$it") }
        val spec = ModelSpec.read(files).also { it.checkFiles(files) }  // checksums
        Model(spec, Tflite(files.read(spec.file))).use { model ->
            check(Golden.read(files, spec).check(model).passed)  // this phone gives the right answers
            val photo = BitmapFactory.decodeStream(assets.open("photo.png"))
            val pixels = IntArray(photo.width * photo.height).also { photo.getPixels(it, 0, photo.width, 0, 0, photo.width, photo.height) }
            val answer = model.read(model.values(model.preprocessor.argb(pixels, photo.width, photo.height)))
            text.text = (answer as Answer.Classes).top(3).joinToString("\n") { "${it.label} ${(100 * it.probability).toInt()} %" }
        }
    }
}

class Tflite(file: ByteArray) : Engine {
    private val interpreter = Interpreter(ByteBuffer.allocateDirect(file.size).order(ByteOrder.nativeOrder()).apply { put(file).rewind() })
    override val name = "tflite"
    override val version: String = TensorFlowLite.runtimeVersion()
    override val facts = emptyMap<String, String>()

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        interpreter.runForMultipleInputsOutputs(arrayOf(input), outputs.withIndex().associate { it.index to it.value })
        for (buffer in outputs + input) buffer.rewind()
    }

    override fun close() = interpreter.close()
}
