package dev.edgekit.core

/** The device as Android describes it; null where it does not say. */
public class DeviceFacts(
    public val manufacturer: String,
    public val model: String,
    public val soc: String?,
    public val abi: String,
    public val sdk: Int,
    public val cores: Int,
    public val batteryPct: Int?,
    public val thermalStatus: Int?,
    public val powerSave: Boolean?,
)

/** The app that measured, and the runtime in it, as it says itself. */
public class AppFacts(public val version: String, public val engine: String, public val engineVersion: String)

/** Of the process, while the model was open: its share of all memory, and what native code had taken, in KiB. */
public class MemoryFacts(public val pssKb: Long, public val nativeHeapKb: Long)

/** Of the last answer: the sha256 of an output's bytes. */
public class OutputFacts(public val name: String, public val sha256: String)

/**
 * A benchmark, as the file that `edgekit bench --on adb` fetches. Raw nanoseconds: statistics are made where it is read.
 * What was not reached is null.
 *
 * config   what was asked for
 * applied  what really ran: `Engine.facts`
 */
public class BenchReport(
    public val runId: String,
    public val device: DeviceFacts,
    public val app: AppFacts,
    public val spec: ModelSpec?,
    public val config: Map<String, Any?>,
    public val applied: Map<String, String>,
    public val result: BenchResult,
    public val memory: MemoryFacts? = null,
    public val outputs: List<OutputFacts>? = null,
    public val golden: GoldenReport? = null,
) {
    public val status: String = if (result.failure != null) "error" else if (result.cancelled) "cancelled" else "ok"

    /** One line of JSON. */
    public fun toJson(): String = Json.write(
        linkedMapOf(
            "schema" to SCHEMA, "run_id" to runId, "status" to status, "error" to error(),
            "device" to device(), "app" to app(), "model" to model(),
            "config" to config, "applied" to applied,
            "timing_ns" to timing(), "memory" to memory?.let { linkedMapOf("pss_kb" to it.pssKb, "native_heap_kb" to it.nativeHeapKb) },
            "outputs" to outputs?.map { linkedMapOf("name" to it.name, "sha256" to it.sha256) }, "golden" to golden?.toMap(),
        ),
    )

    private fun error() = result.failure?.let {
        linkedMapOf(
            "stage" to it.stage, "type" to it.error.javaClass.simpleName, "message" to (it.error.message ?: ""),
            "hint" to (it.error as? EdgekitException)?.hint,
        )
    }

    private fun device() = linkedMapOf(
        "manufacturer" to device.manufacturer, "model" to device.model, "soc" to device.soc, "abi" to device.abi,
        "sdk" to device.sdk, "cores" to device.cores, "battery_pct" to device.batteryPct,
        "thermal_status" to device.thermalStatus, "power_save" to device.powerSave,
    )

    private fun app() = linkedMapOf("version" to app.version, "engine" to app.engine, "engine_version" to app.engineVersion)

    private fun model() = spec?.let {
        val record = it.files.getValue(it.file)
        linkedMapOf(
            "file" to it.file, "bytes" to record.bytes, "sha256" to record.sha256,
            "input" to tensor(it.input), "outputs" to it.outputs.map(::tensor),
        )
    }

    private fun tensor(t: Port) = linkedMapOf("name" to t.name, "shape" to t.shape, "dtype" to t.type.name.lowercase(), "layout" to t.layout.name)

    private fun timing() = result.timing.let {
        if (it.first == null) return@let null
        linkedMapOf("load" to it.load, "first" to it.first, "warmup" to it.warmup, "runs" to it.runs, "preprocess" to it.preprocess)
    }

    public companion object {
        public const val SCHEMA: Int = 1
    }
}
