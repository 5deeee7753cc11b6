import numpy as np
import pytest
from PIL import Image

from edgekit.data import open_masks
from edgekit.data.splits import hold_out
from edgekit.errors import DataError, RequestError

LABELS = ("sky", "road", "car")


def put(folder, name, size=(8, 6)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path)


def put_mask(folder, name, values, mode="L"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        picture = Image.fromarray(np.asarray(values, np.uint8), "P")
        picture.putpalette(list(range(256)) * 3)  # a shorter one would cut off what lies beyond it
    picture.save(path)


def mask_of(*values, height=6, width=8):
    """The values in columns, one after the other."""
    return np.resize(np.asarray(values, np.uint8), (height, width))


@pytest.fixture
def camvid(tmp_path):
    for split in ("train", "test"):
        for i in range(3):
            put(tmp_path / split, f"{i}.png")
            put_mask(tmp_path / f"{split}annot", f"{i}.png", mask_of(0, 1, 2, 11))
    return tmp_path


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "masks"), ("pictures", "masks"), ("test", "testannot"), ("test/images", "test/masks"), ("images/val", "masks/val")],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["L", "P"])
def test_images_and_masks_are_found_side_by_side(tmp_path, images, masks, mode):
    put(tmp_path / images, "a.jpg")
    put(tmp_path / images, "deep/b.webp")
    put(tmp_path / images, "without.jpg")
    put_mask(tmp_path / masks, "a.png", mask_of(0, 1, 255), mode)
    put_mask(tmp_path / masks, "deep/b.png", mask_of(2), mode)
    data = open_masks(tmp_path, LABELS)
    a, b = data.read(data.positions)
    assert (a.name, b.name, a.truth) == ("a.jpg", "deep/b.webp", ())
    assert (a.mask((8, 6)) == mask_of(0, 1, 255)).all()
    assert (b.mask((8, 6)) == 2).all()
    assert data.labelled
    assert "1 of 3 images have no mask of their name in" in " ".join(data.notes)


def test_the_test_split_is_taken_unless_another_is_named(camvid):
    data = open_masks(camvid, LABELS, ignore=11)
    assert data.what.startswith("test images of")
    assert open_masks(camvid, LABELS, ignore=11, split="train").what.startswith("train images of")
    with pytest.raises(DataError, match="no split 'val' with masks"):
        open_masks(camvid, LABELS, ignore=11, split="val")


def test_other_folders_are_named(tmp_path):
    put(tmp_path / "photos", "a.jpg")
    put_mask(tmp_path / "truth", "a.png", mask_of(1))
    assert len(open_masks(tmp_path, LABELS, images="photos", masks="truth")) == 1
    with pytest.raises(RequestError, match="go together"):
        open_masks(tmp_path, LABELS, images="photos")
    with pytest.raises(DataError, match="there is no folder"):
        open_masks(tmp_path, LABELS, images="photos", masks="nowhere")


def test_a_folder_without_masks_says_where_they_are_sought(tmp_path):
    put(tmp_path / "images", "a.jpg")
    with pytest.raises(DataError, match="no folder of images beside one of masks") as error:
        open_masks(tmp_path / "images", LABELS)
    assert "masks/NAME.png" in error.value.hint
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="no folder of images beside one of masks") as error:
        open_masks(tmp_path / "images", LABELS)
    assert error.value.hint == f"--data {tmp_path}, which does"
    put_mask(tmp_path / "masks", "other.png", mask_of(1))
    with pytest.raises(DataError, match=r"none of the 1 images in .* has a mask") as error:
        open_masks(tmp_path, LABELS)
    assert error.value.hint.endswith("masks/a.png")


@pytest.mark.parametrize(
    ("write", "says", "hint"),
    [
        (lambda f: put_mask(f, "a.png", mask_of(1, height=5)), "is 8 x 5 pixels, and its image 8 x 6", "sizes"),
        (lambda f: put_mask(f, "a.png", mask_of(0, 3, 7)), r"holds the label 3 and 1 more, and the model has 3: sky", "--ignore 3"),
        (lambda f: Image.new("RGB", (8, 6)).save(f / "a.png"), r"is an image of colours \(RGB\)", "palette"),
        (lambda f: (f / "a.png").write_bytes(b"\x89PNG and nothing"), "is not a mask", "PNG"),
    ],
)  # fmt: skip
def test_masks_that_do_not_fit_are_refused_before_anything_runs(tmp_path, write, says, hint):
    put(tmp_path / "images", "a.jpg")
    (tmp_path / "masks").mkdir()
    write(tmp_path / "masks")
    with pytest.raises(DataError, match=says) as error:
        open_masks(tmp_path, LABELS)
    assert hint in error.value.hint
    assert "\n" not in error.value.message


def test_masks_of_one_thing_drawn_in_white(tmp_path):
    put(tmp_path / "images", "a.jpg")
    put_mask(tmp_path / "masks", "a.png", mask_of(0, 255, 255))
    with pytest.raises(DataError, match="0 and 255 alone") as error:
        open_masks(tmp_path, ("background", "road"))
    assert error.value.hint == "--ignore none, if 255 is 'road'"
    (picture,) = open_masks(tmp_path, ("background", "road"), ignore=None).read([0])
    assert (picture.mask((8, 6)) == mask_of(0, 1, 1)).all()


def test_the_stamp_follows_images_masks_and_what_does_not_count(camvid):
    before = open_masks(camvid, LABELS, ignore=11).stamp
    assert open_masks(camvid, LABELS, ignore=11).stamp == before
    assert open_masks(camvid, (*LABELS, *"abcdefghi"), ignore=None).stamp != before
    put_mask(camvid / "testannot", "1.png", np.zeros((6, 8)))
    assert open_masks(camvid, LABELS, ignore=11).stamp != before


def test_a_share_of_masked_images_is_held_out(camvid):
    train, val = hold_out(open_masks(camvid, LABELS, ignore=11), 0.3, seed=0)
    assert (len(train), len(val)) == (2, 1)
    assert next(val.read(val.positions)).mask is not None
