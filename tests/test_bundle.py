"""A bundle is read by others: its bill of materials validates and is listed, its card is the hub's, its bytes repeat."""

import hashlib
import json
import zipfile
from importlib import resources

import msgspec
import pytest
from click.testing import CliRunner
from conftest import GOLDEN, GOLDEN_FILES

from edgekit import artifact
from edgekit.artifact import Artifact
from edgekit.bundle import figures, files, write
from edgekit.bundle.bom import purl
from edgekit.bundle.licences import spdx
from edgekit.cli.bundle import bundle as command
from edgekit.runs import Evaluated, append, subject
from edgekit.statistics.proportions import wilson


def evaluated(of, hits=912):
    return Evaluated(
        made="2026-11-01T10:00:00+00:00",
        edgekit="0.1.0",
        subject=subject(of, of.folder),
        runtime="ai-edge-litert 2.3.0",
        device="local",
        cpu_class="x86-vnni",
        data='shoes: "new"',
        pictures=1000,
        top1=wilson(hits, 1000),
        top5=None,
    )


@pytest.fixture(scope="module")
def made():
    return artifact.load(GOLDEN)


@pytest.fixture(scope="module")
def packed(made, tmp_path_factory):
    """The folder that a user unpacks."""
    out = tmp_path_factory.mktemp("bundle") / "x.zip"
    write(made.folder, out, [evaluated(made)])
    with zipfile.ZipFile(out) as archive:
        archive.extractall(out.parent / "x")
    return out.parent / "x"


@pytest.mark.full
def test_the_bill_of_materials_is_valid(packed):
    import jsonschema
    import referencing

    folder = resources.files("cyclonedx.schema") / "_res"
    schemas = [json.loads(f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".schema.json")]
    of = {schema["$id"]: schema for schema in schemas}
    known = referencing.Registry().with_contents((name, schema) for name, schema in of.items())
    schema = next(schema for name, schema in of.items() if "bom-1.7" in name)
    document = json.loads((packed / "bom.cdx.json").read_text("utf-8"))
    jsonschema.Draft7Validator(schema, registry=known).validate(document)
    document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] = 0.9
    with pytest.raises(jsonschema.ValidationError):  # it does look inside
        jsonschema.Draft7Validator(schema, registry=known).validate(document)


@pytest.mark.full
def test_a_foreign_reader_lists_it(packed, made):
    from cyclonedx.model.bom import Bom

    read = Bom.from_json(json.loads((packed / "bom.cdx.json").read_text("utf-8")))
    assert read.metadata.component.name == made.name
    assert read.metadata.component.type.value == "machine-learning-model"
    assert {c.name for c in read.components if c.purl} == set(made.manifest.made_with)
    assert [h.content for h in read.metadata.component.hashes] == [made.manifest.files["model.tflite"].sha256]


def test_figures_carry_their_intervals(packed):
    document = json.loads((packed / "bom.cdx.json").read_text("utf-8"))
    metrics = document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    accuracy = next(metric for metric in metrics if metric["type"] == "top-1 accuracy")
    share = wilson(912, 1000)
    assert float(accuracy["confidenceInterval"]["lowerBound"]) == pytest.approx(share.low, rel=1e-5)
    assert accuracy["slice"] == '1,000 shoes: "new", ai-edge-litert 2.3.0, CPU class x86-vnni'


def test_accuracy_of_other_bytes_is_no_figure(made):
    other = msgspec.structs.replace(evaluated(made), subject=msgspec.structs.replace(subject(made, GOLDEN), digest="0"))
    assert not any(figure.data for figure in figures(made, [other]))
    newer = msgspec.structs.replace(evaluated(made, 950), made="2026-11-02T10:00:00+00:00")
    assert [f.value for f in figures(made, [newer, evaluated(made)]) if f.data] == [0.95]


def test_provenance_names_every_file_with_its_digest(packed, made):
    statement = json.loads((packed / "provenance.json").read_text("utf-8"))
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    named = {of["name"]: of["digest"]["sha256"] for of in statement["subject"]}
    held = {f"{made.name}/{path.name}" for path in (packed / made.name).iterdir()}
    assert named.keys() == held
    for name, digest in named.items():
        assert hashlib.sha256((packed / name).read_bytes()).hexdigest() == digest
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["recipe"] == made.manifest.recipe
    assert {"name", "digest"} <= definition["resolvedDependencies"][0].keys()


@pytest.mark.full
def test_the_card_is_read_by_the_hub(packed, made):
    from huggingface_hub import ModelCard

    data = ModelCard((packed / "README.md").read_text("utf-8")).data
    assert (data.pipeline_tag, data.license) == ("image-classification", "unknown")
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_value) == ('shoes: "new"', 0.912)


@pytest.mark.parametrize(
    ("folder", "pipeline", "limit"),
    [
        ("tiny3-detection-tflite-fp32", "object-detection", "anything else it overlooks"),
        ("tiny3-segmentation-tflite-int8", "image-segmentation", "to each pixel"),
        ("tiny3-embedding-onnx", "image-feature-extraction", "of the same network alone"),
        ("depth-onnx-fp32", None, None),
    ],
)
def test_other_tasks_are_called_by_their_names(folder, pipeline, limit):
    packed = files(artifact.load(GOLDEN_FILES / folder))
    card, document = packed["README.md"].decode(), json.loads(packed["bom.cdx.json"])
    head = dict(line.split(": ", 1) for line in card.split("---")[1].strip().splitlines())
    assert json.loads(head.get("pipeline_tag", "null")) == pipeline
    model = document["metadata"]["component"]["modelCard"]
    assert model["modelParameters"]["task"] == (pipeline or "other")
    limits = " ".join(model["considerations"]["technicalLimitations"])
    assert limit is None or limit in limits
    assert "names one of them" not in limits


def test_the_artifact_inside_is_whole_and_the_bytes_repeat(packed, made, tmp_path):
    assert artifact.load(packed / made.name).manifest == made.manifest
    for name in ("a.zip", "b.zip"):
        write(made.folder, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_command(made, tmp_path):
    runs, out = tmp_path / "runs.jsonl", tmp_path / "deep" / "x.zip"
    append(runs, [evaluated(made)])
    done = CliRunner().invoke(command, [str(made.folder), "-o", str(out), "--runs", str(runs)])
    assert done.exit_code == 0, done.output
    assert "README.md, bom.cdx.json, provenance.json" in done.output
    assert "images of yours" in done.output  # this artifact was calibrated with somebody's images
    other = msgspec.structs.replace(subject(made, GOLDEN), digest="0")
    append(tmp_path / "other.jsonl", [msgspec.structs.replace(evaluated(made), subject=other)])
    for arguments, code, words in (
        (["-o", str(tmp_path / "x.tar")], 2, "is no .zip"),
        (["-o", str(tmp_path)], 2, "is no .zip"),
        (["-o", str(runs / "x.zip")], 2, "is a file, not a folder"),
        (["--runs", str(tmp_path / "none.jsonl")], 2, "No such file"),
        (["--runs", str(tmp_path / "other.jsonl")], 2, "holds no accuracy of this very file"),
    ):
        done = CliRunner().invoke(command, [str(made.folder), *arguments])
        assert (done.exit_code, words in done.output) == (code, True), done.output
    assert CliRunner().invoke(command, [str(tmp_path), "-o", str(out)]).exit_code == 4


def test_what_its_proof_refused_is_not_published(refused, tmp_path):
    done = CliRunner().invoke(command, [str(refused), "-o", str(tmp_path / "x.zip")])
    assert (done.exit_code, "was refused at export" in done.output) == (4, True), done.output
    assert not (tmp_path / "x.zip").exists()
    done = CliRunner().invoke(command, [str(tmp_path)])
    assert "try: edgekit export" in done.output  # it is not offered in the place of the folder that it lies in


def test_licences_and_packages_in_the_words_of_others(made):
    assert spdx("MIT (trained from scratch; data MIT)") == "MIT"
    assert spdx("Apache-2.0") == "Apache-2.0"
    assert spdx("of the university") is None
    assert purl("edgekit", "0.1.0") == "pkg:pypi/edgekit-vision@0.1.0"
    assert purl("torch", "2.13.0+cpu") == "pkg:pypi/torch@2.13.0%2Bcpu"
    licensed = msgspec.structs.replace(made.manifest.weights, licence="of the university")
    foreign = Artifact(made.folder, msgspec.structs.replace(made.manifest, weights=licensed))
    assert b'license: "other"\nlicense_name: "of the university"' in files(foreign)["README.md"]
