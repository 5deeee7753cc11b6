package dev.edgekit.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.Matrix
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.util.Size
import android.view.Surface
import dev.edgekit.core.Showing
import dev.edgekit.core.YuvFrame
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.math.abs

/** The camera that looks away from the person; where there is none, another. */
class CameraChoice(val id: String, val size: Size, val orientation: Int, val facesPerson: Boolean) {
    /** Clockwise degrees after which a frame stands upright on a screen that is turned by `screen` degrees. */
    fun rotation(screen: Int) = if (facesPerson) (orientation + screen) % 360 else (orientation - screen + 360) % 360

    companion object {
        /** Pixels of a frame: enough for any input here, and cheap. */
        private const val WANTED = 1280 * 720

        fun of(manager: CameraManager): CameraChoice? {
            val cameras = manager.cameraIdList.mapNotNull { id ->
                val facts = manager.getCameraCharacteristics(id)
                val sizes = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)?.getOutputSizes(ImageFormat.YUV_420_888)
                val size = sizes?.minByOrNull { abs(it.width * it.height - WANTED) } ?: return@mapNotNull null
                val front = facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT
                CameraChoice(id, size, facts.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0, front)
            }
            return cameras.minByOrNull { it.facesPerson }
        }
    }
}

/**
 * Frames of a camera: to a TextureView's surface, and as YUV_420_888 to `frame`, which runs on `worker`, or, while `clips` says so, on the
 * camera's own thread: a clip needs every frame, also those that come while the worker answers. A frame that comes while another one is
 * looked at is dropped. All else runs on the main thread.
 *
 * failed  told once, in words
 */
class Camera(
    private val manager: CameraManager, private val choice: CameraChoice, private val main: Handler,
    private val worker: (act: () -> Unit) -> Unit, private val clips: () -> Boolean, private val frame: (YuvFrame) -> Unit,
    private val failed: (String) -> Unit,
) : AutoCloseable {
    private val thread = HandlerThread("camera").apply { start() }
    private val reader = ImageReader.newInstance(choice.size.width, choice.size.height, ImageFormat.YUV_420_888, 3)
    private val busy = AtomicBoolean(false)
    private var device: CameraDevice? = null
    private var preview: Surface? = null
    @Volatile private var closed = false

    /** Frames are turned by this before they are looked at; see `CameraChoice.rotation`. */
    @Volatile var rotation = 0

    private val yuv by lazy { java.nio.ByteBuffer.allocate(0).let { YuvFrame(0, 0, 0, it, 0, it, it, 0, 1) } }

    /** The permission is there. */
    @SuppressLint("MissingPermission")
    fun start(texture: SurfaceTexture) {
        texture.setDefaultBufferSize(choice.size.width, choice.size.height)
        preview = Surface(texture)
        reader.setOnImageAvailableListener({ arrived() }, Handler(thread.looper))
        trying {
            manager.openCamera(choice.id, object : CameraDevice.StateCallback() {
                override fun onOpened(camera: CameraDevice) = if (closed) camera.close() else configure(camera)
                override fun onDisconnected(camera: CameraDevice) = lost(camera, "another app took it")
                override fun onError(camera: CameraDevice, error: Int) = lost(camera, "error $error")
            }, main)
        }
    }

    private fun configure(camera: CameraDevice) = trying {
        device = camera
        val outputs = listOf(preview!!, reader.surface)
        @Suppress("DEPRECATION")  // since API 30, for one that takes an executor
        camera.createCaptureSession(outputs, object : CameraCaptureSession.StateCallback() {
            override fun onConfigured(session: CameraCaptureSession) = trying {
                if (closed) return@trying
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                outputs.forEach { request.addTarget(it) }
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                session.setRepeatingRequest(request.build(), null, main)
            }

            override fun onConfigureFailed(session: CameraCaptureSession) = fail("its streams of ${choice.size} were refused")
        }, main)
    }

    /** On the camera's thread. */
    private fun arrived() {
        if (!busy.compareAndSet(false, true)) {
            newest()?.close()
            return
        }
        if (clips()) look() else worker { look() }
    }

    private fun look() = try {
        newest()?.use { frame(of(it)) }
    } finally {
        busy.set(false)
    }

    private fun newest(): Image? = try {
        if (closed) null else reader.acquireLatestImage()
    } catch (_: IllegalStateException) {  // closed meanwhile
        null
    }

    private fun of(image: Image): YuvFrame = yuv.also {
        val (y, u, v) = image.planes
        it.width = image.width
        it.height = image.height
        it.rotation = rotation
        it.y = y.buffer
        it.rowStride = y.rowStride
        it.u = u.buffer
        it.v = v.buffer
        it.chromaRowStride = u.rowStride
        it.pixelStride = u.pixelStride
        it.nanos = image.timestamp
    }

    private fun trying(act: () -> Unit) {
        try {
            act()
        } catch (error: Exception) {  // CameraAccessException, SecurityException, IllegalStateException: a phone's moods
            fail(error.message ?: error.javaClass.simpleName)
        }
    }

    /** Also in place of onOpened, when `device` is not known yet. */
    private fun lost(camera: CameraDevice, why: String) {
        camera.close()
        fail(why)
    }

    private fun fail(why: String) {
        if (closed) return
        close()
        failed(why)
    }

    /** The reader is closed after the frame that is looked at. */
    override fun close() {
        if (closed) return
        closed = true
        device?.close()
        Handler(thread.looper).post { worker { reader.close() } }
        thread.quitSafely()
        preview?.release()
    }

    companion object {
        /** A frame of `size`, as the sensor lies, upright in the middle of a view that it covers wholly. */
        fun cover(viewWidth: Int, viewHeight: Int, size: Size, rotation: Int, screen: Int): Matrix {
            val upright = if (rotation % 180 == 0) size else Size(size.height, size.width)
            // the view has stretched the frame, which it shows upright on a screen that is not turned
            val shown = if (screen % 180 == 0) upright else Size(upright.height, upright.width)
            val showing = Showing(shown.width, shown.height, viewWidth, viewHeight, covers = true, turned = -screen)
            return Matrix().apply {
                setScale(shown.width.toFloat() / viewWidth, shown.height.toFloat() / viewHeight)
                postConcat(showing.matrix())
            }
        }
    }
}
