"""An artifact for others, in one file: itself, and what the field's own tools read about where it comes from.

    README.md         a model card, as the Hugging Face hub shows it
    bom.cdx.json      a CycloneDX 1.7 bill of materials with the model card and its figures
    provenance.json   an in-toto statement with an SLSA v1 predicate: what was asked, of what, with what it was made
    NAME/...          the artifact as it is, with its signature where it has one

The same artifact and figures give the same bytes.
"""

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit import artifact, parity, places
from edgekit.artifact import Artifact
from edgekit.bundle import bom, card, provenance
from edgekit.bundle.figures import Figure
from edgekit.errors import RequestError, many
from edgekit.runs import Evaluated, Record
from edgekit.signing import SIGNATURE
from edgekit.statistics.proportions import wilson
from edgekit.tasks import Classification

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say


def files(made: Artifact, records: Sequence[Record] = ()) -> dict[str, bytes]:
    """Every file of the bundle by its path in it. `records`: runs; accuracy of the same bytes becomes a figure.

    Raises as `parity.check_claims` does: what its proof refused is given to nobody.
    """
    parity.check_claims(made)
    told = figures(made, records)
    described = {
        "README.md": card.card(made, told),
        "bom.cdx.json": bom.bom(made, told),
        "provenance.json": provenance.provenance(made),
    }
    signed = [SIGNATURE] if (made.folder / SIGNATURE).is_file() else []
    own = {f"{made.name}/{name}": made.folder / name for name in ("manifest.json", *made.manifest.files, *signed)}
    return {name: text.encode() for name, text in described.items()} | {
        name: path.read_bytes() for name, path in own.items()
    }


def write(
    folder: str | os.PathLike[str],
    out: Path,
    records: Sequence[Record] = (),
    *,
    warn: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Write the zip in one step; the names in it. Raises ArtifactError, ParityError, RequestError, OutputError."""
    hint = "-o another.zip"
    if out.suffix != ".zip":
        raise RequestError(f"{out} is no .zip", hint=f"-o {out.name or 'bundle'}.zip")
    if out.is_dir():
        raise RequestError(f"{out} is a folder", hint=hint)
    places.check_file(out, hint)
    made = artifact.load(folder)
    packed = files(made, records)
    if made.manifest.golden.own:
        warn(f"golden.npz holds images of yours ({made.manifest.golden.source}), and the bundle publishes them")
    with places.output_errors(hint):
        out.parent.mkdir(parents=True, exist_ok=True)
    with places.replacing(out, hint) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, blob in sorted(packed.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, blob)
    return sorted(packed)


def figures(made: Artifact, records: Sequence[Record] = ()) -> list[Figure]:
    """The proof's, and the newest accuracy of the same bytes on each data set and CPU class."""
    proof = made.manifest.proof
    of = f"{many(proof.pictures, 'images')} of {proof.source}, {proof.runtime}, CPU class {made.manifest.made_on['cpu_class']}"
    told = []
    for measure in proof.measures:
        counted = isinstance(made.manifest.task, Classification)
        share = wilson(round(measure.value * proof.pictures), proof.pictures) if counted else None
        low, high = (share.low, share.high) if share else (None, None)
        told.append(Figure(f"{measure.name} with PyTorch", measure.value, low, high, of))
    if proof.sqnr_db is not None:
        told.append(Figure("SQNR against PyTorch in dB", proof.sqnr_db, None, None, of))
    digest = made.digest()
    newest = {
        (run.data, run.pictures, run.runtime, run.cpu_class): run
        for run in sorted((r for r in records if isinstance(r, Evaluated)), key=lambda run: run.made)
        if run.subject.digest == digest
    }
    for run in newest.values():
        where = f"{run.pictures:,} {run.data}, {run.runtime}, CPU class {run.cpu_class}"
        for found in run.every_figure:
            name = f"{found.name} accuracy" if found.name.startswith("top-") else found.name
            told.append(Figure(name, found.value, found.low, found.high, where, run.data))
    return told


def unpacked(folder: Path) -> Path:
    """The artifact in the folder that a bundle was unpacked to; any other folder itself."""
    inside = [path.parent for path in folder.glob("*/manifest.json")]
    return inside[0] if len(inside) == 1 and not (folder / "manifest.json").exists() else folder
