"""A CycloneDX 1.7 bill of materials with a model card (https://cyclonedx.org/docs/1.7/json/)."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from edgekit import __version__
from edgekit.artifact import Artifact
from edgekit.bundle.figures import Figure
from edgekit.bundle.licences import spdx
from edgekit.manifest import FileRecord, file_record
from edgekit.tasks import Classification, Detection, Embedding, Raw, Segmentation, Task

SCHEMA = "http://cyclonedx.org/schema/bom-1.7.schema.json"
PIPELINES: dict[type[Task], str] = {  # the hub's words, https://huggingface.co/tasks
    Classification: "image-classification",
    Detection: "object-detection",
    Embedding: "image-feature-extraction",
    Segmentation: "image-segmentation",
}


def bom(made: Artifact, figures: Sequence[Figure]) -> str:
    """The document. Its serial number follows from the manifest, so that the same artifact gives the same bytes."""
    manifest = made.manifest
    packages = [_package(name, version) for name, version in sorted(manifest.made_with.items())]
    data = _data(made)
    document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, _identity(made))}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "edgekit", "version": __version__}]},
            "component": _model(made, figures),
        },
        "components": [*data, *packages],
        "dependencies": [
            {"ref": "model", "dependsOn": [part["bom-ref"] for part in (*data, *packages)]},
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _model(made: Artifact, figures: Sequence[Figure]) -> dict[str, Any]:
    manifest = made.manifest
    said = manifest.weights.licence
    licence = {"id": spdx(said)} if spdx(said) else {"name": said}
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": made.name,
        "version": _identity(made)[:12],
        "description": f"{manifest.model} for {manifest.target}, {manifest.scheme}; knows {manifest.weights.knows}",
        "hashes": [_sha256(manifest.files[made.model_file.name])],
        **({"licenses": [{"license": licence}]} if said else {}),
        "components": [
            {"type": "file", "bom-ref": f"file:{name}", "name": f"{made.name}/{name}", "hashes": [_sha256(record)]}
            for name, record in sorted(manifest.files.items())
        ],
        "modelCard": _card(made, figures),
        "properties": [
            {"name": f"edgekit:{name}", "value": value}
            for name, value in (
                ("recipe_digest", manifest.recipe_digest),
                ("scheme", manifest.scheme),
                ("weights:licence", said),
                *((f"made_on:{fact}", value) for fact, value in sorted(manifest.made_on.items())),
            )
            if value
        ],
    }


def _card(made: Artifact, figures: Sequence[Figure]) -> dict[str, Any]:
    manifest = made.manifest
    takes = manifest.input
    return {
        "modelParameters": {
            "task": PIPELINES.get(type(manifest.task), "other"),
            "architectureFamily": manifest.family,
            "modelArchitecture": manifest.architecture,
            "datasets": [{"ref": part["bom-ref"]} for part in _data(made) if part["type"] == "data"],
            "inputs": [{"format": f"image, {takes.dtype} {_shape(takes.shape)} {takes.layout}"}],
            "outputs": [
                {"format": f"{manifest.task}, {gives.dtype} {_shape(gives.shape)}"} for gives in manifest.file_outputs
            ],
        },
        "quantitativeAnalysis": {"performanceMetrics": [_metric(figure) for figure in figures]},
        "considerations": {"technicalLimitations": limits(made)},
    }


def limits(made: Artifact) -> list[str]:
    """What a user must not expect, in sentences."""
    manifest = made.manifest
    said = _of_the_task(manifest.task, manifest.weights.knows)
    said += [
        f"Oldest interpreter it is right on, {where}: {what}." for where, what in manifest.oldest_interpreter.items()
    ]
    return [*said, *manifest.notes]


def _of_the_task(task: Task, knows: str) -> list[str]:
    match task:
        case Classification(independent=True):
            return [f"It knows {knows}; each class is judged by itself."]
        case Classification():
            return [f"It knows {knows} and names one of them, whatever an image shows."]
        case Segmentation():
            return [f"It knows {knows} and gives one of them to each pixel, whatever is there."]
        case Detection():
            return [f"It knows {knows}; anything else it overlooks, or takes for one of them."]
        case Embedding():
            return ["Its vectors compare with those of the same network alone."]
        case Raw():
            return []


def _metric(figure: Figure) -> dict[str, Any]:
    metric: dict[str, Any] = {"type": figure.name, "value": f"{figure.value:.6g}", "slice": figure.where}
    if figure.low is not None and figure.high is not None:
        metric["confidenceInterval"] = {"lowerBound": f"{figure.low:.6g}", "upperBound": f"{figure.high:.6g}"}
    return metric


def _data(made: Artifact) -> list[dict[str, Any]]:
    """The weights, and the images that calibrated and that travel along."""
    manifest = made.manifest
    weights = manifest.weights
    parts: list[dict[str, Any]] = [
        {
            "type": "machine-learning-model",
            "bom-ref": "weights",
            "name": f"weights of {manifest.model} ({weights.source})",
            "hashes": [{"alg": "SHA-256", "content": weights.sha256}],
            **({"licenses": [{"license": {"name": weights.licence}}]} if weights.licence else {}),
        }
    ]
    if manifest.calibration:
        parts.append(
            {
                "type": "data",
                "bom-ref": "calibration",
                "name": f"calibration images: {manifest.calibration.source}",
                "hashes": [{"alg": "SHA-256", "content": manifest.calibration.sha256}],
            }
        )
    return [*parts, {"type": "data", "bom-ref": "golden", "name": f"golden images: {manifest.golden.source}"}]


def _package(name: str, version: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": purl(name, version),
        "name": name,
        "version": version,
        "purl": purl(name, version),
    }


def purl(name: str, version: str) -> str:
    """A package URL of PyPI, where edgekit itself is `edgekit-vision`."""
    name = "edgekit-vision" if name == "edgekit" else name.lower().replace("_", "-")
    return f"pkg:pypi/{name}@{version.replace('+', '%2B')}"


def _identity(made: Artifact) -> str:
    """The digest of the manifest, which holds those of all other files."""
    return file_record(made.folder / "manifest.json").sha256


def _sha256(record: FileRecord) -> dict[str, str]:
    return {"alg": "SHA-256", "content": record.sha256}


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
