package dev.edgekit.demo.engine

/** The runtimes of this flavour of the app. */
val ENGINES: List<EngineKind> = listOf(TfliteEngine) + ACCELERATED
