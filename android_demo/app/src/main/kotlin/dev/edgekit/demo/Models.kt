package dev.edgekit.demo

import android.content.res.AssetManager
import dev.edgekit.core.DamagedFile
import dev.edgekit.core.ModelFiles
import dev.edgekit.core.ModelSpec
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.Channels
import java.util.concurrent.ConcurrentHashMap

/** The artifacts that the app carries, each a folder. */
class Models(private val list: () -> List<String>, private val open: (String) -> InputStream) {
    /** Among the app's assets, where `edgekit android add` puts them. */
    constructor(assets: AssetManager) : this({ assets.list("models").orEmpty().asList() }, { assets.open("models/$it") })

    private val specs = ConcurrentHashMap<String, ModelSpec>()

    fun names(): List<String> = list().sorted()

    fun files(name: String) = ModelFiles { open("$name/$it") }

    /** What its manifest says, which is read once: several screens ask. Throws EdgekitException. */
    fun spec(name: String): ModelSpec = specs.getOrPut(name) { ModelSpec.read(files(name)) }

    /** The model file, in memory of its own, as engines take it. Throws EdgekitException. */
    fun bytes(name: String, spec: ModelSpec): ByteBuffer {
        val size = spec.files.getValue(spec.file).bytes
        if (size > Int.MAX_VALUE) throw DamagedFile(spec.file, "it has $size bytes")
        val buffer = ByteBuffer.allocateDirect(size.toInt()).order(ByteOrder.nativeOrder())
        Channels.newChannel(files(name).open(spec.file)).use { while (buffer.hasRemaining() && it.read(buffer) >= 0) { } }
        return buffer.apply { rewind() }
    }
}
