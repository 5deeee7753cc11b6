package dev.edgekit.demo

import android.content.Context
import android.graphics.Bitmap
import android.media.MediaMetadataRetriever
import android.net.Uri
import dev.edgekit.core.BadPicture
import dev.edgekit.core.Clip
import dev.edgekit.core.Clock
import dev.edgekit.core.Preprocessor
import dev.edgekit.core.Values
import dev.edgekit.core.Windows

/** A video file, opened. Frames come from Android's own decoder, upright and in RGB. */
class Video private constructor(private val file: MediaMetadataRetriever) : AutoCloseable {
    private val milliseconds = number(MediaMetadataRetriever.METADATA_KEY_DURATION)
    val seconds = milliseconds / 1e3

    /** Half of what lies between two frames, in microseconds. */
    private val half = (500 * milliseconds / maxOf(number(MediaMetadataRetriever.METADATA_KEY_VIDEO_FRAME_COUNT), 1)).takeIf { milliseconds > 0 } ?: 0

    private fun number(key: Int) = file.extractMetadata(key)?.toLongOrNull() ?: 0

    /**
     * The frame that is shown so many seconds after the beginning: the one that is closest to half a frame before it is the last whose
     * time has come. Null where it cannot be decoded.
     */
    fun at(seconds: Double): Bitmap? = file.getFrameAtTime(maxOf((seconds * 1e6).toLong() - half + 1, 0), MediaMetadataRetriever.OPTION_CLOSEST)

    override fun close() = file.release()

    companion object {
        /** Throws BadPicture, PictureTooLarge. */
        fun open(context: Context, uri: Uri): Video {
            val file = MediaMetadataRetriever()
            try {
                file.setDataSource(context, uri)
                val video = Video(file)
                if (file.extractMetadata(MediaMetadataRetriever.METADATA_KEY_HAS_VIDEO) != "yes") throw BadPicture(context.getString(R.string.video_none))
                val (width, height) = listOf(MediaMetadataRetriever.METADATA_KEY_VIDEO_WIDTH, MediaMetadataRetriever.METADATA_KEY_VIDEO_HEIGHT).map { video.number(it).toInt() }
                Preprocessor.check(width, height)
                return video
            } catch (error: Throwable) {
                file.release()
                throw when (error) {
                    is SecurityException -> BadPicture(context.getString(R.string.photo_gone))
                    is RuntimeException -> BadPicture(context.getString(R.string.video_damaged))  // what Android says is a number
                    else -> error
                }
            }
        }
    }
}

/**
 * What a model of clips says of a video: the mean of its windows, as `edgekit predict` answers. preprocessing and inference: of one
 * window.
 *
 * picture  what is shown in the middle
 * broken   frames that could not be decoded; the one before counts again
 */
class Watched(val picture: Bitmap, val timed: Timed, val windows: Int, val broken: Int)

/** told  how many frames of how many are read; it may throw, to end it. Throws as Windows and Video do. */
fun Opened.watch(video: Video, clock: Clock, told: (Int, Int) -> Unit): Watched {
    val windows = Windows(spec, video.seconds)
    val clip = Clip(spec)
    val answers = ArrayList<Values>()
    var (preprocessing, inference) = Pair(0L, 0L)
    var shown: Photo? = null
    var middle: Photo? = null
    var broken = 0
    for ((i, moment) in windows.moments.withIndex()) {
        told(i + 1, windows.moments.size)
        val frame = video.at(moment / spec.preprocess.rate)
        if (frame == null) broken++
        val photo = frame?.let { Photo(it) } ?: shown ?: throw BadPicture("none of the video's frames can be read")
        shown = photo
        val start = clock.nanos()
        clip.put(photo.argb().let { model.preprocessor.argb(it, photo.bitmap.width, photo.bitmap.height) })
        val tensor = if (windows.end(moment)) clip.tensor() else null
        val ready = clock.nanos()
        preprocessing += ready - start
        if (tensor != null) {
            answers += model.values(tensor).map { it.copyOf() }
            inference += clock.nanos() - ready
        }
        if (i == windows.moments.size / 2) middle = photo
    }
    val said = say(spec.task.mean(answers))
    return Watched(checkNotNull(middle).bitmap, Timed(said, preprocessing / answers.size, inference / answers.size), answers.size, broken)
}
