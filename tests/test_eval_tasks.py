"""Segmentation and embedding in `eval`, `gate` and `report`, with files of one operator in the real runtime."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import GOLDEN_FILES, ask_edgekit, run_edgekit
from PIL import Image

from edgekit import artifact, registry, runs
from edgekit.cli import main
from edgekit.cli.evaluate import text
from edgekit.errors import DataError, OutputError, RequestError, UnsupportedError
from edgekit.evaluation import evaluate, evaluated, open_for
from edgekit.evaluation.results import Change, what_decides
from edgekit.evaluation.run import at_once
from edgekit.gating import Limits, checks
from edgekit.gating.baseline import opened as baseline
from edgekit.gating.judging import Judge
from edgekit.manifest import file_record, save_manifest
from edgekit.preprocess import Preprocess
from edgekit.reporting import report
from edgekit.reporting.markdown import markdown
from edgekit.runtimes import Options
from edgekit.statistics import bootstrap
from edgekit.statistics.proportions import Drop
from edgekit.tasks import Embedding, Raw, Segmentation, iou, knn
from edgekit.tensors import Tensor

helper = pytest.importorskip("onnx.helper")
LABELS = ("red", "green", "blue")
HEIGHT, WIDTH = 16, 24
EMBEDDING = Embedding()


def made(folder, task, nodes, weights, outputs, labels=()):
    """An artifact around an ONNX graph from `image` [1, 3, 16, 24], pixels / 255, to its outputs, one tensor or several."""
    import onnx

    folder.mkdir(parents=True)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    base = GOLDEN_FILES / "tiny-onnx-int8"
    constants = [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 3, HEIGHT, WIDTH]), *((o.name, list(o.shape)) for o in outputs))
    ]
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    answers = tuple(np.zeros((1, *o.shape[1:]), np.float32) for o in outputs)
    artifact.Golden([image], np.zeros((1, 3, HEIGHT, WIDTH), np.float32), answers).save(folder / "golden.npz")
    names = ["model.onnx", "golden.npz"]
    if labels:
        (folder / "labels.txt").write_text("\n".join(labels) + "\n")
        names.append("labels.txt")
    old = artifact.load(base).manifest
    manifest = msgspec.structs.replace(
        old,
        task=task,
        inputs=(Tensor("image", (1, 3, HEIGHT, WIDTH), "float32", "NCHW"),),
        outputs=outputs,
        proof=msgspec.structs.replace(old.proof, outputs=old.proof.outputs * len(outputs)),
        labels=len(labels),
        preprocess=Preprocess((HEIGHT, WIDTH), 1.0, "squash", "nearest", (0.0,) * 3, (1.0,) * 3),
        recipe=old.recipe | {"task": "auto"},
        files={name: file_record(folder / name) for name in names},
    )
    save_manifest(folder, manifest)
    return artifact.load(folder)


def segmenter(folder, bias=(0.0, 0.0, 0.0)):
    """Each pixel is of the label of its strongest colour."""
    node = helper.make_node("Conv", ["image", "w", "b"], ["answer"])
    output = Tensor("answer", (1, 3, HEIGHT, WIDTH), "float32", "NCHW", role="scores")
    return made(folder, Segmentation(), [node], {"w": np.eye(3)[:, :, None, None], "b": bias}, output, LABELS)


def embedder(folder, mix=((1, 0, 0), (0, 1, 0), (0, 0, 1)), task=EMBEDDING):
    """The mean colour."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mix"], ["answer"]),
    ]
    output = Tensor("answer", (1, 3), "float32", "NC", role="embedding" if isinstance(task, Embedding) else "")
    return made(folder, task, nodes, {"mix": mix}, output)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A segmenter that is right, and one that takes dark blue for red."""
    folder = tmp_path_factory.mktemp("files")
    return [segmenter(folder / "worse", (0.35, 0, 0)), segmenter(folder / "whole")]


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """12 images of 48 x 32 in three stripes, the last one dark in every third; a strip of each mask is not labelled."""
    folder = tmp_path_factory.mktemp("masked")
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for i in range(12):
        picture = np.full((32, 48, 3), 30, np.uint8)
        mask = np.repeat(np.arange(3, dtype=np.uint8), 16)[None].repeat(32, 0)
        for label in range(3):
            picture[:, label * 16 : (label + 1) * 16, label] = 90 if label == 2 and i % 3 == 0 else 210
        mask = mask.copy()
        mask[:4] = 255
        Image.fromarray(picture).save(folder / f"images/{i:02}.png")
        Image.fromarray(mask).save(folder / f"masks/{i:02}.png")
    return folder


def figures(of):
    return {figure.name: figure for figure in of.figures}


def test_iou_is_that_of_a_confusion_matrix():
    rng = np.random.default_rng(3)
    truth, called = rng.integers(0, 4, (2, 20, 30), np.uint8)
    truth[truth == 3] = 2  # a label that the truth does not have
    truth[:5] = iou.UNLABELLED
    known = truth != iou.UNLABELLED
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (truth[known], called[known]), 1)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    counted = iou.counts(truth, called, 4)
    np.testing.assert_allclose(iou.iou(counted)[:3], (np.diag(confusion) / union)[:3])
    assert np.isnan(iou.iou(counted)[3])
    assert float(iou.mean_iou(counted)) == pytest.approx((np.diag(confusion) / union)[:3].mean())
    assert float(iou.pixels_right(counted)) == pytest.approx(np.diag(confusion).sum() / known.sum())
    assert np.isnan(iou.mean_iou(iou.counts(np.full((2, 2), 255, np.uint8), called[:2, :2], 4)))


def test_the_bootstrap_draws_images_in_pairs():
    rng = np.random.default_rng(0)
    share = rng.normal(0.7, 0.1, 200)
    value, low, high = bootstrap.interval(share[:, None], lambda sums: sums[:, 0] / 200)
    assert value == pytest.approx(share.mean())
    error = share.std() / 200**0.5
    assert (high - low) / error == pytest.approx(2 * 1.96, rel=0.1)
    assert bootstrap.interval(share[:, None], lambda sums: sums[:, 0] / 200) == (value, low, high)
    both = np.stack([share, share - 0.01], 1)
    lost = bootstrap.interval(both, lambda sums: (sums[:, 0] - sums[:, 1]) / 200)
    assert lost == pytest.approx((0.01,) * 3)  # what both have in common is no noise


def test_neighbours_leave_the_image_itself_out():
    vectors = np.array([[1, 0], [0.9, 0.1], [0.8, 0.3], [0, 1], [0.1, 1]], np.float32)
    near = knn.nearest(vectors, vectors, 3)
    assert near[:, 0].tolist() == [1, 0, 1, 4, 3]
    classes = np.array([0, 1, 1, 2, 2])
    assert knn.named(near[:, :1], classes).tolist() == [1, 0, 1, 2, 2]
    assert knn.named(near, classes).tolist()[:2] == [1, 0]  # two of three; each once: the nearest


@pytest.mark.parametrize(
    ("drop", "verdict"),
    [((0.001, -0.002, 0.004), "pass"), ((0.02, 0.01, 0.03), "fail"), ((0.004, -0.01, 0.02), "inconclusive"), (None, "inconclusive")],
)  # fmt: skip
def test_the_verdict_of_any_figure(drop, verdict):
    change = Change("new", "old", 20, "mIoU", Drop(*drop) if drop else None)
    assert change.verdict(0.005) == verdict
    if drop == (0.004, -0.01, 0.02):
        assert what_decides(change, 0.014) == "about 45 would"
        assert "too near" in what_decides(change, 0.03)


def test_a_segmenter_is_judged_at_the_size_of_the_masks(files, masked, tmp_path):
    said = []
    data = open_for(files[0], masked)
    found = evaluate(files, data, state=tmp_path, say=said.append)
    worse, whole = found.results
    assert [figures(whole)[name].value for name in ("mIoU", "pixel accuracy")] == [1.0, 1.0]
    blue, red = 2 / 3, 3 / 4  # 4 of 12 images lose their blue, which red gains
    assert figures(worse)["mIoU"].value == pytest.approx((1 + blue + red) / 3)
    assert figures(worse)["pixel accuracy"].value == pytest.approx(8 / 9)
    assert [(part.label, part.of) for part in worse.parts] == [(label, 12 * 28 * 16) for label in LABELS]
    change = found.change
    assert change.figure == "mIoU"
    assert change.drop.estimate == pytest.approx(1 - (1 + blue + red) / 3)
    assert 0 < change.drop.low < change.drop.estimate < change.drop.high
    assert {a.name: round(a.value, 4) for a in change.alike} == {
        "pixels": round(8 / 9, 4), "pixels of the worst image": round(2 / 3, 4),
    }  # fmt: skip
    shown = text(found, 0.01)
    assert "worse loses" in shown
    assert "points of mIoU against whole, more than 1.00" in shown
    assert shown.index("  blue") < shown.index("  red"), "the worst label first"
    again = evaluate(files, data, state=tmp_path, say=said.append)
    assert again == found
    assert any(line.startswith("resumed: 12 answers") for line in said)
    assert figures(evaluate(files[:1], data, state=tmp_path).results[0])["mIoU"] == figures(worse)["mIoU"]


def test_large_maps_are_asked_for_one_by_one(files):
    phone = registry.device("local")
    phone.at_once = 128
    assert at_once(files, phone) == 128
    wide = msgspec.structs.replace(files[0].manifest.outputs[0], shape=(1, 21, 512, 512))
    large = artifact.Artifact(files[0].folder, msgspec.structs.replace(files[0].manifest, outputs=(wide,)))
    assert at_once([large], phone) == 6
    wide = msgspec.structs.replace(wide, shape=(1, 150, 2048, 2048))
    large = artifact.Artifact(files[0].folder, msgspec.structs.replace(files[0].manifest, outputs=(wide,)))
    assert at_once([large, large], phone) == 1


def test_without_masks_two_segmenters_are_compared_by_their_answers(files, masked, tmp_path):
    data = open_for(files[0], masked / "images", unlabelled=True)
    found = evaluate(files, data, state=tmp_path)
    assert (found.results, found.change.drop) == ((), None)
    assert "What is lost, only masks tell." in text(found)
    with pytest.raises(DataError, match="nothing says what is on") as error:
        evaluate(files[:1], data, state=tmp_path)
    assert error.value.hint.startswith("masks")


def test_labels_that_no_mask_has_are_told(files, masked, tmp_path):
    folder = tmp_path / "two"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(folder / "images/a.png")
    Image.new("L", (8, 8), 0).save(folder / "masks/a.png")
    found = evaluate(files[1:], open_for(files[1], folder), state=tmp_path / "state")
    assert "2 of 3 labels are in no mask and do not count: green, blue" in found.notes
    assert found.results[0].headline.value == 1
    Image.new("L", (8, 8), 255).save(folder / "masks/a.png")
    with pytest.raises(DataError, match="no pixel of the masks is labelled"):
        evaluate(files[1:], open_for(files[1], folder), state=tmp_path / "state")


def test_a_damaged_file_of_answers_is_refused(files, masked, tmp_path):
    data = open_for(files[0], masked)
    path = Path(evaluate(files[:1], data, state=tmp_path).answers)
    lines = path.read_text().splitlines()
    for field, value in (("counts", []), ("same", 0.5), ("counts", [[[1], [1], [1]]]), ("counts", [[[-1] * 3] * 3])):
        record = json.loads(lines[1]) | {field: value}
        path.write_text("\n".join([lines[0], json.dumps(record), *lines[2:]]) + "\n")
        with pytest.raises(OutputError, match=r"line 2: .* has "):
            evaluate(files[:1], data, state=tmp_path)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coloured")
    rng = np.random.default_rng(1)
    for i, label in enumerate(LABELS):
        for n in range(8):
            picture = rng.integers(20, 60, (10, 12, 3), np.uint8)
            picture[..., i] += np.uint8(120)
            path = folder / label / f"{n}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(path)
    Image.new("RGB", (4, 4)).save(folder / "red" / "black.png")
    (folder / "lonely").mkdir()
    Image.new("RGB", (4, 4), "white").save(folder / "lonely" / "1.png")
    return folder


def test_an_embedding_is_judged_by_its_neighbours(coloured, tmp_path):
    whole = embedder(tmp_path / "whole")
    blind = embedder(tmp_path / "blind", ((1, 0, 0), (0, 1, 0.99), (0, 1, 1)))  # green and blue look alike
    data = open_for(whole, coloured)
    assert data.classes == ("blue", "green", "lonely", "red")
    found = evaluate([blind, whole], data, state=tmp_path / "state")
    worse, better = found.results
    assert better.headline.name == "1-NN"
    assert (better.headline.of, "5-NN" in figures(better)) == (25, True)
    assert better.headline.value >= 24 / 25
    assert worse.headline.value < better.headline.value
    assert found.change.drop.estimate == pytest.approx(better.headline.value - worse.headline.value)
    assert [a.name for a in found.change.alike] == ["worst cosine", "worst centred cosine", "same neighbour"]
    assert "not asked about, as the only one of its class: 1 image" in found.notes
    alone = evaluate([whole], data, state=tmp_path / "state")
    assert figures(alone.results[0]) == figures(better)
    assert "with 95 % confidence" in text(alone)


@pytest.mark.parametrize("limit", [1, None])
def test_an_embedding_without_neighbours_of_a_class_is_refused_before_it_is_asked(tmp_path, limit):
    for label in ("red", "blue"):
        (tmp_path / "data" / label).mkdir(parents=True)
        Image.new("RGB", (4, 4), label).save(tmp_path / "data" / label / "1.png")
    asked = embedder(tmp_path / "embedder")
    with pytest.raises(DataError, match="no image has another of its class among the"):
        evaluate([asked], open_for(asked, tmp_path / "data"), limit=limit, state=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_what_cannot_be_judged_is_refused(files, masked, coloured, tmp_path):
    classifier = artifact.load(GOLDEN_FILES / "tiny-onnx-int8")
    raw = embedder(tmp_path / "raw", task=Raw())
    with pytest.raises(UnsupportedError, match="nothing says what is right"):
        evaluate([raw], open_for(raw, coloured), state=tmp_path)
    with pytest.raises(RequestError, match="--masks is about masks, and this is a classification"):
        open_for(classifier, masked, masks="masks")
    with pytest.raises(RequestError, match="wants masks"):
        open_for(files[0], masked, labels_file=tmp_path / "labels.csv")
    with pytest.raises(RequestError, match="is a classification, worse a segmentation"):
        evaluate([files[0], classifier], open_for(files[0], masked), state=tmp_path)


def test_the_command_the_runs_and_the_report(files, masked, tmp_path):
    arguments = ["eval", files[0].folder, "--data", masked, "--reference", files[1].folder, "--max-drop", "1"]
    done = run_edgekit(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["verdict"], document["change"]["figure"]) == ("fail", "mIoU")
    records, _ = runs.read([tmp_path / "build/runs.jsonl"])
    assert [record.headline.name for record in records] == ["mIoU", "mIoU"]
    assert (records[0].top1, records[0].against) == (None, "whole")
    page = markdown(report(records, [], "Segmenters"))
    assert "mIoU" in page
    assert "top-1" not in page
    for flags, says in (
        (["--ignore", "seven"], "is not a number of a label"),
        (["--images", "images"], "--images and --masks go together"),
        (["--images", "images", "--masks", "nowhere"], "there is no folder"),
    ):
        refused = ask_edgekit(*arguments, *flags, cwd=tmp_path)
        assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--masks", "masks"], "--masks says what is on the images of --data"),
        (["--ignore", "none"], "--ignore says what is on the images of --data"),
        (["--data", "{masked}", "--images", "images", "--masks", "nowhere"], "there is no folder {masked}/nowhere"),
        (["--data", "{masked}", "--ignore", "none"], "holds the label 255"),
    ],
)
def test_the_gate_reads_masks_as_eval_does(files, masked, flags, says):
    asked = ["gate", str(files[0].folder), "--baseline", str(files[1].folder)]
    refused = CliRunner().invoke(main, [*asked, *(flag.replace("{masked}", str(masked)) for flag in flags)])
    assert refused.exit_code == 2, refused.output
    assert says.replace("{masked}", str(masked)) in refused.output


def test_the_gate_checks_any_figure(files, masked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worse, whole = files
    judge = Judge(worse.folder, worse, "onnxruntime", registry.device("local"), Limits(max_drop=1), Options())
    judge.data = open_for(worse, masked)
    with baseline(str(whole.folder)) as base:
        (check,) = judge._of_the_answers(base)
    assert (check.metric, check.outcome) == ("mIoU", "fail")
    assert check.why.startswith("pixels 88.89%, pixels of the worst image 66.67%")
    found = evaluate(files, open_for(worse, masked), state=tmp_path)
    assert checks.figure(msgspec.structs.replace(found.change, drop=None), Limits()).outcome == "inconclusive"
    assert evaluated(files, found, "local")[0].drop == found.change.drop
