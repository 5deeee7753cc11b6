"""A model card as the Hugging Face hub reads it: front matter for machines, then what a person asks first."""

import json
from collections.abc import Sequence
from typing import Any

from edgekit.artifact import Artifact
from edgekit.bundle.bom import PIPELINES, limits
from edgekit.bundle.figures import Figure
from edgekit.bundle.licences import spdx
from edgekit.parity import describe
from edgekit.readme import answers
from edgekit.reporting.table import markdown_table, markdown_text


def card(made: Artifact, figures: Sequence[Figure]) -> str:
    manifest = made.manifest
    rows = [(figure.name, _value(figure), figure.where) for figure in figures]
    size = "x".join(map(str, manifest.preprocess.input_size))
    lines = [
        *_front_matter(made, figures),
        "",
        f"# {markdown_text(made.name)}",
        "",
        f"{markdown_text(manifest.model)} for {manifest.target}, {manifest.scheme}. It knows {markdown_text(manifest.weights.knows)}.",
        "",
        f"`{made.name}/{made.model_file.name}` takes one image of {size} pixels ({manifest.input.dtype}, {manifest.input.layout}) and "
        f"gives {answers(manifest)}; `{made.name}/README.md` shows how to load it.",
        "",
        "## Figures",
        "",
        f"Proof at export: {describe(manifest.proof, manifest.preprocess.units)}.",
        "",
        markdown_table(("figure", "value, with its 95 % interval", "measured on"), rows),
        "",
        "## Limits",
        "",
        *(f"- {markdown_text(said)}" for said in limits(made)),
        "",
        "## Where it comes from",
        "",
        f"- Weights: {markdown_text(manifest.weights.source)}, licence {markdown_text(manifest.weights.licence or 'not stated')}.",
        *([f"- Calibrated with {markdown_text(manifest.calibration.source)}."] if manifest.calibration else []),
        f"- Golden images: {markdown_text(manifest.golden.source)}.",
        "- `bom.cdx.json` lists every part, `provenance.json` says how it was made.",
        f"- `edgekit verify {made.name}` proves this copy; `edgekit reproduce {made.name}` makes it again.",
        "",
    ]
    return "\n".join(lines)


def _front_matter(made: Artifact, figures: Sequence[Figure]) -> list[str]:
    """YAML, whose strings are JSON's: names come from files."""
    manifest = made.manifest
    said, known = manifest.weights.licence, spdx(manifest.weights.licence)
    head: dict[str, Any] = {"license": known.lower() if known else "other" if said else "unknown"}
    if said and not known:
        head["license_name"] = said
    pipeline = PIPELINES.get(type(manifest.task))
    head |= {"pipeline_tag": pipeline} if pipeline else {}
    head["tags"] = ["edgekit", manifest.target, manifest.scheme]
    results = [
        {
            "task": {"type": pipeline},
            "dataset": {"type": "custom", "name": figure.data},
            "metrics": [
                {"type": _metric(figure), "name": f"{figure.name} ({figure.where})", "value": round(figure.value, 6)}
            ],
        }
        for figure in figures
        if figure.data and pipeline
    ]
    if results:
        head["model-index"] = [{"name": made.name, "results": results}]
    return ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---"]


def _metric(figure: Figure) -> str:
    """As the hub's metrics are called, where they have a name for it."""
    return "accuracy" if figure.name.endswith("accuracy") else figure.name.lower().replace(" ", "_")


def _value(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.1f}" if figure.name.endswith("dB") else f"{figure.value:.4f}"
    return f"{figure.value:.2%} [{figure.low:.2%}, {figure.high:.2%}]"
