package dev.edgekit.core

/**
 * What a manifest says of a model for people, beside what runs it. Empty or null where it, or an older schema, does not say.
 *
 * source   where the weights come from: "bundled", "package", "trained", "file", "code", ...
 * why      why these weights, in words
 * reason   why this scheme, in words
 * notes    what whoever exported it was told
 * madeWith versions, by package
 * learned  how many pictures the weights learned from, where edgekit trained them
 */
public class ModelCard internal constructor(
    public val source: String, public val why: String, public val reason: String, public val notes: List<String>,
    public val madeWith: Map<String, String>, public val learned: Int?, public val proof: ModelProof?,
)

/**
 * How alike the file answered to the PyTorch model, when it was made.
 *
 * sqnrDb    signal to noise of the noisiest output, in decibels; null where all answers were equal to the last bit
 * measures  what the task asks for besides
 */
public class ModelProof internal constructor(
    public val passed: Boolean, public val pictures: Int, public val source: String, public val runtime: String,
    public val sqnrDb: Double?, public val leastDb: Double, public val measures: List<ProofMeasure>,
)

/** "top-1 agreement", "F1", ... of 1, and what it had to reach. */
public class ProofMeasure internal constructor(public val name: String, public val value: Double, public val least: Double)

/** Of the newest schema. Throws BadManifest. */
internal class CardReader(private val root: Fields) {
    fun card(): ModelCard {
        val weights = root.fields("weights")
        return ModelCard(
            weights.string("source", ""), weights.string("why", ""), root.string("scheme_reason", ""), root.strings("notes"),
            root.fields("made_with", emptyMap<String, Any>()).strings(), root.optional("trained_on")?.let { root.fields("trained_on").int("pictures") },
            root.optional("proof")?.let { proof(root.fields("proof")) },
        )
    }

    private fun proof(f: Fields) = ModelProof(
        f.boolean("passed"), f.int("pictures"), f.string("source"), f.string("runtime"),
        f.objects("outputs").mapNotNull { output -> output.optional("sqnr_db")?.let { output.double("sqnr_db") } }.minOrNull(), f.double("min_sqnr_db"),
        f.objects("measures").map { ProofMeasure(it.string("name"), it.double("value"), it.double("minimum")) },
    )
}
