"""Where an artifact comes from: an in-toto statement v1 with the SLSA provenance v1 predicate.

Unsigned it is a statement of whoever holds it; that is SLSA's build level 1, and no more is claimed.
"""

from typing import Any

import msgspec

from edgekit.artifact import Artifact
from edgekit.bundle.bom import purl
from edgekit.manifest import file_record


def provenance(made: Artifact) -> str:
    manifest = made.manifest
    manifest_file = file_record(made.folder / "manifest.json")
    records = {"manifest.json": manifest_file, **manifest.files}
    weights = manifest.weights
    inputs: list[dict[str, Any]] = [
        {"name": "weights", "digest": {"sha256": weights.sha256}, "annotations": {"source": weights.source}}
    ]
    if manifest.calibration:
        pictures = manifest.calibration
        note = {"source": pictures.source, "pictures": pictures.pictures}
        inputs.append({"name": "calibration", "digest": {"sha256": pictures.sha256}, "annotations": note})
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": f"{made.name}/{name}", "digest": {"sha256": record.sha256}}
            for name, record in sorted(records.items())
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:edgekit:export:v1",
                "externalParameters": {"recipe": manifest.recipe, "recipe_digest": manifest.recipe_digest},
                "internalParameters": {"made_on": manifest.made_on},
                "resolvedDependencies": [
                    *inputs,
                    *({"uri": purl(name, version)} for name, version in sorted(manifest.made_with.items())),
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:edgekit:export", "version": {"edgekit": manifest.made_with.get("edgekit", "")}}
            },
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
