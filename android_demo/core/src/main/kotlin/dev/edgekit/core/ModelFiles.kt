package dev.edgekit.core

import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream
import java.security.MessageDigest

/** Where the files of one artifact lie: a folder, or the assets of an app. `open` throws FileNotFoundException. */
public fun interface ModelFiles {
    /** A new stream of the file, which the caller closes. */
    public fun open(name: String): InputStream

    public companion object {
        /** The artifact in a folder. */
        public fun folder(folder: File): ModelFiles = ModelFiles { name -> File(folder, name).inputStream() }
    }
}

/** The whole file. Throws MissingFile. */
public fun ModelFiles.read(name: String): ByteArray = opened(name) { it.readBytes() }

internal fun <T> ModelFiles.opened(name: String, use: (InputStream) -> T): T =
    try {
        open(name).use(use)
    } catch (_: FileNotFoundException) {
        throw MissingFile(name)
    }

/** What the manifest says of a file. */
public class FileRecord(public val bytes: Long, public val sha256: String) {
    /** Throws MissingFile, or DamagedFile where the file was cut short or changed. */
    public fun check(name: String, files: ModelFiles) {
        val digest = MessageDigest.getInstance("SHA-256")
        val buffer = ByteArray(1 shl 16)
        var length = 0L
        files.opened(name) { stream ->
            while (true) {
                val count = stream.read(buffer)
                if (count < 0) break
                digest.update(buffer, 0, count)
                length += count
            }
        }
        if (length < bytes) throw DamagedFile(name, "it ends after $length of $bytes bytes")
        if (length > bytes || digest.digest().hex() != sha256) throw DamagedFile(name, "its checksum differs")
    }
}

/** Lower case, two digits each. */
public fun ByteArray.hex(): String =
    joinToString("") { (it.toInt() and 0xFF).toString(16).padStart(2, '0') }
