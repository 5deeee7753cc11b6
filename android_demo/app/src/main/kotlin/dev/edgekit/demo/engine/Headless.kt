package dev.edgekit.demo.engine

import dev.edgekit.core.AppFacts
import dev.edgekit.core.BadRequest
import dev.edgekit.core.BenchFailure
import dev.edgekit.core.BenchPlan
import dev.edgekit.core.BenchReport
import dev.edgekit.core.BenchResult
import dev.edgekit.core.BenchRunner
import dev.edgekit.core.BenchTiming
import dev.edgekit.core.Clock
import dev.edgekit.core.DeviceFacts
import dev.edgekit.core.Engine
import dev.edgekit.core.MemoryFacts
import dev.edgekit.core.Model
import dev.edgekit.core.ModelFiles
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.OutputFacts
import dev.edgekit.core.hex
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest

/**
 * The benchmark that adb starts, without anything of Android: an intent's extras in, RUN.json and RUN.out out. What the two
 * sides say to each other stands in edgekit/devices/adb.py.
 *
 * folder    files/bench of the app's own folder
 * engines   the runtimes of this build
 * memory    asked once, while the model is still open
 * progress  as in BenchRunner
 */
class Headless(
    private val folder: File,
    private val device: DeviceFacts,
    private val appVersion: String,
    private val engines: List<EngineKind>,
    private val memory: () -> MemoryFacts? = { null },
    private val clock: Clock = Clock { System.nanoTime() },
    private val progress: (Int) -> Boolean = { true },
) {
    /**
     * Blocks until the answer is written; whatever goes wrong is an answer, too. Throws BadRequest where `run_id` cannot
     * name one, IOException where none can be written.
     *
     * extras  as `am start` gave them: String, Int, Long and Boolean by name
     */
    fun run(extras: Map<String, Any?>): BenchReport {
        val asked = Extras(extras)
        val runId = asked.string("run_id")
        if (!RUN_ID.matches(runId)) throw BadRequest("run_id is $runId", "letters, digits and -")
        folder.mkdirs()
        val report = Course(runId, asked).report()
        val partial = File(folder, "$runId.json.partial")
        partial.writeText(report.toJson())
        if (!partial.renameTo(File(folder, "$runId.json"))) throw IOException("$partial cannot be renamed")
        return report
    }

    private inner class Course(private val runId: String, private val asked: Extras) {
        private var spec: ModelSpec? = null
        private var kind: EngineKind? = null
        private var applied = emptyMap<String, String>()
        private var outputs: List<OutputFacts>? = null
        private var held: MemoryFacts? = null

        fun report(): BenchReport {
            val result = try {
                measured()
            } catch (error: Throwable) {  // extras or an artifact that make no sense
                BenchResult(BenchTiming(null, null, LongArray(0), LongArray(0), LongArray(0)), BenchFailure("load", error), false)
            }
            val app = AppFacts(appVersion, kind?.name ?: "", kind?.versionOrNothing() ?: "")
            return BenchReport(runId, device, app, spec, asked.told, applied, result, held, outputs)
        }

        private fun measured(): BenchResult {
            val name = asked.string("engine")
            val named = engines.find { it.name == name }
                ?: throw BadRequest("this app has no engine $name", "one of ${engines.joinToString { it.name }}")
            val accelerator = asked.string("accelerator", "cpu")
            val chosen = (listOf(named) + engines.filter { it.target == named.target }).having(accelerator)
            kind = chosen
            val options = EngineOptions(device.abi, asked.int("threads", 1), accelerator)
            val plan = asked.plan()
            val file = File(asked.string("model"))
            val opened = ModelSpec.read(ModelFiles.folder(File(asked.string("spec")).absoluteFile.parentFile!!))
            opened.files.getValue(opened.file).check(file.name) { file.inputStream() }
            spec = opened
            val tensors = Tensors(opened, asked.optional("input")?.let { File(it) })
            val result = BenchRunner(clock, progress).run(
                plan, opened, { chosen.open(opened, mapped(file), options).also { applied = it.facts } },
                { model -> answer(model, tensors) },
            ) { tensors.at(0) }
            return BenchResult(result.timing.withoutPreparing(), result.failure, result.cancelled)
        }

        /** Raw outputs in the manifest's order, tensor after tensor. */
        private fun answer(model: Model, tensors: Tensors) {
            val keep = if (asked.boolean("outputs")) FileOutputStream(File(folder, "$runId.out")).channel else null
            keep.use {
                for (i in 0 until tensors.count) {
                    model.engine.run(tensors.at(i), model.outputs())
                    if (keep != null) for (raw in model.outputs()) while (raw.hasRemaining()) keep.write(raw)
                }
            }
            outputs = model.outputs().zip(model.spec.outputs) { raw, port -> OutputFacts(port.name, sha256(raw)) }
            held = memory()
        }

        private fun sha256(raw: ByteBuffer) = MessageDigest.getInstance("SHA-256").apply { update(raw) }.digest().hex()
    }

    private companion object {
        val RUN_ID = Regex("[A-Za-z0-9-]{1,100}")
    }
}

/** The tensors of a file, one after the other in the same direct buffer; without a file, one of zeros. */
private class Tensors(spec: ModelSpec, private val file: File?) {
    private val buffer = ByteBuffer.allocateDirect(spec.input.bytes).order(ByteOrder.nativeOrder())
    val count = if (file == null) 1 else (file.length() / buffer.capacity()).toInt()
    private var held = if (file == null) 0 else -1

    init {
        if (file != null && (count == 0 || file.length() % buffer.capacity() != 0L)) {
            throw BadRequest("$file holds ${file.length()} bytes", "tensors of ${buffer.capacity()} bytes")
        }
    }

    fun at(i: Int): ByteBuffer {
        if (held != i) {
            buffer.clear()
            file!!.inputStream().channel.use { channel ->
                channel.position(i.toLong() * buffer.capacity())
                while (buffer.hasRemaining()) check(channel.read(buffer) >= 0) { "$file ended" }
            }
            held = i
        }
        buffer.rewind()
        return buffer
    }
}

/** An intent's extras, read with their types. Each throws BadRequest. */
private class Extras(private val all: Map<String, Any?>) {
    /** For the report: whatever else a person may have typed is told in words. */
    val told = all.mapValues { (_, value) -> if (value is String || value is Number || value is Boolean) value else "$value" }

    fun optional(name: String): String? = typed(name)
    fun string(name: String, default: String? = null) = optional(name) ?: default ?: throw BadRequest("no $name was given", "--es $name")
    fun boolean(name: String): Boolean = typed<Boolean>(name) ?: false
    fun int(name: String, default: Int): Int = typed<Number>(name)?.toInt() ?: default
    fun long(name: String, default: Long): Long = typed<Number>(name)?.toLong() ?: default

    fun plan(): BenchPlan = try {
        BenchPlan(int("warmup", 10), int("runs", 50), long("min_ms", 1000))
    } catch (error: IllegalArgumentException) {
        throw BadRequest(error.message ?: "this plan", "numbers from 0 on")
    }

    private inline fun <reified T> typed(name: String): T? {
        val value = all[name] ?: return null
        return value as? T ?: throw BadRequest("$name is $value", "another type of extra")
    }
}

/** Nothing was prepared: the tensors came ready made. */
private fun BenchTiming.withoutPreparing() = BenchTiming(load, first, warmup, runs, LongArray(0))

/** "" where its library does not load: that is the error already. */
private fun EngineKind.versionOrNothing() = try {
    version.version
} catch (_: Throwable) {
    ""
}
