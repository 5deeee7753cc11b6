package dev.edgekit.demo.engine

import dev.edgekit.core.DeviceFacts
import dev.edgekit.core.Json
import java.io.File

/** This machine as the app's device. */
internal object Desktop {
    init {
        // before TFLite, which needs it by this name
        System.load(File(System.getProperty("java.library.path"), "liblog.so").path)
    }

    val device = DeviceFacts(
        "none", "a JVM on ${System.getProperty("os.name")}", null, ABI, 0, Runtime.getRuntime().availableProcessors(), null, null, null,
    )

    const val ABI = "x86_64"
}

/**
 * The app's part of `--on adb`, for tests/fake_adb.py: the extras as JSON, and the app's own folder. `-Dedgekit.litert` brings
 * the engine "litert".
 */
@Suppress("UNCHECKED_CAST")
fun main(arguments: Array<String>) {
    val extras = Json.parse(File(arguments[0]).readText()) as Map<String, Any?>
    val engines = listOfNotNull(System.getProperty("edgekit.litert")).map { LitertEngine.Kind(File(it)) } + ENGINES
    Headless(File(arguments[1], "files/bench"), Desktop.device, "0.1.0", engines).run(extras)
}
