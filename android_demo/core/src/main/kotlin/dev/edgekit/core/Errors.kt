package dev.edgekit.core

/** Everything that goes wrong on purpose: `message` says what happened, with the value in it, `hint` what to do next. */
sealed class EdgekitException(override val message: String, val hint: String, cause: Throwable? = null) :
    Exception(message, cause)

private const val COPY_AGAIN = "copy the whole artifact again"

class MissingFile(name: String) : EdgekitException("$name is missing", COPY_AGAIN)

/** Cut short, changed, or not what its name says. */
class DamagedFile(name: String, what: String, cause: Throwable? = null) :
    EdgekitException("$name is damaged: $what", COPY_AGAIN, cause)

class BadManifest(what: String) : EdgekitException("manifest.json: $what", COPY_AGAIN)

class NewerSchema(schema: Long) : EdgekitException(
    "this model was exported with schema $schema; this app reads up to schema ${ModelSpec.SCHEMA}",
    "build the app of the edgekit that exported it, or export with the one that this app came with",
)

class LabelsDoNotMatch(lines: Int, labels: Int) :
    EdgekitException("labels.txt has $lines lines for $labels labels", COPY_AGAIN)

class UnsupportedModel(what: String, hint: String = "edgekit export MODEL --target tflite makes one that this app runs") :
    EdgekitException(what, hint)

class RuntimeTooOld(has: String, wants: String, cpu: String) : EdgekitException(
    "this file needs $wants or later on $cpu, and this app has $has",
    "a newer runtime, or export it with another --scheme",
)

class PictureTooLarge(width: Int, height: Int) : EdgekitException(
    "a picture of $width x $height pixels is too large (more than ${Fit.MAX_PIXELS / 1_000_000} megapixels)",
    "a smaller picture",
)

class PictureTooNarrow(width: Int, height: Int, spec: PreprocessSpec) : EdgekitException(
    "$width x $height pixels is too long and narrow for an input of ${spec.height} x ${spec.width}",
    "a picture that is not so long",
)

/** No pixels at all, or fewer than its size says. */
class BadPicture(what: String) : EdgekitException(what, "another picture")

/** The runtime refused the file, or failed on it. */
class EngineFailed(what: String, cause: Throwable? = null) :
    EdgekitException(what, "edgekit verify, where the file was made, says whether the file is right", cause)

/** Asked for what this app, or its runtime, cannot do. */
class BadRequest(what: String, hint: String) : EdgekitException(what, hint)
