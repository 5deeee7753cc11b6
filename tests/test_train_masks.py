"""`edgekit train` on masks, and a head on features: segmenters and classifiers that export takes."""

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from resumed import check_goes_on
from torch.nn import functional

from edgekit import models
from edgekit.cli import main
from edgekit.data import open_masks
from edgekit.errors import DataError, RequestError
from edgekit.models import trained
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe
from edgekit.tasks import Classification, Segmentation
from edgekit.tasks.iou import UNLABELLED
from edgekit.tasks.segmentation import Upsample
from edgekit.training import Settings, randomness, train
from edgekit.training.masks import Masks

pytestmark = pytest.mark.full
LABELS = ("background", "red", "green")
VOID = 9  # in masks: nobody's


@pytest.fixture(scope="module")
def roads(tmp_path_factory):
    """16 images with a red and a green box each; the last row of every mask is nobody's."""
    data = tmp_path_factory.mktemp("roads")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for number in range(count):
            pixels = rng.integers(0, 60, (40, 48, 3), np.uint8)
            mask = np.zeros((40, 48), np.uint8)
            for label in (1, 2):
                top, left = rng.integers(0, 20), rng.integers(0, 24)
                box = slice(top, top + 18), slice(left, left + 20)
                pixels[box], mask[box] = 0, label
                pixels[(*box, label - 1)] = 230
            mask[-1] = VOID
            for folder, picture in (("images", pixels), ("masks", mask)):
                path = data / split / folder / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    (data / "names.txt").write_text("\n".join(LABELS))
    return data


def settings(roads, **changes):
    basic = {"model": "unet_micro", "weights": "random", "input_size": (32, 32), "classes": str(roads / "names.txt")}
    basic |= {"data": str(roads), "batch": 4, "epochs": 12, "workers": 0, "threads": 1, "lr": 1e-2, "smoothing": 0.0}
    basic |= {"ignore": VOID}
    return Settings(**(basic | changes))


@pytest.fixture(scope="module")
def run(roads, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "roads"
    train(settings(roads), out)
    return out


def objective(spec, augment="none", **task):
    asked = Settings(model="", data="", augment=augment, smoothing=0.0)
    return Masks(asked, spec, Segmentation(**task), len(LABELS))


def test_a_segmenter_learns_and_is_a_model(run):
    card = trained.read(run)
    assert (card.task, card.labels, card.architecture) == ("segmentation", LABELS, "unet_micro")
    assert (card.test.top1, card.test.pictures) == (None, 4)
    assert card.test.miou > 0.7
    recipe = Recipe(model=str(run), target="torch")
    model = models.load(recipe, models.plan(recipe))
    assert isinstance(model.task, Segmentation)
    assert (model.labels, model.task.background, model.answer_shapes) == (LABELS, 0, ((1, 3, 16, 16),))
    assert model.task.ignore == VOID  # as it was trained
    assert msgspec.structs.replace(card, settings=card.settings | {"ignore": -1}).ignored is None
    assert "mIoU" in (run / "curve.svg").read_text()


def test_the_figure_is_that_of_numpy(run, roads):
    card, recipe = trained.read(run), Recipe(model=str(run), target="torch")
    model = models.load(recipe, models.plan(recipe))
    learned = Masks(settings(roads), model.preprocess, model.task, len(LABELS))
    data, table = open_masks(roads, LABELS, ignore=VOID, split="test"), np.zeros((3, 3))
    for picture in data.read(data.positions):
        image, truth = (part.numpy() for part in learned.plain(picture))
        with torch.inference_mode():
            scores = functional.interpolate(model.module(torch.from_numpy(image)[None]), (32, 32), mode="bilinear")
        for t, p in zip(truth.ravel(), scores.argmax(1).numpy().ravel(), strict=True):
            if t != UNLABELLED:
                table[t, p] += 1
    hits = table.diagonal()
    assert card.test.miou == pytest.approx((hits / (table.sum(0) + table.sum(1) - hits)).mean(), abs=1e-6)


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_crops_and_flips_move_the_mask_with_the_image(roads, augment):
    """Bright red is where the mask says red, but for the pixels that the image's filter mixes."""
    moving = objective(Preprocess((64, 64), 1.0, "squash", "nearest", (0.0,) * 3, (1.0,) * 3), augment)
    seen = []
    for number, picture in enumerate(open_masks(roads, LABELS, ignore=VOID, split="train").read(range(12))):
        randomness.reseed(number)
        image, mask = moving.random(picture)
        known = mask != UNLABELLED
        for label in (1, 2):
            bright = image[label - 1] > 0.45
            assert ((mask == label) == bright)[known].float().mean() > 0.999
        seen.append(mask)
    assert len({m.numpy().tobytes() for m in seen}) == 12


@pytest.mark.parametrize("augment", ["none", "strong"])
def test_a_grey_segmenter_sees_grey(roads, augment):
    learned = objective(Preprocess((32, 48), 1.0, "squash", mean=(0.4,), std=(0.2,)), augment)
    (picture,) = open_masks(roads, LABELS, ignore=VOID, split="test").read([0])
    shapes = [
        [part.shape for part in seen] for seen in (learned.nothing, learned.plain(picture), learned.random(picture))
    ]
    assert shapes == [[(1, 32, 48), (32, 48)]] * 3


def test_a_letterbox_learns_nothing_from_its_border(roads):
    spec = Preprocess((32, 64), 1.0, "letterbox")
    (picture,) = open_masks(roads, LABELS, ignore=VOID, split="test").read([0])
    _, mask = objective(spec).plain(picture)
    assert (mask[:, [0, -1]] == UNLABELLED).all()
    assert (mask[0, 20:40] != UNLABELLED).all()


def test_the_loss_is_cross_entropy_and_dice():
    learned = objective(Preprocess((4, 4)), upsample=Upsample("nearest"))
    truth = torch.tensor([[[0, 1], [2, UNLABELLED]]])
    good = functional.one_hot(truth.where(truth != UNLABELLED, 0), 3).movedim(-1, 1) * 30.0
    bad = -good
    near, far = (learned.loss(scores, torch.zeros(1), truth)[0] for scores in (good, bad))
    assert near == pytest.approx(0, abs=1e-6)
    assert far > 20
    halves = torch.zeros(1, 3, 2, 2)
    dice = (2 * (1 / 3) + 1) / (3 * (1 / 3) + 1 + 1)
    assert learned.loss(halves, torch.zeros(1), truth)[0] == pytest.approx(np.log(3) + 1 - dice)


def test_one_channel_is_the_logit_of_the_second_label():
    learned = Masks(Settings(model="", data="", smoothing=0.0), Preprocess((4, 4)), Segmentation(), 2)
    logits, truth = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 4, 4))
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 0], truth.float(), reduction="none").mean((1, 2))
    assert (learned.loss(logits, torch.zeros(1), truth) > entropy).all()
    assert torch.allclose(learned._scores(logits, truth).softmax(1)[:, 1], logits.sigmoid()[:, 0])


def test_a_killed_run_of_masks_goes_on_to_the_bit(roads, tmp_path):
    check_goes_on(settings(roads, epochs=2, augment="strong"), tmp_path, after=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "nothing names them"),
        ({"qat": True, "weights": "auto"}, "--qat is for classifiers"),
        ({"freeze": True}, "--freeze is for classifiers"),
        (
            {"model": "py:nets:segmenter", "weights": "auto"},
            r"answers 2 classes, and there are 3 \(background, red, green\)",
        ),
    ],
)
def test_what_cannot_be_meant_of_masks(roads, tmp_path, changes, message):
    with pytest.raises(RequestError, match=message):
        train(settings(roads, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_classes_of_an_earlier_run_are_known(run, roads, tmp_path):
    asked = settings(roads, model=str(run), weights="auto", input_size=None, classes=None, epochs=1, lr=1e-9)
    card = train(asked, tmp_path / "again")
    assert card.labels == LABELS
    assert card.val.miou > 0.6  # as it was, not a new head


def test_masks_beyond_the_labels_are_refused(roads, tmp_path):
    (tmp_path / "two.txt").write_text("background\nred")
    with pytest.raises(DataError, match="holds the label 2"):
        train(settings(roads, classes=str(tmp_path / "two.txt")), tmp_path / "run")


def test_pruning_masks_is_refused_in_one_line(run, roads, tmp_path):
    asked = ["prune", str(run), "--data", str(roads), "--keep-macs", "0.5", "-o", str(tmp_path / "small")]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2
    assert "edgekit prune cuts classifiers, and --data holds masks" in done.output


def test_a_head_on_features_is_one_classifier(photos, tmp_path):
    asked = {"data": str(photos), "batch": 8, "epochs": 30, "workers": 0, "threads": 1, "lr": 3e-2}
    asked |= {"freeze": True, "augment": "none", "input_size": (32, 32)}
    for model in ("py:nets:features", "timm:test_vit"):
        out = tmp_path / model.rpartition(":")[2]
        weights = {"weights": "random"} if model.startswith("timm") else {}
        card = train(Settings(model=model, **asked, **weights), out)
        recipe = Recipe(model=str(out), target="torch")
        made = models.load(recipe, models.plan(recipe))
        assert isinstance(made.task, Classification)
        assert (made.labels, made.answer_shapes) == (("blue", "green", "red"), ((1, 3),))
    assert card.features == 0  # timm's head is its own
    assert trained.read(tmp_path / "features").features == 32
    assert trained.read(tmp_path / "features").test.top1 > 0.6
