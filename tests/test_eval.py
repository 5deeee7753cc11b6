"""The evaluation in the real runtimes, from committed artifacts. The tiny network calls every image "class 3"."""

import json
import shutil
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from conftest import GOLDEN_FILES, ask_edgekit, paint, run_edgekit
from PIL import Image

from edgekit import artifact
from edgekit.answering import Answering
from edgekit.cli.evaluate import text
from edgekit.data import open_data, stamps
from edgekit.devices.local import Local
from edgekit.errors import DataError, OutputError, RequestError, WorkerError
from edgekit.evaluation import part_of
from edgekit.evaluation.run import ask, counting, evaluate, evaluated
from edgekit.gating import Limits, checks
from edgekit.reporting.machines import pictures

TFLITE, ONNX = GOLDEN_FILES / "tiny-tflite-int8", GOLDEN_FILES / "tiny-onnx-int8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 images of class 3, 9 of class 0, one that is no image, one of a class that the model does not know."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(5)
    for name in [f"Class_3/{i:02}.png" for i in range(30)] + [f"Class_0/{i}.png" for i in range(9)] + ["moose/1.png"]:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((40, 30)).save(path)
    (folder / "Class_0/broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def opened():
    return [artifact.load(TFLITE), artifact.load(ONNX)]


def data_for(opened, folder, **options):
    return open_data(folder, opened[0].labels(), **options)


def test_accuracy_and_what_is_left_out(folder, opened, tmp_path):
    found = evaluate(opened[:1], data_for(opened, folder), state=tmp_path)
    (accuracy,) = found.accuracies
    assert (accuracy.top1.hits, accuracy.top1.of, accuracy.top5) == (30, 39, None)
    assert [(c.label, c.top1.hits, c.top1.of) for c in accuracy.classes] == [("class 0", 0, 9), ("class 3", 30, 30)]
    assert [(u.picture, u.why) for u in found.unreadable] == [
        ("Class_0/broken.png", "Class_0/broken.png: not an image")
    ]
    assert any("moose" in note for note in found.notes)
    assert accuracy.runtime.startswith("ai-edge-litert")
    assert found.paired is None


def trained_on(opened, folder, kept=stamps.KEPT):
    """The artifact, as if it had learned from class 0 and three images of class 3."""
    data = data_for([opened], folder)
    train = replace(data, positions=[p for p in data.positions if p < 12])
    stamp = stamps.stamp(train, train, 0.1, 0, kept)
    return artifact.Artifact(opened.folder, msgspec.structs.replace(opened.manifest, trained_on=stamp))


def test_images_that_were_trained_on_are_counted_apart(folder, opened, tmp_path):
    said = []
    model, data = trained_on(opened[0], folder), data_for(opened, folder)
    found = evaluate([model], data, state=tmp_path, say=said.append)
    assert (found.learned.pictures, found.learned.of) == (11, 39)  # one of the twelve is no image
    assert (found.learned.others.hits, found.learned.others.of) == (28, 28)
    assert any("were trained on" in line for line in said)
    first, careful, hint = text(found).splitlines()[-3:]
    assert "of images like these" not in first
    assert first.endswith("that says nothing of new ones.")
    assert "careful: 11 of 39 images were trained on. Of the 28 others it names 100.0%" in careful
    assert "--split val" in hint
    (record,) = evaluated([model], found, "local")
    assert pictures(record).endswith("(11 of 39 images were trained on)")
    part = evaluate([trained_on(opened[0], folder, kept=4)], data, state=tmp_path)
    sketch = part.learned
    assert f"careful: at least 4 of 39 images were trained on; of {39 - sketch.of} the weights do not say." in text(
        part
    )
    assert (sketch.pictures, sketch.others) == (4, None)
    assert 4 <= sketch.of < 39
    paired = evaluate([opened[1], model], data, state=tmp_path)
    assert checks.accuracy(paired.paired, "top-1", Limits(), paired.learned).why.endswith(
        "11 of 39 images were trained on"
    )
    assert "careful: 11 of 39" in text(paired)


def test_of_images_that_were_not_trained_on_nothing_is_said(folder, opened, tmp_path):
    other = paint(tmp_path / "others", 6, {"class 3": (60, 60, 200)})
    found = evaluate([trained_on(opened[0], folder)], data_for(opened, other), state=tmp_path / "state")
    assert (found.learned.pictures, found.learned.of) == (0, 6)
    assert "of images like these" in text(found)
    assert "trained on" not in text(found)


def test_against_a_reference_of_another_target(folder, opened, tmp_path):
    paired = evaluate(opened, data_for(opened, folder), state=tmp_path).paired
    assert (paired.lost, paired.won, paired.flips) == (0, 0, ())
    assert (paired.agreement.hits, paired.agreement.of) == (39, 39)
    assert paired.sqnr_db_p10 > 20
    assert 0 < paired.drop.high < 0.1
    same = evaluate([opened[0], opened[0]], data_for(opened, folder), state=tmp_path).paired
    assert same.sqnr_db_p10 is None  # equal to the last bit


def test_without_labels_only_answers_are_compared(folder, opened, tmp_path):
    data = data_for(opened, folder, unlabelled=True)
    found = evaluate(opened, data, state=tmp_path)
    assert found.accuracies == ()
    assert (found.paired.drop, found.paired.lost, found.paired.midp) == (None, None, None)
    assert found.paired.agreement.of == 40
    with pytest.raises(DataError, match="nothing says what is on") as error:
        evaluate(opened[:1], data, state=tmp_path)
    assert "--reference" in error.value.hint


def test_an_interrupted_run_goes_on(folder, opened, tmp_path):
    data, said = data_for(opened, folder), []

    @contextmanager
    def interrupted(total):
        ticks = iter(range(total))

        def tick():
            if next(ticks) == 2 * Local.at_once:
                raise KeyboardInterrupt

        yield tick

    with pytest.raises(KeyboardInterrupt):
        evaluate(opened[:1], data, state=tmp_path, progress=interrupted)
    (kept,) = tmp_path.iterdir()
    lines = kept.read_bytes().splitlines()
    assert Local.at_once < len(lines) < len(data)
    kept.write_bytes(kept.read_bytes() + b'{"position":39,"na')  # killed while it wrote
    resumed = evaluate(opened[:1], data, state=tmp_path, say=said.append)
    assert any(f"resumed: {len(lines) - 1} answers" in line for line in said)
    fresh = evaluate(opened[:1], data, state=tmp_path / "other")
    assert resumed.accuracies == fresh.accuracies
    counted = []

    @contextmanager
    def count(total):
        counted.append(total)
        yield lambda: None

    evaluate(opened[:1], data, state=tmp_path, limit=10, progress=count)  # a sample of what is answered
    evaluate(opened[:1], data, state=tmp_path, fresh=True, progress=count)
    assert counted == [0, len(data)]


def test_a_part_is_what_another_run_of_it_asks_and_two_make_the_whole(folder, opened, tmp_path):
    data = data_for(opened, folder)
    halves = [evaluate(opened[:1], data.part(number, 2), state=tmp_path) for number in (1, 2)]
    whole = evaluate(opened[:1], data, state=tmp_path, progress=lambda total: nullcontext(lambda: None))
    assert sum(half.pictures for half in halves) == whole.pictures
    assert sum(half.accuracies[0].top1.hits for half in halves) == whole.accuracies[0].top1.hits
    assert halves[0].answers == whole.answers


@pytest.mark.parametrize("said", ["3/2", "0/2", "half", "1/101", "1/2/3"])
def test_what_is_no_part_is_refused(said):
    with pytest.raises(RequestError, match=f"--part {said} is no part"):
        part_of(said)


def test_answers_of_other_images_are_not_taken(folder, opened, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    for _ in range(2):
        evaluate(opened[:1], data_for(opened, copy), state=tmp_path / "state")
        (copy / "Class_3/00.png").rename(copy / "Class_0/00.png") if (copy / "Class_3/00.png").exists() else None
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_damaged_answers_are_refused(folder, opened, tmp_path):
    kept = evaluate(opened[:1], data_for(opened, folder), state=tmp_path).answers
    with Path(kept).open("a") as f:
        f.write("nonsense\n")
    with pytest.raises(OutputError, match="line 42") as error:
        evaluate(opened[:1], data_for(opened, folder), state=tmp_path)
    assert "--fresh" in error.value.hint


def test_what_cannot_be_compared_is_refused_before_anything_runs(folder, opened, tmp_path):
    copy = shutil.copytree(TFLITE, tmp_path / "copy")
    (copy / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    other = artifact.Artifact(copy, opened[0].manifest)
    with pytest.raises(RequestError, match="knows other classes"):
        evaluate([opened[0], other], data_for(opened, folder), state=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_images_that_all_cannot_be_read(opened, tmp_path):
    (tmp_path / "class 0").mkdir()
    (tmp_path / "class 0/1.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 images can be read") as found:
        evaluate(opened[:1], data_for(opened, tmp_path), state=tmp_path / "state")
    assert found.value.exit_code == 4


def test_answers_that_are_no_numbers_end_the_run(folder, opened):
    def nothing(tensors):
        return (np.full((len(tensors), 5), np.nan, np.float32),)

    data = data_for(opened, folder)
    with pytest.raises(WorkerError, match="not a finite number"):
        list(ask(counting([Answering(opened[0], "none", "none", nothing)], data), data.read(data.positions), workers=2))


def test_flips_and_margins(folder, opened):
    """Files of the test's own: one names class 3, the other class 0 where an image is dark."""

    def answers(dark):
        def answer(tensors):
            scores = np.zeros((len(tensors), 5), np.float32)
            scores[:, 3] = 1.5
            scores[tensors.reshape(len(tensors), -1).mean(1) < dark, 0] = 2
            return (scores,)

        return answer

    data = data_for(opened, folder)
    files = [
        Answering(opened[0], "ours", "here", answers(125)),
        Answering(opened[0], "theirs", "here", answers(0)),
    ]
    records = [r for batch in ask(counting(files, data), data.read(data.positions), workers=2) for r in batch]
    assert [r.position for r in records] == list(data.positions)
    differ = [r for r in records if r.answers and r.answers[0].first != r.answers[1].first]
    assert differ
    for record in differ:
        ours, theirs = record.answers
        assert (ours.classes[:2], theirs.classes[0]) == ((0, 3), 3)
        e = np.exp
        assert ours.margin == pytest.approx((e(2) - e(1.5)) / (e(2) + e(1.5) + 3), abs=1e-5)
        assert record.sqnr_db == pytest.approx(10 * np.log10(1.5**2 / 4))


def test_the_command(folder, tmp_path):
    done = run_edgekit("eval", TFLITE, "--data", folder, "--reference", ONNX, "--limit", "20", "--state", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tiny-onnx-int8" in done.stdout
    assert "do not decide whether" in done.stdout
    assert "20 of 40" in done.stderr
    done = ask_edgekit("eval", TFLITE, "--data", folder, "--json", "--state", tmp_path / "s")
    document = json.loads(done.stdout)
    assert document["accuracies"][0]["top1"]["hits"] == 30
    assert len(list((tmp_path / "s").iterdir())) == 1
    done = ask_edgekit("eval", TFLITE, "--data", folder, "--contact-sheet", "x.png")
    assert done.returncode == 2
    assert "--reference" in done.stderr
