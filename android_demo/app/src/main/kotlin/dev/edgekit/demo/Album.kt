package dev.edgekit.demo

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import dev.edgekit.core.DamagedFile
import java.io.File

/** Photos that a person keeps, so that a model of embeddings finds the most alike: small copies in the app's own folder. */
class Album(private val folder: File) {
    private val small = HashMap<String, Bitmap>()

    /** In the order they were kept. */
    fun names(): List<String> = folder.list { _, name -> name.endsWith(KIND) }.orEmpty().sorted()

    fun keep(photo: Bitmap) {
        folder.mkdirs()
        val number = names().lastOrNull()?.removeSuffix(KIND)?.toInt()?.plus(1) ?: 1
        val partial = File(folder, "partial")
        partial.outputStream().use { fitted(photo, SIDE).compress(Bitmap.CompressFormat.PNG, 100, it) }
        partial.renameTo(File(folder, "%05d".format(number) + KIND))
    }

    fun picture(name: String): Bitmap {
        val bytes = File(folder, name).readBytes()
        return BitmapFactory.decodeByteArray(bytes, 0, bytes.size) ?: throw DamagedFile(name, "it is no image")
    }

    /** To be shown beside a line of text. Of the main thread. */
    fun small(name: String): Bitmap = small.getOrPut(name) { fitted(picture(name), SMALL) }

    fun forget() {
        names().forEach { File(folder, it).delete() }
        small.clear()
    }

    private fun fitted(picture: Bitmap, side: Int): Bitmap {
        val scale = side.toFloat() / maxOf(picture.width, picture.height)
        if (scale >= 1) return picture
        fun scaled(length: Int) = maxOf((scale * length).toInt(), 1)
        return Bitmap.createScaledBitmap(picture, scaled(picture.width), scaled(picture.height), true)
    }

    private companion object {
        const val KIND = ".png"
        const val SIDE = 512
        const val SMALL = 144
    }
}
