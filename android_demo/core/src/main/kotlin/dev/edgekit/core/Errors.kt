package dev.edgekit.core

/** Everything that goes wrong on purpose: `message` says what happened, with the value in it, `hint` what to do next. */
public sealed class EdgekitException(override val message: String, public val hint: String, cause: Throwable? = null) :
    Exception(message, cause)

private const val COPY_AGAIN = "copy the whole artifact again"

/** A file that the manifest names is not there. */
public class MissingFile(name: String) : EdgekitException("$name is missing", COPY_AGAIN)

/** Cut short, changed, or not what its name says. */
public class DamagedFile(name: String, what: String, cause: Throwable? = null) :
    EdgekitException("$name is damaged: $what", COPY_AGAIN, cause)

/** A field of the manifest is missing, or makes no sense. */
public class BadManifest(what: String) : EdgekitException("manifest.json: $what", COPY_AGAIN)

/** The artifact was made by a later edgekit than this library knows. */
public class NewerSchema(schema: Long) : EdgekitException(
    "this model was exported with schema $schema; this app reads up to schema ${ModelSpec.SCHEMA}",
    "build the app of the edgekit that exported it, or export with the one that this app came with",
)

/** labels.txt and the manifest speak of different numbers of labels. */
public class LabelsDoNotMatch(lines: Int, labels: Int) :
    EdgekitException("labels.txt has $lines lines for $labels labels", COPY_AGAIN)

/** An artifact that is whole, and of a kind that nothing here runs. */
public class UnsupportedModel(what: String, hint: String = "edgekit export MODEL --target tflite makes one that this app runs") :
    EdgekitException(what, hint)

/** The runtime would answer wrongly, or not at all: see `ModelSpec.oldest`. */
public class RuntimeTooOld(has: String, wants: String, cpu: String) : EdgekitException(
    "this file needs $wants or later on $cpu, and this app has $has",
    "a newer runtime, or export it with another --scheme",
)

/** Refused before a pixel is read. */
public class PictureTooLarge(width: Int, height: Int) : EdgekitException(
    "an image of $width x $height pixels is too large (more than ${Fit.MAX_PIXELS / 1_000_000} megapixels)",
    "a smaller image",
)

/** Resized so that it covers the input, it would have more pixels than may be. */
public class PictureTooNarrow(width: Int, height: Int, spec: PreprocessSpec) : EdgekitException(
    "$width x $height pixels is too long and narrow for an input of ${spec.height} x ${spec.width}",
    "an image that is not so long",
)

/** No pixels at all, or fewer than its size says. */
public class BadPicture(what: String) : EdgekitException(what, "another image")

/** The runtime refused the file, or failed on it. */
public class EngineFailed(what: String, cause: Throwable? = null) :
    EdgekitException(what, "edgekit verify, where the file was made, says whether the file is right", cause)

/** Asked for what this app, or its runtime, cannot do. */
public class BadRequest(what: String, hint: String) : EdgekitException(what, hint)
