package dev.edgekit.demo.engine

import java.io.File

/** Android's TFLite library, for glibc; see verify/bionic. */
object Native {
    init {
        System.load(File(System.getProperty("java.library.path"), "liblog.so").path)
    }
}
