package dev.edgekit.demo.engine

/** What LiteRT 2 has beside the interpreter. */
val ACCELERATED: List<EngineKind> = listOf(AcceleratedEngine)
