"""Every task from end to end: exported, proven, predicted, verified and compared, in the real runtimes."""

import json

import nets
import numpy as np
import pytest
from conftest import ask_edgekit
from PIL import Image

from edgekit import artifact, parity, registry
from edgekit.errors import EdgekitError, RequestError
from edgekit.pipeline import export
from edgekit.prediction import nearest, predict
from edgekit.recipe import Quantize, Recipe
from edgekit.runtimes import Options
from edgekit.tasks import Classes, Embedding, Mask, Raw, Segmentation, Tensors, Vector

pytestmark = pytest.mark.full
LABELS = "red\ngreen\nblue\n"


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    file = tmp_path_factory.mktemp("labels") / "roads.txt"
    file.write_text(LABELS)
    return str(file)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Red above, blue below; twice as wide as it is high."""
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:30], pixels[30:] = (220, 30, 30), (30, 30, 220)
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(pixels).save(file)
    return file


@pytest.mark.parametrize(
    ("target", "scheme"), [("tflite", "int8-static"), ("onnx", "fp32"), ("openvino", "int8-static")]
)
def test_a_segmenter_answers_with_the_mask_of_the_image(exported, labels, photo, tmp_path, target, scheme):
    made = exported(scheme, model="py:nets:roads", target=target, labels=labels)
    m = made.manifest
    assert isinstance(m.task, Segmentation)
    assert (m.labels, m.preprocess.crop_mode, len(m.outputs)) == (3, "squash", 1)
    assert m.outputs[0].shape[1:] == ((16, 16, 3) if target == "tflite" else (3, 16, 16))
    assert [measure.name for measure in m.proof.measures] == ["pixels", "pixels of the worst image"]
    ((_, found),) = predict(made, Options(), [photo])
    assert isinstance(found, Mask)
    assert found.labels.shape == (60, 120)
    assert (found.labels[:26] == 0).mean() > 0.95
    assert (found.labels[34:] == 2).mean() > 0.95
    assert parity.verify(made).passed


def test_a_segmenter_tells_mediapipe_what_its_scores_are(exported, labels):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tflite

    from edgekit.exporters import _metadata_schema as metadata

    made = exported("int8-static", model="py:nets:roads", target="tflite", labels=labels)
    model = tflite.ModelT.InitFromPackedBuf(made.model_file.read_bytes(), 0)
    entry = next(e for e in model.metadata if e.name == b"TFLITE_METADATA")
    told = metadata.ModelMetadataT.InitFromPackedBuf(bytes(model.buffers[entry.buffer].data), 0)
    graph = told.subgraphMetadata[0]
    assert graph.outputTensorMetadata[0].associatedFiles[0].name == b"labels.txt"
    (options,) = graph.customMetadata
    blob = bytes(options.data)
    assert (options.name, blob[4:8]) == (b"SEGMENTER_METADATA", b"V001")
    table = flatbuffers.table.Table(blob, flatbuffers.encode.Get(flatbuffers.packer.uoffset, blob, 0))
    assert table.Get(flatbuffers.number_types.Int8Flags, table.Pos + table.Offset(4)) == 2  # softmax over logits


def test_predict_draws_a_mask(exported, labels, photo, tmp_path):
    made = exported("fp32", model="py:nets:roads", target="onnx", labels=labels)
    drawn, mask = tmp_path / "drawn.png", tmp_path / "mask.png"
    done = ask_edgekit("predict", made.folder, photo, "--draw", drawn, "--mask", mask, "--json")
    (told,) = json.loads(done.stdout)["predictions"]
    assert {entry["label"] for entry in told["labels"]} >= {"red", "blue"}
    assert sum(entry["share"] for entry in told["labels"]) == pytest.approx(1)
    with Image.open(mask) as kept, Image.open(drawn) as seen:
        assert (kept.mode, kept.size, seen.size) == ("P", (120, 60), (120, 60))
        assert set(np.unique(np.asarray(kept))) <= {0, 1, 2}
    done = ask_edgekit("predict", made.folder, photo)
    assert "red" in done.stdout
    for arguments, says in (
        (["--draw", tmp_path / "drawn.bmp"], "does not end in .png"),
        (["--output", tmp_path / "x.npz"], "is for embeddings and raw answers"),
        (["--gallery", photo.parent], "is for embeddings"),
        ([drawn, "--draw", drawn], "is one file for 2 images"),
    ):
        done = ask_edgekit("predict", made.folder, photo, *arguments)
        assert (done.returncode, says in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(("target", "scheme"), [("tflite", "int8-static"), ("onnx", "fp32")])
def test_an_embedding_finds_the_most_similar_image(exported, photo, tmp_path, target, scheme):
    made = exported(scheme, model="py:nets:embedder", target=target)
    m = made.manifest
    assert isinstance(m.task, Embedding)
    assert (m.labels, made.labels(), (made.folder / "labels.txt").exists()) == (0, [], False)
    for name, colour in (("red", (200, 40, 40)), ("green", (40, 200, 40)), ("blue", (40, 40, 200))):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{name}.png")
    asked = tmp_path / "asked.png"
    Image.new("RGB", (50, 50), (45, 190, 50)).save(asked)
    ((_, found),) = nearest(made, Options(), [asked], tmp_path, 2)
    assert found.found[0][0].name == "green.png"  # not itself, which lies there too
    assert found.found[0][1] > 0.99
    ((_, vector),) = predict(made, Options(), [asked])
    assert isinstance(vector, Vector)
    assert vector.values.shape == (16,)
    assert parity.verify(made).passed


def test_what_fits_no_task_is_raw(exported, photo, tmp_path):
    made = exported("fp32", model="py:nets:depth", target="onnx", task="raw")
    assert isinstance(made.manifest.task, Raw)
    assert [output.role for output in made.manifest.outputs] == ["depth", "sure"]
    assert len(made.manifest.proof.outputs) == 2
    ((_, found),) = predict(made, Options(), [photo])
    assert isinstance(found, Tensors)
    assert [values.shape for values in found.values] == [(16, 16), (6,)]
    done = ask_edgekit("predict", made.folder, photo, "-o", tmp_path / "answers.npz")
    assert "depth" in done.stdout
    with np.load(tmp_path / "answers.npz") as kept:
        np.testing.assert_allclose(kept["depth"], found.values[0], atol=1e-6)
    assert parity.verify(made).passed


@pytest.mark.parametrize(("target", "scheme"), [("tflite", "int8-static"), ("onnx", "fp32"), ("openvino", "fp32")])
def test_a_grey_network_takes_one_channel(pictures, photo, tmp_path, target, scheme):
    import torch

    made = export(
        Recipe(
            "py:nets:grey", target, quantize=Quantize(scheme), calibration=str(pictures), samples=8, input_size=(32, 32),
            channels=1, mean=(0.5,), std=(0.25,),
        ),
        tmp_path / "grey",
    )  # fmt: skip
    assert made.manifest.preprocess.channels == 1
    assert 1 in made.manifest.input.shape[1:]
    pixels = np.asarray(Image.open(photo).convert("L").resize((32, 32), Image.Resampling.BICUBIC))
    own = nets.grey().eval()(torch.from_numpy((pixels[None, None] / 255 - 0.5).astype(np.float32) / 0.25))
    ((_, found),) = predict(made, Options(), [photo])
    assert isinstance(found, Classes)
    np.testing.assert_allclose(found.probabilities, own.softmax(-1).detach().numpy()[0], atol=0.05)
    assert parity.verify(made).passed


def test_a_network_of_another_number_of_channels_names_the_option(tmp_path):
    with pytest.raises(EdgekitError, match="the model takes 1") as refused:
        export(Recipe("py:nets:grey", "onnx", input_size=(32, 32)), tmp_path / "no")
    assert refused.value.hint == "--channels 1"


def test_two_files_of_a_segmenter_are_compared(exported, labels):
    files = [exported("fp32", model="py:nets:roads", target="onnx", labels=labels)]
    files.append(exported("int8-static", model="py:nets:roads", target="tflite", labels=labels))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    (match,) = parity.compare([(f, registry.runtime_for(f.target).name) for f in files], pixels, Options())
    assert match.measures[0].name == "pixels"
    assert 0.9 < match.measures[0].value <= 1
    done = ask_edgekit("inspect", "--compare", *(f.folder for f in files))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "py:nets:roads", "task": "embedding"}, "embedding"),
        ({"model": "py:nets:embedder", "task": "segmentation"}, "segmentation"),
        ({"model": "py:nets:embedder", "task": "embedding", "labels": "FILE"}, "labels"),
        ({"model": "py:nets:segmenter"}, "--task segmentation"),
        ({"model": "py:nets:tiny", "tokens": True}, "--tokens, but the model answers"),
    ],
)
def test_a_task_that_the_answers_contradict_is_refused_in_a_line(exported, labels, options, says):
    asked = options | ({"labels": labels} if "labels" in options else {})
    with pytest.raises(EdgekitError) as refused:
        exported("fp32", target="onnx", **asked)
    assert says in f"{refused.value.message} {refused.value.hint}"
    assert "\n" not in refused.value.message


def test_artifacts_of_two_tasks_are_not_compared(exported, labels):
    files = [exported("fp32", model=f"py:nets:{net}", target="onnx", **options) for net, options in (
        ("embedder", {}), ("depth", {"task": "raw"}),
    )]  # fmt: skip
    with pytest.raises(RequestError, match="answers other tensors"):
        parity.check_comparable(*(artifact.load(f.folder) for f in files))
