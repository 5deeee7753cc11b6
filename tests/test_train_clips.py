"""A network learns from videos: windows are drawn, a crop stays where it is in all frames, validation is by video."""

import json
import shutil

import nets
import numpy as np
import pytest
import torch
from conftest import ask_edgekit
from PIL import Image

from edgekit import artifact
from edgekit.data.training_splits import open_clip_splits
from edgekit.data.video import Video
from edgekit.errors import UnsupportedError
from edgekit.models import trained
from edgekit.models.clips import takes_clips
from edgekit.models.tsm import Tsm, micro
from edgekit.preprocess import Preprocess
from edgekit.training import Settings, randomness
from edgekit.training.batches import Batch, stream
from edgekit.training.objective import Clips

pytestmark = pytest.mark.full
SPEC = Preprocess((24, 24), 1.0, "squash", frames=8, rate=8.0)
FRAMES = ("--frames", "8", "--frame-rate", "8", "--input-size", "24", "--crop-pct", "1")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Folders of frames that grow brighter or darker, and one that is too short; names as UCF101's."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for split, each in (("train", 16), ("test", 4)):
        for number in range(each):
            start, step = rng.integers(20, 80), rng.integers(10, 14)
            shades = start + step * np.arange(10)
            for label, order in (("brighter", shades), ("darker", shades[::-1])):
                folder = root / split / label / f"v_{label}_g{number // 2:02}_c{number % 2:02}"
                folder.mkdir(parents=True)
                for at, shade in enumerate(order, 1):
                    Image.new("RGB", (40, 30), (int(shade),) * 3).save(folder / f"{at}.png")
    short = root / "train/darker/v_darker_g99_c00"
    short.mkdir()
    Image.new("RGB", (40, 30)).save(short / "1.png")
    return root


@pytest.fixture(scope="module")
def run(videos, tmp_path_factory):
    """A run of `train`, with what it said."""
    out = tmp_path_factory.mktemp("runs") / "bright"
    said = ask_edgekit(
        "train", "py:nets:tsm", "--data", videos, *FRAMES, "--epochs", "24", "--batch", "8", "--lr", "0.05",
        "--weight-decay", "0", "--smoothing", "0", "--threads", "1", "--workers", "0", "-o", out,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return out, said


def test_a_network_learns_which_way_time_goes(run, videos, tmp_path):
    out, said = run
    card = trained.read(out)
    assert (card.preprocess.frames, card.preprocess.rate) == (8, 8.0)
    assert card.labels == ("brighter", "darker")
    assert card.test is not None
    assert card.test.top1 == 1
    assert "29 videos to learn from, 4 to select on, 8 to report on" in said.stderr
    assert "1 video left out, unreadable: darker/v_darker_g99_c00 lasts" in said.stderr
    assert "test: top-1 100.0% of 8 videos" in said.stdout
    assert "windows of 28 training videos" in said.stdout
    assert len(list((out / "calibration").iterdir())) == 28
    exported = ask_edgekit("export", out, "--int8", "--target", "tflite", "-o", tmp_path / "file")
    assert exported.returncode == 0, exported.stderr
    made = artifact.load(tmp_path / "file").manifest
    assert (made.preprocess.frames, made.preprocess.rate, made.scheme) == (8, 8.0, "int8-static")
    assert made.calibration.pictures == 28
    asked = ask_edgekit("eval", tmp_path / "file", "--data", videos, "--state", tmp_path / "state", "--json")
    top1 = json.loads(asked.stdout)["accuracies"][0]["top1"]
    assert (top1["hits"], top1["of"]) == (8, 8)
    asked = ask_edgekit("eval", tmp_path / "file", "--data", videos, "--split", "val", "--state", tmp_path / "state")
    assert "4 of 4 train videos" in asked.stderr
    assert "held out of training" in asked.stderr
    assert "these videos chose the epoch that was kept" in asked.stderr
    asked = ask_edgekit("eval", tmp_path / "file", "--data", videos, "--split", "train", "--state", tmp_path / "state")
    assert "29 of 33 videos were trained on" in asked.stderr
    for number in range(16):  # other videos than those of the training
        shutil.copytree(videos / "train/darker/v_darker_g00_c00", tmp_path / f"others/darker/v_darker_g{number}_c00")
        shutil.copytree(videos / "train/brighter/v_brighter_g00_c00", tmp_path / f"others/brighter/v_b_g{number}_c00")
    asked = ask_edgekit("eval", tmp_path / "file", "--data", tmp_path / "others", "--split", "val")
    assert "holds nothing that was held out of training" in asked.stderr


def test_a_run_of_clips_goes_on_and_is_a_start(run, videos, tmp_path):
    out, _ = run
    said = ask_edgekit(
        "train", out, "--data", videos, "--freeze", "--epochs", "1", "--batch", "8", "--workers", "0", "--no-keep-images",
        "-o", tmp_path / "next",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert trained.read(tmp_path / "next").preprocess == trained.read(out).preprocess
    assert not (tmp_path / "next/calibration").exists()


@pytest.mark.parametrize("wrong", [("--qat",), ("--distill", "run")])
def test_what_is_of_images_alone_is_refused_in_a_line(run, videos, tmp_path, wrong):
    asked = [str(run[0]) if word == "run" else word for word in wrong]
    said = ask_edgekit("train", run[0], "--data", videos, *asked, "-o", tmp_path / "next")
    assert said.returncode == 2
    assert said.stderr.startswith(f"error: {wrong[0]} is for networks of images, not of clips")
    assert not (tmp_path / "next").exists()


def test_pruning_and_wrong_data_are_refused_in_a_line(run, videos, tmp_path):
    said = ask_edgekit("prune", run[0], "--data", videos, "--keep-macs", "0.5", "-o", tmp_path / "small")
    assert said.stderr.startswith("error: edgekit prune cuts classifiers, and --data holds clips")
    (tmp_path / "films/a").mkdir(parents=True)
    (tmp_path / "films/a/x.mp4").touch()
    said = ask_edgekit("train", "py:nets:tiny", "--data", tmp_path / "films", "-o", tmp_path / "small")
    assert "holds videos" in said.stderr
    assert "--frames 8 --frame-rate 8" in said.stderr
    said = ask_edgekit("train", "py:nets:tiny", "--data", videos, *FRAMES, "-o", tmp_path / "small")
    assert "the model takes images, not clips of 8 frames" in said.stderr
    assert not (tmp_path / "small").exists()


def test_clips_of_one_film_stay_on_one_side(videos):
    splits = open_clip_splits(videos, val_share=0.25)
    film = lambda data: {p.name.rpartition("_c")[0] for p in data.read(data.positions)}  # noqa: E731
    assert len(film(splits.val)) == 4
    assert not film(splits.train) & film(splits.val)


@pytest.mark.parametrize("augment", ["none", "light", "strong"])
def test_a_crop_lies_at_the_same_place_in_every_frame(augment):
    still = Image.effect_noise((60, 44), 90).convert("RGB")
    clips = Clips(Settings("m", "d", augment=augment), SPEC)

    class Still:
        truth = (1,)

        def open(self):
            return Video(None, "still", tuple(still.copy() for _ in range(12)))

    views = []
    for seed in (1, 2):
        randomness.reseed(seed)
        clip, truth = clips.random(Still())
        assert (clip.shape, int(truth)) == ((1, 3, 8, 24, 24), 1)
        assert all(torch.equal(clip[0, :, t], clip[0, :, 0]) for t in range(8))
        views.append(clip)
    assert torch.equal(*views) is (augment == "none")


def test_a_video_is_judged_by_the_mean_over_its_windows():
    clips = Clips(Settings("m", "d"), SPEC)
    answers = torch.tensor([[3.0, 0.0], [0.0, 0.5], [0.0, 0.5], [0.0, 9.0]])
    batch = Batch(torch.zeros(4, 1), torch.tensor([0, 1]), ((0,), (1,)), torch.ones(2), (), (3, 1))
    score = clips.score([clips.count(answers, batch)])
    assert (score.top1, score.pictures) == (1.0, 2)
    shares = answers[:3].softmax(-1).mean(0)
    assert score.loss == pytest.approx((-shares[0].log() - answers[3].log_softmax(-1)[1]).item() / 2, abs=1e-6)


def test_batches_hold_every_window_of_their_videos(videos):
    splits = open_clip_splits(videos)
    clips = Clips(Settings("m", "d"), SPEC)
    (batch,) = stream(splits.train, [np.arange(len(splits.train))], clips.plain, clips.nothing, 0, (0,))
    assert sorted(set(batch.windows)) == [1, 2]  # one for what cannot be read
    assert batch.images.shape == (sum(batch.windows), 3, 8, 24, 24)
    assert len(batch.truth) == len(batch.windows) == len(splits.train)
    assert float(batch.weight.sum()) == len(splits.train) - 1


@torch.no_grad()
def test_a_network_of_images_shifts_frames():
    net = micro().eval()
    assert not takes_clips(net)
    clip = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    assert net(clip).shape == (2, 8)
    assert not torch.allclose(net(clip), net(clip.flip(2)), atol=1e-4)  # the order of the frames has a say
    with pytest.raises(UnsupportedError, match="has no residual blocks to shift frames in"):
        Tsm(nets.tiny())
