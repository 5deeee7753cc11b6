package dev.edgekit.demo

import org.junit.runners.model.FrameworkMethod
import org.robolectric.RobolectricTestRunner
import org.robolectric.internal.bytecode.InstrumentationConfiguration

/** A native library belongs to one class loader: what calls one stays outside of Robolectric's, which there is one of per Android. */
class AppRunner(test: Class<*>) : RobolectricTestRunner(test) {
    override fun createClassLoaderConfig(method: FrameworkMethod): InstrumentationConfiguration =
        OUTSIDE.fold(InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method))) { builder, name ->
            builder.doNotAcquirePackage(name)
        }.build()

    private companion object {
        val OUTSIDE = listOf("dev.edgekit.core.", "dev.edgekit.demo.engine.", "org.tensorflow.lite.", "ai.onnxruntime.")
    }
}
