package dev.edgekit.demo

import dev.edgekit.core.Answer
import dev.edgekit.core.Clock
import dev.edgekit.core.Detection
import dev.edgekit.core.Gallery
import dev.edgekit.core.Golden
import dev.edgekit.core.GoldenReport
import dev.edgekit.core.Model
import dev.edgekit.core.ModelSpec
import dev.edgekit.core.Picture
import dev.edgekit.core.UnsupportedModel
import dev.edgekit.core.Values
import dev.edgekit.core.check
import dev.edgekit.demo.engine.EngineKind
import dev.edgekit.demo.engine.EngineOptions
import dev.edgekit.demo.engine.having
import java.nio.ByteBuffer

/** What the open model says of a picture; of an embedding, which kept photos are most like it. */
class Said(val answer: Answer, val nearest: List<Gallery.Neighbour>, val opened: Opened)

/** An answer, and how long it took, in nanoseconds. */
class Timed(val said: Said, val preprocessing: Long, val inference: Long)

/**
 * A model that is open, and what its golden examples say of this phone. Of the worker.
 *
 * examples  the golden ones, the surest first, each one picture or the frames of a clip
 */
class Opened(val choice: Choice, val model: Model, val golden: GoldenReport, val examples: List<List<Picture>>, private val album: Album) {
    val spec get() = model.spec

    /** The score from which on a person wants boxes shown; null: the manifest's. Of the main thread. */
    var from: Float? = null
    private val embedded = LinkedHashMap<String, FloatArray>()  // of the kept photos, by their names

    /** Prepares what is looked at, and answers it. */
    fun look(clock: Clock, prepare: (Model) -> ByteBuffer): Timed {
        val start = clock.nanos()
        val tensor = prepare(model)
        val ready = clock.nanos()
        val values = model.values(tensor)
        val done = clock.nanos()
        return Timed(say(values), ready - start, done - ready)
    }

    /** Of the last picture, whose tensor was answered by `values`. */
    fun say(values: Values): Said {
        val task = spec.task
        val answer = if (task is Detection) task.read(values, model.preprocessor.placement, least(task.threshold)) else model.read(values)
        return Said(answer, if (answer is Answer.Vector && !spec.preprocess.isClip) gallery().nearest(answer, NEAREST) else emptyList(), this)
    }

    private fun gallery(): Gallery {
        val names = album.names()
        embedded.keys.retainAll(names.toSet())
        for (name in names) embedded.getOrPut(name) { embed(Photo(album.picture(name))) }
        return Gallery(embedded)
    }

    private fun embed(photo: Photo): FloatArray {
        val values = model.values(model.preprocessor.argb(photo.argb(), photo.bitmap.width, photo.bitmap.height))
        return (model.read(values) as Answer.Vector).numbers
    }

    companion object {
        private const val NEAREST = 5

        /** The lowest score that can be asked for, of a model that has boxes shown from `threshold` on. */
        fun least(threshold: Float) = minOf(threshold, 0.05f)
    }
}

/** A model's artifact, checked against its manifest's checksums, and the runtimes for it, the usual one first. */
class Artifact(val spec: ModelSpec, val golden: Golden, val bytes: ByteBuffer, private val kinds: List<EngineKind>) {
    fun kind(accelerator: String) = kinds.having(accelerator)
}

/** One open model at a time, on the app's worker. It outlives activities: a rotation opens nothing anew. */
class Session(private val app: DemoApp, private val abi: String) {
    private var opened: Opened? = null  // of the worker only

    /** `use` with the chosen model on the worker, which opens it where another one is open; what came of it, on the main thread. */
    fun <T> use(choice: Choice, use: (Opened) -> T, told: (Result<T>) -> Unit) = work(told) {
        use(ready(choice))
    }

    /** The same for who is on the worker already: a camera's frame. */
    fun <T> now(choice: Choice, use: (Opened) -> T): Result<T> = runCatching { use(ready(choice)) }

    /** Something else on the worker, while no model is open. */
    fun <T> alone(act: () -> T, told: (Result<T>) -> Unit) = work(told) {
        close()
        act()
    }

    /** Throws EdgekitException. */
    fun artifact(model: String): Artifact {
        val files = app.models.files(model)
        val spec = app.models.spec(model).also { it.checkFiles(files) }
        val kinds = app.engines.filter { it.target == spec.target }
        if (kinds.isEmpty()) throw UnsupportedModel("this app has no runtime for ${spec.target} files", "the app's flavour with ONNX Runtime")
        return Artifact(spec, Golden.read(files, spec), app.models.bytes(model, spec), kinds)
    }

    fun options(choice: Choice) = EngineOptions(abi, choice.threads, choice.accelerator)

    private fun <T> work(told: (Result<T>) -> Unit, act: () -> T) = app.worker.execute {
        val result = runCatching(act)  // errors of libraries and of memory too: they are told, not thrown
        app.main.execute { told(result) }
    }

    private fun ready(choice: Choice) = opened?.takeIf { it.choice == choice } ?: open(choice)

    private fun open(choice: Choice): Opened {
        close()
        val artifact = artifact(choice.model)
        val model = Model(artifact.spec, artifact.kind(choice.accelerator).open(artifact.spec, artifact.bytes, options(choice)))
        return try {
            val report = artifact.golden.check(model)
            Opened(choice, model, report, report.surest.map { artifact.golden.frames[it] }, app.album).also { opened = it }
        } catch (error: Throwable) {
            model.close()
            throw error
        }
    }

    private fun close() {
        opened?.model?.close()
        opened = null
    }
}
