"""`edgekit train`: a run is a model afterwards, goes on to the bit after a kill, and refuses what cannot be meant."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import GOLDEN_FILES, HERE, ROOT, ask_edgekit, paint, start
from PIL import Image

import edgekit
from edgekit import artifact, models, pipeline, zoo
from edgekit.cli import main
from edgekit.data import open_data, open_splits, stamps
from edgekit.errors import (
    ArtifactError,
    DataError,
    RequestError,
    TrainingError,
    UnknownNameError,
    UnsupportedError,
    WeightsError,
)
from edgekit.models import trained
from edgekit.preprocess import Preprocess, in_channels, normalise
from edgekit.recipe import Recipe
from edgekit.training import Settings, batches, curve, folder, objective, randomness, train
from edgekit.training.settings import check, differences, plain

pytestmark = pytest.mark.full


def settings(photos, **changes):
    """36 images to learn from in batches of 8: 5 steps an epoch."""
    basic = {"model": "py:nets:dropping", "input_size": (32, 32), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    basic |= {"data": str(photos), "batch": 8, "epochs": 2, "workers": 0, "threads": 1, "lr": 1e-2}
    return Settings(**(basic | changes))


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "colours"
    train(settings(photos, epochs=4), out)
    return out


def test_eval_asks_a_run_itself(run, photos, tmp_path):
    done = ask_edgekit("eval", run, "--data", photos, "--split", "test", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["pictures"] == 15


def loaded(model, **options):
    recipe = Recipe(model=str(model), target="torch", **options)
    return models.load(recipe, models.plan(recipe))


def lines(out):
    return [msgspec.json.decode(line, type=curve.Epoch) for line in (out / "metrics.jsonl").read_bytes().splitlines()]


def same(a, b):
    """Two runs with one result; CPU time is not a result."""
    timeless = [[msgspec.structs.replace(line, cpu_seconds=0) for line in lines(out)] for out in (a, b)]
    assert timeless[0] == timeless[1]
    assert (a / trained.WEIGHTS).read_bytes() == (b / trained.WEIGHTS).read_bytes()
    assert trained.read(a).test == trained.read(b).test


def test_a_run_learns_and_says_what_it_did(run):
    card = trained.read(run)
    assert card.finished
    assert card.labels == ("blue", "green", "red")
    assert card.test.top1 > 0.6
    assert (card.data.train_pictures, card.data.val_pictures, card.data.test_pictures) == (36, 15, 15)
    assert [line.step for line in lines(run)] == [5, 10, 15, 20]
    best = max(lines(run), key=lambda line: (line.val_top1, -line.val_loss))
    assert (card.epoch, card.val.top1, card.val.loss) == (best.epoch, best.val_top1, best.val_loss)
    drawn = ElementTree.fromstring((run / "curve.svg").read_text())
    assert len(drawn.findall("{*}polyline")) == 3
    assert {p.name for p in run.iterdir()} == {
        "run.toml", "weights.safetensors", "calibration", "metrics.jsonl", "curve.svg",
    }  # fmt: skip
    assert len(list((run / "calibration").iterdir())) == 36


def test_a_run_is_a_model(run):
    assert zoo.is_run(str(run))
    model = loaded(run)
    assert (model.name, model.labels, model.weights.source) == ("colours", ("blue", "green", "red"), "trained")
    assert model.preprocess == Preprocess((32, 32), 1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert model.pictures == run / "calibration"
    by_weights = loaded("py:nets:dropping", weights=str(run))
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(model.module(x), by_weights.module(x))


def test_a_run_without_its_images_says_what_it_needs(run, photos, tmp_path):
    private = shutil.copytree(run, tmp_path / "private", ignore=shutil.ignore_patterns("calibration"))
    with pytest.raises(DataError, match="keeps no images of its training") as error:
        pipeline.export(Recipe(str(private), "onnx"), tmp_path / "made")
    assert "--calibration DIR" in error.value.hint
    pipeline.export(Recipe(str(private), "onnx", calibration=str(photos)), tmp_path / "made")


def test_a_run_is_not_an_artifact(run):
    with pytest.raises(ArtifactError, match="is a run of edgekit train, not an exported model") as error:
        artifact.load(run)
    assert f"edgekit export {run}" in error.value.hint


def test_a_run_is_exported_without_a_path_in_it(run, tmp_path):
    from edgekit.pipeline import export, plan

    recipe = Recipe(model=str(run), target="torch")
    assert plan(recipe).out == Path("build/colours-torch-fp32")
    assert plan(recipe).pictures == "36 training images that come with the model"
    made = export(recipe, tmp_path / "made")
    assert made.labels() == ["blue", "green", "red"]
    assert made.manifest.weights.knows.startswith("3 classes of photos")
    assert str(run) not in (tmp_path / "made" / "manifest.json").read_text()
    assert not made.manifest.golden.own
    assert made.manifest.trained_on == trained.read(run).trained_on


def test_what_was_learned_from_is_known_of_every_child(run, photos):
    stamp = trained.read(run).trained_on
    train_ = open_data(photos, ("blue", "green", "red"), split="train")
    known = stamps.hashes(train_, train_.positions)
    assert (stamp.pictures, stamp.share, list(stamps.learned_from([stamp], known).values())) == (36, None, [True] * 36)
    assert loaded("py:nets:dropping", weights=str(run)).trained_on == stamp
    assert trained.beside(run / trained.WEIGHTS) == stamp
    assert loaded("vit_micro", weights="bundled").trained_on.pictures == 57_000
    assert loaded("py:nets:dropping").trained_on is None


def test_a_folder_without_splits_holds_out_the_same_images_again(tmp_path):
    data = paint(tmp_path / "mine", 12)
    out = tmp_path / "a"
    flags = ("--input-size", "32", "--epochs", "1", "--workers", "0", "--val-share", "0.25", "--seed", "5")
    asked = ("train", "py:nets:tiny", "--data", str(data), *flags, "--no-keep-images", "-o", str(out))
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "calibration/" not in done.stdout
    assert not (out / "calibration").exists()
    with pytest.raises(DataError, match="keeps no images of its training"):
        pipeline.plan(Recipe(str(out), "torch"))
    splits = open_splits(data, val_share=0.25, seed=5)
    held = open_data(data, splits.labels, split="val", trained=trained.read(out).trained_on)
    assert held.positions == splits.val.positions


def test_a_run_keeps_the_pixels_of_its_images_alone(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "SECRET"  # the maker of the camera
    for name in ("ant/SECRET-1", "ant/SECRET-2", "bee/SECRET-3", "bee/SECRET-4"):
        path = tmp_path / "mine" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(path, comment=b"SECRET", exif=exif)
    splits = open_splits(tmp_path / "mine")
    folder.save_pictures(tmp_path, splits.train, Preprocess((32, 32)), settings(tmp_path / "mine"))
    kept = list((tmp_path / "calibration").iterdir())
    assert len(kept) == 2
    assert not any(b"SECRET" in path.read_bytes() + path.name.encode() for path in kept)


def test_weights_of_a_run_fit_their_architecture_alone(run):
    with pytest.raises(WeightsError, match="is a run of py:nets:dropping, not of mobilenetv2_100"):
        loaded("mobilenetv2", weights=str(run))
    with pytest.raises(RequestError, match="weights of its own"):
        loaded(run, weights="random")


def test_a_committed_run_still_loads():
    """Schema 1: every later edgekit must open it."""
    model = loaded(GOLDEN_FILES / "run-tiny")
    assert (model.architecture, model.labels) == ("py:nets:tiny", ("blue", "green", "red"))
    assert "the run is not finished: this is its best epoch so far, 3" in model.notes


def test_the_command(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = [
        "train",
        "py:nets:tiny",
        "--data",
        str(photos),
        "--input-size",
        "32",
        "--epochs",
        "1",
        "--workers",
        "0",
        "-o",
        "a",
    ]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "epoch 1/1  loss" in done.stderr
    assert done.stdout.splitlines()[0] == f"a  py:nets:tiny, 3 classes of {photos.name}"
    assert "test: top-1" in done.stdout
    assert "calibration/ holds copies of 36 training images" in done.stdout
    again = CliRunner().invoke(main, [*asked, "--resume", "--json"])
    document = json.loads(again.stdout)
    assert (document["run"], document["finished"], document["images_kept"]) == ("a", True, 36)
    assert CliRunner().invoke(main, [*asked, "--resume", "--fresh"]).exit_code == 2
    assert CliRunner().invoke(main, [*asked, "--scratch", "--weights", "auto"]).exit_code == 2


def test_a_damaged_run_is_refused(run, tmp_path):
    import shutil

    copy = shutil.copytree(run, tmp_path / "copy")
    text = (copy / "run.toml").read_text()
    (copy / "run.toml").write_text(text.replace("weights_sha256 = ", 'weights_sha256 = "0"  # '))
    with pytest.raises(WeightsError, match=r"is not what run\.toml was written for"):
        loaded(copy)
    (copy / "run.toml").write_text(text.replace("schema = 1", "schema = 9"))
    with pytest.raises(WeightsError, match=r"run\.toml: line \d+: schema: Invalid enum value 9"):
        loaded(copy)


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
import msgspec
from edgekit.training import Settings, train

@contextmanager
def progress(total):
    done = []
    def tick():
        done.append(1)
        if len(done) == 8:
            os.kill(os.getpid(), signal.SIGKILL)
    yield tick

train(msgspec.json.decode(sys.argv[1], type=Settings), Path(sys.argv[2]), progress=progress)
"""


def test_a_killed_run_goes_on_to_the_bit(photos, tmp_path):
    """Killed inside the second epoch, with everything that has a state: dropout, BatchNorm, EMA, RandAugment."""
    asked = settings(photos, epochs=3, ema=0.9, augment="strong", save_every=2)
    train(asked, tmp_path / "whole")
    with_workers = msgspec.structs.replace(asked, workers=2)  # they do not change what is drawn
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    arguments = [sys.executable, "-c", KILLED, msgspec.json.encode(with_workers).decode(), str(tmp_path / "killed")]
    assert subprocess.run(arguments, env=environment, timeout=300).returncode == -9
    said = []
    train(asked, tmp_path / "killed", resume=True, say=said.append)
    assert "resumed at step 6 of 15" in said
    same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_of_the_whole_group_is_a_stop(photos, tmp_path, number):
    """A terminal's Ctrl-C and a scheduler's SIGTERM reach the readers of images too."""
    arguments = ["train", "py:nets:dropping", "--input-size", "32", "--mean", "0.5", "--std", "0.25", "--data", photos]
    arguments += ["--epochs", "5000", "--batch", "8", "--workers", "2", "--save-every", "1", "-o", tmp_path / "run"]
    child = start(
        [sys.executable, "-m", "edgekit", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))},
        start_new_session=True,
    )
    try:
        said = [child.stderr.readline()]
        while said[-1] and "training" not in said[-1]:
            said.append(child.stderr.readline())
        time.sleep(2)  # into some epoch, where readers come and go
        os.killpg(child.pid, number)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
    said = f"warning: interrupted; --resume goes on from the last save in {tmp_path / 'run'}\n"
    assert (child.returncode, said in err) == (130, True), err


def test_two_processes_do_not_write_one_run(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "ORPHANS", 0.1)
    with folder.alone(tmp_path / "run"), pytest.raises(RequestError, match=r"another process writes in .*run"):
        train(settings(photos), tmp_path / "run")
    assert not list(tmp_path.iterdir())
    train(settings(photos, epochs=1), tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_going_on_wants_the_same_settings_and_data(run, photos, tmp_path, monkeypatch):
    with pytest.raises(RequestError, match=r"holds a run") as error:
        train(settings(photos, epochs=4), run)
    assert "--resume" in error.value.hint
    with pytest.raises(RequestError, match=r"other settings: epochs was 4, now 5; lr was 0.01, now 0.1"):
        train(settings(photos, epochs=5, lr=0.1), run, resume=True)
    said = []
    assert train(settings(photos, epochs=4, workers=1), run, resume=True, say=said.append).finished
    assert f"{run} is finished" in said
    monkeypatch.chdir(photos.parent)
    spelled = settings(photos, epochs=4, data=f"{photos.name}/")
    assert train(spelled, run, resume=True).finished
    with pytest.raises(RequestError, match="no run to go on with"):
        train(settings(photos), tmp_path / "none", resume=True)


def test_differences_leave_out_what_does_not_change_the_result(photos):
    a, b = plain(settings(photos)), plain(settings(photos, workers=3, save_every=9))
    assert differences(a, b) == []
    assert differences(a, plain(settings(photos, distill="x"))) == ["distill was not set, now x"]


def test_a_run_of_an_edgekit_with_fewer_settings_goes_on():
    now = plain(Settings(model="a", data="b"))
    older = {k: v for k, v in now.items() if k != "qat"}
    assert differences(older, now) == []
    assert differences(older, now | {"qat": True}) == ["qat was False, now True"]


def test_a_loss_that_is_no_number_stops_and_keeps_the_best_epoch(photos, tmp_path, monkeypatch):
    from edgekit.training.learner import Learner

    whole = Learner.step

    def breaking(self, batch, number):
        if number == 7:
            batch.images.fill_(float("nan"))
        return whole(self, batch, number)

    monkeypatch.setattr(Learner, "step", breaking)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 8 \(epoch 2\); .* keeps epoch 1"):
        train(settings(photos), tmp_path / "run")
    assert all(p.isfinite().all() for p in loaded(tmp_path / "run").module.parameters())


def test_what_cannot_be_read_is_counted_and_named(photos, tmp_path):
    import shutil

    data = Path(shutil.copytree(photos, tmp_path / "data"))
    (data / "train" / "red" / "0.png").write_bytes(b"not an image")
    (data / "test" / "red" / "0.png").write_bytes(b"")
    said = []
    card = train(settings(data, epochs=1), tmp_path / "run", say=said.append)
    assert "1 image left out, unreadable: red/0.png: not an image" in said
    assert (lines(tmp_path / "run")[0].unreadable, card.test.pictures, card.test.unreadable) == (1, 14, 1)


@pytest.mark.parametrize(("epochs", "lr"), [(1, 1e-12), (4, 1e-2)])
def test_a_run_that_only_guesses_is_told_so(photos, tmp_path, epochs, lr):
    said = []
    card = train(settings(photos, epochs=epochs, lr=lr), tmp_path / "run", say=said.append)
    told = any("no better than naming the most frequent class each time (33.3%" in line for line in said)
    assert told == (card.val.top1 <= 1 / 3)


def test_patience_ends_a_run(photos, tmp_path):
    card = train(settings(photos, epochs=50, patience=1, lr=1e-12, augment="none"), tmp_path / "run")
    assert card.epochs == card.epoch + 1 < 50


def test_a_frozen_body_stays_as_it_was(photos, tmp_path):
    train(settings(photos, epochs=1, freeze=True), tmp_path / "run")
    before, after = loaded("py:nets:dropping").module.state_dict(), loaded(tmp_path / "run").module.state_dict()
    changed = [
        name for name in before if before[name].shape != after[name].shape or (before[name] != after[name]).any()
    ]
    assert changed == ["11.weight", "11.bias"]


def test_a_frozen_body_is_asked_once_about_each_image(photos, tmp_path, monkeypatch):
    """And the head is the one that it would be if the body were asked in every step."""
    import shutil

    data = Path(shutil.copytree(photos, tmp_path / "data"))
    (data / "train" / "red" / "0.png").write_bytes(b"not an image")
    asked = settings(data, model="py:nets:tiny", freeze=True, augment="none", epochs=3)
    looked = []
    with monkeypatch.context() as patched:
        patched.setattr(batches, "normalise", lambda *given: looked.append(1) or normalise(*given))
        once = train(asked, tmp_path / "once")
    assert len(looked) == sum(1 for _ in data.rglob("*.png")) - 1
    monkeypatch.setattr("edgekit.training.run.ends_in_its_head", lambda *_: False)
    each = train(asked, tmp_path / "each")
    assert (once.val, once.test) == (each.val, each.test)
    assert [line.unreadable for line in lines(tmp_path / "once")] == [1, 1, 1]
    one, other = (loaded(tmp_path / name).module.state_dict() for name in ("once", "each"))
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-5)


def test_a_timm_network_gets_a_new_head(photos, tmp_path):
    asked = settings(photos, model="timm:test_vit", weights="random", epochs=1, layer_decay=0.7, optimizer="lion")
    said: list[str] = []
    train(asked, tmp_path / "run", say=said.append)
    assert "a new head for 3 classes" in said
    assert not [line for line in said if "no names are known" in line]  # the folders name them
    assert trained.read(tmp_path / "run").architecture == "test_vit"
    model = loaded(tmp_path / "run")
    assert (model.family, model.module(torch.zeros(1, 3, 32, 32)).shape) == ("attention", (1, 3))


def test_a_grey_network_learns_and_is_a_model(photos, tmp_path):
    asked = settings(photos, model="lenet5", weights="random", input_size=None, mean=None, std=None, augment="strong")
    drawn = random.getstate(), np.random.get_state()[2], torch.get_rng_state().tolist()
    train(msgspec.structs.replace(asked, epochs=1), tmp_path / "grey")
    assert drawn == (random.getstate(), np.random.get_state()[2], torch.get_rng_state().tolist())
    head = {"model": str(tmp_path / "grey"), "weights": "auto", "augment": "none", "freeze": True, "epochs": 1}
    train(msgspec.structs.replace(asked, **head), tmp_path / "head")  # the body is asked once about each image
    model = loaded(tmp_path / "head")
    assert (model.preprocess.channels, model.family) == (1, "cnn")
    made = edgekit.export(tmp_path / "head", target="onnx", int8=True, out=tmp_path / "made")
    assert made.predict(photos / "test" / "red" / "0.png").label in model.labels


def test_a_network_of_ones_own_may_be_grey(photos, tmp_path):
    command = ["train", "py:nets:grey", "--data", photos, "-o", tmp_path / "run", "--input-size", "32", "--epochs", "1"]
    done = CliRunner().invoke(main, [*map(str, command), "--workers", "0", "--mean", "0.4"])
    assert "the model takes 1" in done.output
    assert "--channels 1" in done.output
    done = CliRunner().invoke(main, [*map(str, command), "--workers", "0", "--mean", "0.4", "--channels", "1"])
    assert done.exit_code == 0, done.output
    model = loaded(tmp_path / "run")
    assert (model.preprocess.mean, model.module(torch.zeros(1, 1, 32, 32)).shape) == ((0.4,), (1, 3))


def test_a_network_without_a_head_that_can_be_changed_is_a_model_too(photos, tmp_path):
    train(settings(photos, model="py:nets:averaged", epochs=1), tmp_path / "run")
    assert loaded(tmp_path / "run").module(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("augment", ["none", "light", "strong"])
def test_a_grey_network_sees_grey(augment):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    spec = Preprocess((20, 24), mean=(0.4,), std=(0.2,))
    view = batches.random_view(spec, Settings(model="", data="", augment=augment))
    for number in range(24):  # of RandAugment two in a row
        randomness.reseed(number)
        seen = view(image)
        assert (seen.shape, seen.dtype) == ((1, 20, 24), torch.float32)


def test_a_teacher_sees_the_colours_that_it_knows():
    colour, grey = (Preprocess((8, 8), mean=(m,) * c, std=(s,) * c) for m, s, c in ((0.5, 0.25, 3), (0.1, 0.3, 1)))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)

    def batch(seen, spec):
        return torch.from_numpy(normalise(in_channels(seen, spec.channels), spec).transpose(2, 0, 1).copy())[None]

    shown = objective.Teacher(torch.nn.Identity(), grey, colour)(batch(pixels, colour))
    torch.testing.assert_close(shown, batch(pixels, grey), atol=0.5 / 255 / 0.3 + 1e-4, rtol=0)  # L is rounded
    without = in_channels(pixels, 1).repeat(3, -1)
    shown = objective.Teacher(torch.nn.Identity(), colour, grey)(batch(pixels, grey))
    torch.testing.assert_close(shown, batch(without, colour), atol=1e-5, rtol=0)


def test_a_student_learns_its_teachers_answers(run, photos, tmp_path):
    asked = settings(photos, model="py:nets:tiny", distill=str(run), distill_weight=1.0, epochs=3)
    other = paint(tmp_path / "other", 4, seed=7)
    train(msgspec.structs.replace(asked, data=str(other), epochs=1, batch=4), tmp_path / "elsewhere")
    seen = trained.read(tmp_path / "elsewhere").trained_on
    assert len(seen.hashes) > len(trained.read(run).trained_on.hashes)  # what the teacher learned from as well
    train(asked, tmp_path / "student")
    first, *_, last = lines(tmp_path / "student")
    assert last.train_loss < first.train_loss
    own = Preprocess((32, 32), 1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
    x = torch.rand(4, 3, 32, 32)
    labels, cpu = ("blue", "green", "red"), torch.device("cpu")
    answers = objective.teacher(str(run), labels, own, cpu)(x)
    aims = objective.Classes(asked, own, objective.teacher(str(run), labels, own, cpu))
    assert aims.loss(answers, x, torch.zeros(4, dtype=torch.int64)).abs().max() < 1e-6
    assert aims.loss(-answers, x, torch.zeros(4, dtype=torch.int64)).min() > 0
    unlike = msgspec.structs.replace(own, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (unlike.mean, unlike.std))
    seen_otherwise = ((x * 0.25 + 0.5) - mean) / std
    again = objective.teacher(str(run), labels, unlike, cpu)(seen_otherwise)
    torch.testing.assert_close(again, answers, atol=1e-5, rtol=1e-5)
    larger = objective.teacher(str(run), labels, msgspec.structs.replace(own, input_size=(48, 40)), cpu)
    assert larger(torch.rand(2, 3, 48, 40)).shape == (2, 3)


def test_what_answers_probabilities_neither_learns_nor_teaches(photos, tmp_path):
    for net in ("softmax", "sigmoid"):
        with pytest.raises(
            UnsupportedError, match=f"ends in a {net} and answers probabilities; cross-entropy"
        ) as caught:
            train(settings(photos, model=f"py:nets:ends_in_{net}"), tmp_path / "run")
        assert "without its last step" in caught.value.hint
    assert not (tmp_path / "run").exists()
    teacher = tmp_path / "teacher"  # as an earlier edgekit trained it
    shutil.copytree(GOLDEN_FILES / "run-tiny", teacher)
    card = (teacher / "run.toml").read_text().replace("py:nets:tiny", "py:nets:tiny_softmax")
    (teacher / "run.toml").write_text(card)
    with pytest.raises(UnsupportedError, match="teacher ends in a softmax and answers probabilities"):
        train(settings(photos, model="py:nets:tiny", distill=str(teacher)), tmp_path / "run")


def test_a_teacher_knows_the_same_classes(run, photos, tmp_path):
    other = paint(tmp_path / "other", 6, {"blue": (0, 0, 200), "yellow": (200, 200, 0)})
    with pytest.raises(
        DataError, match=r"3 classes, the images show 2, not the same ones \('green' there, 'yellow' here\)"
    ):
        train(settings(other, distill=str(run)), tmp_path / "run")
    with pytest.raises(RequestError, match="is not a run"):
        train(settings(photos, distill="nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_learned_from(tmp_path):
    one = paint(tmp_path / "one", 3, {"blue": (0, 0, 200)})
    with pytest.raises(DataError, match="are of one class: blue"):
        open_splits(one)
    with pytest.raises(DataError, match="nothing says what is on"):
        open_splits(one / "blue")
    (one / "red").mkdir()
    with pytest.raises(DataError, match="of one class"):
        open_splits(one)
    two = paint(tmp_path / "two", 10, {"9": (0, 0, 200), "10": (200, 0, 0)})
    (two / "empty").mkdir()
    splits = open_splits(two, val_share=0.3)
    assert splits.labels == ("9", "10")
    assert "1 class folder holds no image: empty" in splits.notes
    assert [splits.val.truths[p] for p in splits.val.positions] == [(1,)] * 3 + [(0,)] * 3
    assert sorted([*splits.train.positions, *splits.val.positions]) == list(range(20))
    assert open_splits(two, val_share=0.3, seed=1).val.positions != splits.val.positions
    parted = tmp_path / "parted"
    paint(parted / "train", 2)
    paint(parted / "val", 2, {"cyan": (0, 200, 200)})
    with pytest.raises(DataError, match="none of the 1 classes") as error:
        open_splits(parted)
    assert "in every split" in error.value.hint
    only = tmp_path / "only"
    paint(only / "test", 2)
    with pytest.raises(DataError, match="has no training images, only test"):
        open_splits(only)


def test_idx_files_and_a_table_can_be_learned_from(tmp_path):
    from test_data import write_idx

    (tmp_path / "idx").mkdir()
    for split, count in (("train", 20), ("t10k", 4)):
        write_idx(tmp_path / "idx", split, [i % 2 for i in range(count)])
    splits = open_splits(tmp_path / "idx", classes=("boot", "shirt"))
    assert (len(splits.train), len(splits.val), len(splits.test)) == (18, 2, 4)
    with pytest.raises(DataError, match="of 2 classes, the model knows 3"):
        open_splits(tmp_path / "idx", classes=("boot", "shirt", "bag"))
    mixed = paint(tmp_path / "mixed", 4, {"all": (9, 9, 9)})
    table = tmp_path / "what.csv"
    table.write_text("".join(f"all/{i}.png,{'ab'[i % 2]}\n" for i in range(4)))
    assert open_splits(mixed, labels_file=table).labels == ("a", "b")


def test_a_place_that_holds_something_else_is_refused(photos, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RequestError, match=r"not a run \(thesis.txt\)"):
        train(settings(photos), tmp_path, fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_run_does_not_replace_what_it_reads(run, photos):
    with pytest.raises(RequestError, match="is read as well as written"):
        train(settings(photos, model=str(run)), run, fresh=True)
    assert zoo.is_run(str(run))


def test_a_run_may_be_called_as_its_network(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder.check_apart(Path("vit_micro"), "vit_micro", "auto", None)
    shutil.copytree(run, "vit_micro")  # also where it stands there already
    folder.check_apart(Path("vit_micro"), "vit_micro", "auto", None)
    with pytest.raises(RequestError, match="read as well as written"):
        folder.check_apart(Path("vit_micro"), "./vit_micro")


@pytest.mark.parametrize("flags", [["--qat", "--epochs", "0"], ["--freeze", "--epochs", "0"], ["--qat", "--lr", "0"]])
def test_a_zero_that_was_said_is_refused(run, photos, tmp_path, flags):
    done = CliRunner().invoke(main, ["train", str(run), "--data", str(photos), "-o", str(tmp_path / "x"), *flags])
    assert f"{flags[1]} is 0" in done.output
    assert done.exit_code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "--lr is 0.0"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"ema": 1.0}, "--ema is 1.0"),
        ({"batch": 1}, "--batch is 1"),
        ({"mean": (3.0,) * 3}, "mean 3 is not on the 0..1 scale"),
    ],
)
def test_settings_that_cannot_be_meant(photos, changes, message):
    with pytest.raises(RequestError, match=message):
        check(settings(photos, **changes))


def test_an_unknown_optimizer(photos):
    with pytest.raises(UnknownNameError) as error:
        check(settings(photos, optimizer="adamm"))
    assert "adam" in error.value.hint


def test_an_epoch_shows_every_image_once_in_batches_of_nearly_one_size(photos):
    parts = batches.epoch_batches(21, settings(photos), epoch=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(21))
    assert [len(part) for part in parts] == [7, 7, 7]
    assert not np.array_equal(parts[0], batches.epoch_batches(21, settings(photos), epoch=4)[0])


def test_workers_do_not_change_the_batches(photos):
    data, asked = open_splits(photos).train, settings(photos, augment="strong")
    parts, learned = batches.epoch_batches(len(data), asked, 0), objective.Classes(asked, Preprocess((32, 32)))
    alone, shared = (
        list(batches.stream(data, parts, learned.random, learned.nothing, workers, (0, 1, 0))) for workers in (0, 2)
    )
    assert all(torch.equal(a.images, b.images) and a.right == b.right for a, b in zip(alone, shared, strict=True))


@pytest.mark.slow
def test_two_processes_train_as_one(photos, tmp_path):
    """torchrun over gloo; without BatchNorm, whose statistics each process has for itself on a CPU."""
    arguments = [
        "train",
        "py:nets:tiny_attention",
        "--data",
        str(photos),
        "--input-size",
        "32",
        "--mean",
        "0.5",
        "--std",
    ]
    arguments += ["0.25", "--epochs", "2", "--batch", "8", "--workers", "0", "--threads", "1", "--lr", "0.001", "-o"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE))), "HF_HUB_OFFLINE": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "edgekit"]
    done = subprocess.run(
        [*launcher, *arguments, str(tmp_path / "two")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("validation: top-1") == 1
    asked = settings(photos, model="py:nets:tiny_attention", lr=0.001)
    train(asked, tmp_path / "one")
    one, two = (loaded(tmp_path / name).module.state_dict() for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-4, rtol=1e-3)
    assert [line.train_loss for line in lines(tmp_path / "two")] == pytest.approx(
        [line.train_loss for line in lines(tmp_path / "one")], rel=1e-4
    )
