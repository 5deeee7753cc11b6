package dev.edgekit.core

import kotlin.math.sqrt

/** A picture's place among others; edgekit/tasks/embedding.py. `output`: which one is the embedding; `normalized`: of length 1 already. */
public class Embedding(private val output: Int, public val normalized: Boolean) : Task {
    override fun read(values: Values, at: Placement): Answer.Vector = Answer.Vector(unit(values[output]))

    override fun alike(golden: Values, values: Values): Double = cosine(unit(golden[output]), unit(values[output])).toDouble()

    override fun mean(windows: List<Values>): Values =
        meanOf(windows).mapIndexed { i, numbers -> if (i == output && normalized) unit(numbers) else numbers }

    public companion object {
        /** Of length 1, summed in Double; zeros stay zeros. A new array. */
        public fun unit(numbers: FloatArray): FloatArray {
            val length = sqrt(numbers.sumOf { it.toDouble() * it })
            return if (length == 0.0) numbers.copyOf() else FloatArray(numbers.size) { (numbers[it] / length).toFloat() }
        }

        /** Of two of length 1. */
        public fun cosine(a: FloatArray, b: FloatArray): Float = a.indices.sumOf { a[it].toDouble() * b[it] }.toFloat()
    }
}

/** Pictures by their embeddings. */
public class Gallery(private val embeddings: Map<String, FloatArray>) {
    /** similarity: the cosine, -1 to 1. */
    public class Neighbour(public val name: String, public val similarity: Float)

    /** The k nearest, the most alike first; ties in the gallery's order. */
    public fun nearest(to: Answer.Vector, k: Int): List<Neighbour> =
        embeddings.map { (name, numbers) -> Neighbour(name, Embedding.cosine(numbers, to.numbers)) }
            .sortedByDescending { it.similarity }.take(k)
}
