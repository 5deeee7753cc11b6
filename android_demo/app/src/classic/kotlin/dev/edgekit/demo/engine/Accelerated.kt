package dev.edgekit.demo.engine

/** TensorFlow Lite 2.16.1 has no CompiledModel. */
val ACCELERATED: List<EngineKind> = emptyList()
