"""`edgekit train` on boxes: detectors that export takes."""

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from resumed import check_goes_on

from edgekit import models
from edgekit.cli import main
from edgekit.data.boxes import open_boxes
from edgekit.errors import RequestError, UnsupportedError, WeightsError
from edgekit.models import trained
from edgekit.models.anchored import SsdLite
from edgekit.models.yolox import YoloX
from edgekit.pipeline import export
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe
from edgekit.tasks import Detection
from edgekit.training import Settings, batches, lessons, randomness, simota, train
from edgekit.training.boxes import NONE, Boxes
from edgekit.training.simota import SimOta

pytestmark = pytest.mark.full
LABELS = ("red", "green")
SIZE = (64, 64)
MAKES = [
    pytest.param(lambda: YoloX(2, width=0.125), id="yolox"),
    pytest.param(lambda: SsdLite(2, img_size=SIZE), id="ssdlite"),
]


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """16 images, of 80 x 64 pixels, with a red and a green box each: YOLO's texts."""
    data = tmp_path_factory.mktemp("things")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for number in range(count):
            pixels, rows = rng.integers(0, 60, (64, 80, 3), np.uint8), []
            for label in (0, 1):
                left, top = 40 * label + rng.integers(0, 16), rng.integers(0, 36)
                pixels[top : top + 28, left : left + 24] = 0
                pixels[top : top + 28, left : left + 24, label] = 230
                rows.append(f"{label} {(left + 12) / 80} {(top + 14) / 64} {24 / 80} {28 / 64}")
            for folder in ("images", "labels"):
                (data / folder / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(data / "images" / split / f"{number}.png")
            (data / "labels" / split / f"{number}.txt").write_text("\n".join(rows))
    (data / "data.yaml").write_text("names: [red, green]\n")
    return data


def settings(things, **changes):
    basic = {"model": "yolox_micro", "weights": "random", "input_size": SIZE, "data": str(things), "batch": 4}
    basic |= {"epochs": 2, "workers": 0, "threads": 1, "lr": 4e-3}
    return Settings(**(basic | changes))


def objective(spec, augment="none"):
    asked = Settings(model="", data="", augment=augment)
    return Boxes(asked, spec, Detection(), SimOta(spec.input_size), len(LABELS))


def test_crops_and_flips_move_the_boxes_with_the_image(things):
    """Bright red is where its box says red."""
    moving = objective(Preprocess((64, 96), 1.0, "letterbox", "nearest", (0.0,) * 3, (1.0,) * 3, pad=114), "strong")
    moving.jitter = None
    seen = []
    for number, picture in enumerate(open_boxes(things, LABELS, split="train").read(range(12))):
        randomness.reseed(number)
        image, rows = moving.random(picture)
        for left, top, right, bottom, label, _ in rows[rows[:, 4] >= 0].tolist():
            y, x = np.nonzero((image[int(label)] > 0.85).numpy())
            assert np.allclose((left, top, right, bottom), (x.min(), y.min(), x.max() + 1, y.max() + 1), atol=1.1)
            seen.append(left)
    assert len(set(seen)) > 16


def test_every_box_of_an_image_is_learned_and_counts(tmp_path):
    rng, names = np.random.default_rng(0), {"many": 350, "few": 2, "none": 0}
    for name, count in names.items():
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", SIZE).save(tmp_path / "images" / f"{name}.png")
        rows = [f"{i % 2} {x:.4f} {y:.4f} 0.1 0.1" for i, (x, y) in enumerate(rng.uniform(0.1, 0.9, (count, 2)))]
        (tmp_path / "labels" / f"{name}.txt").write_text("\n".join(rows))
    (tmp_path / "data.yaml").write_text("names: [red, green]\n")
    taught, data = objective(Preprocess(SIZE, 1.0, "letterbox")), open_boxes(tmp_path, LABELS)
    (batch,) = batches.stream(data, [np.arange(3)], taught.plain, taught.nothing, 0, (0,))
    assert sorted((batch.truth[..., 4] >= 0).sum(1).tolist()) == [0, 2, 350]
    counted = taught.count(torch.zeros(3, len(taught.lessons.strides), 7), batch)
    assert sorted(len(picture.there) for picture in counted.pictures) == [0, 2, 350]
    nothing = taught.nothing[1][None].expand(2, -1, -1)
    assert taught.loss(torch.zeros(2, len(taught.lessons.strides), 7), batch.images[:2], nothing).isfinite().all()


def test_simota_chooses_where_the_box_is():
    taught = SimOta(SIZE)
    answers = torch.zeros(1, len(taught.strides), 7)
    answers[..., 4:] = -4
    truths = torch.tensor([[[8.0, 8, 40, 40, 1], [0, 0, 0, 0, NONE]]])
    raw = taught.raw(answers)
    chosen, which = simota.assign(raw, raw.decoded(), truths)
    apart = ((raw.cells + 0.5) * raw.strides[:, None] - 24).abs()[chosen[0]]
    assert 1 <= chosen.sum() <= simota.CANDIDATES
    assert (apart < simota.RADIUS * raw.strides[chosen[0], None]).all()
    assert (which[chosen] == 0).all()
    nothing = torch.full((1, 2, 5), NONE)
    assert not simota.assign(raw, raw.decoded(), nothing)[0].any()
    assert 0 < taught.loss(answers, nothing)[0] < taught.loss(answers, truths)[0]


@pytest.mark.parametrize("make", MAKES)
def test_what_is_measured_is_what_the_file_answers(make):
    torch.manual_seed(0)
    net, images = make().eval(), torch.rand(2, 3, *SIZE)
    taught = lessons.of(net, "mine", SIZE)
    with torch.inference_mode():
        for ours, theirs in zip(taught.decoded(taught.taught(net)(images)), net(images), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.fixture(scope="module")
def run(things, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "things"
    train(settings(things, weights="bundled"), out)
    return out


def test_a_detector_learns_and_is_a_model(run):
    card = trained.read(run)
    assert (card.task, card.labels, card.architecture) == ("detection", LABELS, "yolox_micro")
    assert (card.test.pictures, card.test.top1) == (4, None)
    assert card.test.ap50 is not None
    first, last = map(msgspec.json.decode, (run / "metrics.jsonl").open())
    assert last["train_loss"] < first["train_loss"]
    assert last["val_map"] is not None
    recipe = Recipe(model=str(run), target="torch")
    model = models.load(recipe, models.plan(recipe))
    assert isinstance(model.task, Detection)
    assert (model.labels, model.answer_shapes) == (LABELS, ((1, 84, 4), (1, 84, 2)))
    assert model.preprocess.crop_mode == "letterbox"
    assert "mAP" in (run / "curve.svg").read_text()


def test_the_task_of_a_run_is_known_before_it_is_loaded(run):
    for recipe in (Recipe(str(run), target="onnx"), Recipe("yolox_micro", target="onnx", weights=str(run))):
        assert models.plan(recipe).task == "detection"
    assert models.plan(Recipe("mobilenetv2", target="onnx", weights="random")).task == "classification"


def test_a_trained_detector_exports(run, tmp_path):
    done = CliRunner().invoke(main, ["export", str(run), "--target", "onnx", "-o", str(tmp_path / "made")])
    assert done.exit_code == 0, done.output


def test_a_run_that_learned_nothing_yet_is_told_to_train_on(run, monkeypatch, tmp_path):
    """Not to look for weights, which a run has."""
    monkeypatch.setattr("edgekit.parity.Spread.varies", property(lambda _: False))
    with pytest.raises(WeightsError, match=r"images the same answer.*edgekit train for more epochs"):
        export(Recipe(str(run), target="torch"), tmp_path / "made")


def test_a_killed_run_of_boxes_goes_on_to_the_bit(things, run, tmp_path):
    check_goes_on(settings(things, weights="bundled"), tmp_path, after=4, whole=run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qat": True, "weights": "auto"}, "--qat is for classifiers, and --data holds boxes"),
        (
            {"model": "unet_micro"},
            "unet_micro is made for segmentation, and --data holds boxes .*a detector: .*or --data that holds masks",
        ),
        (
            {"model": "mobilenetv2"},
            r"mobilenetv2 is made for classification, .* \(.*a detector: yolox_nano, yolox_micro",
        ),
    ],
)
def test_what_cannot_be_meant_of_boxes(things, tmp_path, changes, message):
    with pytest.raises(RequestError, match=message):
        train(settings(things, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("make", MAKES)
def test_a_detector_is_taught(make):
    """The loss falls where the boxes stay the same, and is smaller on an image without any, as on one that cannot be read."""
    torch.manual_seed(0)
    net, images = make().train(), torch.rand(2, 3, *SIZE)
    taught = lessons.of(net, "mine", SIZE)
    truths = torch.tensor([[[4.0, 4, 40, 40, 1], [30, 30, 60, 62, 0]]]).repeat(2, 1, 1)
    optimizer, found = torch.optim.Adam(net.parameters(), 3e-3), []
    for _ in range(40):  # SimOTA takes some steps to settle whose box is whose
        loss = taught.loss(taught.taught(net)(images), truths)
        assert loss.shape == (2,)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        found.append(loss[0].item())
    assert found[-1] < 0.8 * found[0]
    assert taught.loss(taught.taught(net)(images), torch.full((2, 1, 5), NONE))[0] < 0.8 * found[0]


def test_a_detector_without_a_known_loss_is_refused():
    with pytest.raises(UnsupportedError, match="does not know how mine learns boxes: Conv2d"):
        lessons.of(torch.nn.Conv2d(3, 4, 1), "mine", SIZE)


def test_pruning_boxes_is_refused_in_one_line(run, things, tmp_path):
    asked = ["prune", str(run), "--data", str(things), "--keep-macs", "0.5", "-o", str(tmp_path / "small")]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2
    assert "edgekit prune cuts classifiers, and --data holds boxes" in done.output
