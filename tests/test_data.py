"""What a folder holds, and what is on its images."""

import errno
import gzip
import io
import json
import os
import struct
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import idx, open_data, picture_files
from edgekit.data.classes import imagenet, match
from edgekit.data.dataset import Picture
from edgekit.data.decoding import decoded
from edgekit.data.listed import listed, videos_in
from edgekit.data.tables import read_table
from edgekit.errors import DataError, MissingExtraError, RequestError
from edgekit.preprocess import Preprocess, decode_picture
from edgekit_vision import install

LABELS = ["ant", "Honey bee", "cat, tabby", "T-shirt/top", "elk"]


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return path


def truths(data):
    return {picture.name: picture.truth for picture in data.read(data.positions)}


def write_idx(folder, split, labels, *, packed=True):
    images = np.arange(len(labels) * 64, dtype=np.uint8).reshape(-1, 8, 8)
    blobs = {
        "images-idx3": struct.pack(">4I", 0x803, len(labels), 8, 8) + images.tobytes(),
        "labels-idx1": struct.pack(">2I", 0x801, len(labels)) + bytes(labels),
    }
    for name, blob in blobs.items():
        path = folder / f"{split}-{name}-ubyte{'.gz' * packed}"
        path.write_bytes(gzip.compress(blob) if packed else blob)
    return images


def test_names_are_matched_exactly_then_loosely_then_by_synonym():
    found = match(["ant", "HONEY-BEE", "tabby", "T-shirt_top", "moose"], LABELS)
    assert found.indices == {"ant": 0, "HONEY-BEE": 1, "tabby": 2, "T-shirt_top": 3}
    assert (found.unknown, found.unused) == (("moose",), ("elk",))
    assert match(["c", "C"], ["c", "C", "C++"]).indices == {"c": 0, "C": 1}


def test_a_name_of_several_classes_is_none_of_them():
    found = match(["crane", "ox"], ["crane, bird", "crane, machine", "ox"])
    assert (found.indices, found.unknown) == ({"ox": 2}, ("crane",))


def test_numbers_count_from_zero():
    assert match(["4", "0"], LABELS).indices == {"4": 4, "0": 0}
    assert match(["0", "1"], ["1", "0"]).indices == {"0": 1, "1": 0}  # they are names here
    with pytest.raises(DataError, match="class number 5") as error:
        match(["1", "5"], LABELS)
    assert "count from 0" in error.value.hint


def test_wordnet_ids_are_those_of_imagenet():
    thousand = [f"class {i}" for i in range(1000)]
    assert match(["n01440764", "n03000684"], thousand).indices == {"n01440764": 0, "n03000684": 491}
    assert len(imagenet()) == 1000
    with pytest.raises(DataError, match="none of the 1 classes"):
        match(["n01440764"], LABELS)


def test_class_folders(tmp_path):
    for name in ("ant/1.png", "honey_bee/deep/2.png", "moose/3.png", "stray.png"):
        save(tmp_path / name)
    data = open_data(tmp_path, LABELS)
    assert truths(data) == {"ant/1.png": (0,), "honey_bee/deep/2.png": (1,)}
    said = " | ".join(data.notes)
    for note in ("1 of 4 images lie in no class folder", "1 of 3 classes are none of the model's: moose", "3 of 5"):
        assert note in said
    with pytest.raises(DataError, match=r"none of the 3 classes .*\(ant, honey_bee, moose\)"):
        open_data(tmp_path, ["x", "y"])


def test_class_folders_may_be_links(tmp_path):
    save(tmp_path / "all/1.png")
    (tmp_path / "all/up").symlink_to(tmp_path)  # ends nowhere
    (tmp_path / "all/itself").symlink_to("itself")
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(tmp_path / "all")
    assert truths(open_data(tmp_path / "data", ["ant", "bee"])) == {"ant/1.png": (0,), "bee/1.png": (1,)}


def test_splits_are_folders_that_stand_alone(tmp_path):
    save(tmp_path / "train/ant/1.png")
    save(tmp_path / "validation/elk/2.png")
    assert truths(open_data(tmp_path, LABELS)) == {"elk/2.png": (4,)}
    assert truths(open_data(tmp_path, LABELS, split="train")) == {"ant/1.png": (0,)}
    with pytest.raises(DataError, match="no split 'test'"):
        open_data(tmp_path, LABELS, split="test")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/loss.txt").write_text("0.1")
    assert truths(open_data(tmp_path, LABELS)) == {"elk/2.png": (4,)}
    (tmp_path / "val").mkdir()
    assert truths(open_data(tmp_path, LABELS)) == {"elk/2.png": (4,)}
    save(tmp_path / "val/elk/3.png")
    with pytest.raises(DataError, match=r"val and \S*validation are both of the split 'val'"):
        open_data(tmp_path, LABELS)
    save(tmp_path / "ant/4.png")
    with pytest.raises(DataError, match="holds ant beside the splits train and val"):
        open_data(tmp_path, LABELS)


def test_a_class_may_be_called_train(tmp_path):
    save(tmp_path / "train/1.png")
    save(tmp_path / "bus/2.png")
    data = open_data(tmp_path, ["bus", "train"])
    assert truths(data) == {"bus/2.png": (0,), "train/1.png": (1,)}
    with pytest.raises(DataError, match="does not say what it was trained on"):
        open_data(tmp_path, ["bus", "train"], split="train")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "a.png,ant\nb.png,4\n"),
        ("l.csv", "label,file_name\nant,a.png\n4,b.png\n"),
        ("l.txt", "a.png ant\nb.png\t4\n"),
        ("l.json", '{"_about": {"x": 1}, "a.png": "ant", "b.png": 4}'),
        ("l.jsonl", '{"file_name": "a.png", "label": "ant"}\n{"file_name": "b.png", "label": 4}\n'),
    ],
)
def test_tables_of_labels(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_table(tmp_path / name) == {"a.png": ("ant",), "b.png": ("4",)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "a.png,ant\nb.png,elk\n./a.png,ant\n"),
        ("l.json", '{"a.png": "ant", "b.png": "elk", "a.png": "ant"}'),
    ],
)
def test_the_same_row_twice_in_a_table_is_one(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_table(tmp_path / name) == {"a.png": ("ant",), "b.png": ("elk",)}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "a.png,ant\nb.png,ant\na.png,elk\n", "a.png is 'ant' in entry 1, and 'elk' in entry 3"),
        ("l.txt", "a.png ant\n./a.png elk\n", "a.png is 'ant' in entry 1, and 'elk' in entry 2"),
        ("l.json", '{"a.png": ["ant", "elk"], "a.png": "elk"}', "a.png is 'ant, elk' in entry 1, and 'elk' in entry 2"),
        ("l.csv", "a.png\n", "row 1 has no class"),
        ("l.csv", "file,a,b\nx,y,z\n", "no columns file_name and label, but file, a, b"),
        ("l.txt", "a.png\n", "line 1 has no class"),
        ("l.json", "[1]", "not an object"),
        ("l.json", '{"a.png": 1.5}', "not a class: 1.5"),
        ("l.json", "{", "Expecting"),
        ("l.yaml", "a: b", "not a file of labels"),
        ("l.csv", "", "names no images"),
        ("a.json", '{"a\\u0000.png": "ant"}', "is no name of a file"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_table(tmp_path / name)


def test_a_table_beside_the_images(tmp_path):
    save(tmp_path / "a.png"), save(tmp_path / "extra.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,elk\ngone.png,ant\n")
    data = open_data(tmp_path, LABELS)
    assert truths(data) == {"a.png": (4,), "gone.png": (0,)}  # it is asked for, and then counted as unreadable
    assert "1 of 2 images in" in data.notes[0]
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"a.png": ["ant", "elk"]}))
    assert truths(open_data(tmp_path, LABELS, labels_file=own)) == {"a.png": (0, 4)}
    own.write_text('{"b.png": "ant"}')
    with pytest.raises(DataError, match=r"none of the 1 images .* b\.png"):
        open_data(tmp_path, LABELS, labels_file=own)
    with pytest.raises(RequestError, match="exclude each other"):
        open_data(tmp_path, LABELS, labels_file=own, unlabelled=True)


def test_no_sentence_about_images_tells_where_the_user_keeps_them(tmp_path, monkeypatch):
    save(tmp_path / "album/train/ant/1.png"), save(tmp_path / "plain/a.png")
    (tmp_path / "idx").mkdir()
    write_idx(tmp_path / "idx", "t10k", range(5))
    (tmp_path / "own.csv").write_text("file_name,label\na.png,ant\n")
    assert open_data(tmp_path / "album", LABELS, split="train").what.startswith("train images of album/train (")
    assert open_data(tmp_path / "idx", LABELS).what.startswith("test images of idx (")
    assert open_data(tmp_path / "plain", LABELS, unlabelled=True).what.startswith("images of plain (")
    tabled = open_data(tmp_path / "plain", LABELS, labels_file=tmp_path / "own.csv")
    assert tabled.what.startswith("images of plain (labels of own.csv)")
    monkeypatch.chdir(tmp_path)
    assert open_data(Path("album/train"), LABELS).what.startswith("images of album/train (")


def test_a_plain_folder_is_not_labelled(tmp_path):
    with pytest.raises(DataError, match="no images"):
        open_data(tmp_path, LABELS)
    save(tmp_path / "a.png")
    assert not open_data(tmp_path, LABELS).labelled


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files(tmp_path, packed):
    write_idx(tmp_path, "train", [0] * 3)
    images = write_idx(tmp_path, "t10k", [4, 0, 1, 2, 3, 1], packed=packed)
    data = open_data(tmp_path, LABELS)
    assert truths(data) == {f"test/{i}": (label,) for i, label in enumerate([4, 0, 1, 2, 3, 1])}
    (one,) = data.read([4])
    assert np.array_equal(np.asarray(one.open())[..., 0], images[4])
    assert np.array_equal(idx.array(tmp_path, "test")[0], images)
    with pytest.raises(DataError, match="are of 5 classes, the model knows 2"):
        open_data(tmp_path, ["a", "b"])


def test_damaged_idx_files(tmp_path):
    write_idx(tmp_path, "t10k", [4, 0], packed=False)
    images = tmp_path / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-9])
    with pytest.raises(DataError, match="ends too early"):
        list(open_data(tmp_path, LABELS).read([0, 1]))
    images.write_bytes(b"\0" * 16)
    with pytest.raises(DataError, match="not an idx file of images"):
        open_data(tmp_path, LABELS)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no labels beside"):
        open_data(tmp_path, LABELS)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "test.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as error:
        open_data(tmp_path, LABELS)
    assert "[parquet]" in error.value.hint


def test_a_sample_is_seeded_and_ascending(tmp_path):
    for i in range(20):
        save(tmp_path / f"ant/{i}.png")
    data = open_data(tmp_path, LABELS)
    chosen = data.sample(7, seed=1)
    assert chosen == sorted(chosen) == data.sample(7, seed=1) != data.sample(7, seed=2)
    assert list(data.sample(99)) == list(range(20))


def test_parts_are_random_share_nothing_and_leave_nothing_out(tmp_path):
    for i in range(21):
        save(tmp_path / f"{LABELS[i % 2]}/{i}.png", seed=i)
    data = open_data(tmp_path, LABELS)
    one, two = data.part(1, 2), data.part(2, 2)
    assert (len(one), len(two)) == (11, 10)
    assert sorted([*one.positions, *two.positions]) == list(data.positions)
    assert (
        list(one.positions) == sorted(one.positions) == data.part(1, 2).positions != data.part(1, 2, seed=1).positions
    )
    assert one.what.endswith("part 1 of 2")
    assert set(one.sample(5)) < set(one.positions)


def test_videos_of_one_film_are_in_one_part(tmp_path):
    for i in range(12):
        save(tmp_path / f"ant/{i:02}.png", seed=i)
    data = open_data(tmp_path, LABELS)
    films = replace(data, source=replace(data.source, groups=[str(i // 3) for i in range(12)]))
    one, two = (films.part(number, 2).positions for number in (1, 2))
    assert not {i // 3 for i in one} & {i // 3 for i in two}
    assert len(one) == len(two) == 6


def test_threads_that_decode_leave_the_cores_to_inference():
    seen = []

    def opener():
        seen.append(os.nice(0))
        return Image.new("RGB", (8, 8))

    picture = Picture(0, "a", (), opener, bytes)
    spec = Preprocess(input_size=(8, 8))
    before = os.nice(0)
    list(decoded([picture], [spec], workers=1, ahead=1))
    assert (seen[0] > before) == (sys.platform == "linux" and before < 19)
    assert os.nice(0) == before


def test_decoding_keeps_the_order_and_says_what_it_cannot_read(tmp_path):
    for i in range(30):
        save(tmp_path / f"ant/{i:02}.png", seed=i)
    (tmp_path / "ant/07.png").write_bytes(b"not an image")
    data = open_data(tmp_path, LABELS)
    read = []

    def pictures():
        for picture in data.read(data.positions):
            read.append(picture.position)
            yield picture

    spec = Preprocess(input_size=(4, 4))
    for picture, fitted in decoded(pictures(), [spec, spec], workers=3, ahead=5):
        assert len(read) - picture.position <= 5  # no more wait
        if picture.name == "ant/07.png":
            assert isinstance(fitted, DataError)
            assert "ant/07.png: not an image" in fitted.message
        else:
            assert [f.shape for f in fitted.pixels] == [(4, 4, 3)] * 2
    assert read == list(range(30))


def test_the_stamp_changes_with_the_images_and_their_labels(tmp_path):
    picture = save(tmp_path / "ant/1.png")
    before = open_data(tmp_path, LABELS).stamp
    assert open_data(tmp_path, LABELS).stamp == before
    picture.rename(save(tmp_path / "elk/1.png").with_name("2.png"))
    assert open_data(tmp_path, LABELS).stamp != before


def of_a_phone(path, brand=b"heic"):
    """The first bytes of a HEIC file: what tells what it is."""
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(100))


@pytest.mark.both
def test_images_of_phones_are_read_where_they_can_be_and_named_where_not(tmp_path):
    picture = Image.fromarray(np.full((40, 60, 3), (200, 90, 30), np.uint8))
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.avif", quality=95)
    if find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.from_pillow(picture).save(tmp_path / "c.heic", quality=95)
        pillow_heif.from_pillow(picture).save(tmp_path / "d.jpg", quality=95, format="HEIF")  # renamed, as users do
        assert [path.name for path in picture_files(tmp_path)] == ["a.png", "b.avif", "c.heic", "d.jpg"]
        assert open_data(tmp_path, ["x"]).notes == ()
    else:
        of_a_phone(tmp_path / "c.heic")
        of_a_phone(tmp_path / "d.jpg")
        (told,) = open_data(tmp_path, ["x"]).notes
        assert told == f"left out, as they cannot be read: 1 .heic ({install('heic')})"
        with pytest.raises(DataError, match=r"d.jpg: a HEIC image, which needs pillow-heif") as caught:
            decode_picture(tmp_path / "d.jpg", "d.jpg")
        assert caught.value.hint == install("heic")
        with pytest.raises(DataError, match="a HEIC image"):
            decode_picture(io.BytesIO((tmp_path / "d.jpg").read_bytes()), "cell")
        of_a_phone(tmp_path / "only" / "e.HEIC")
        with pytest.raises(DataError, match=r"no images in .*1 \.heic") as caught:
            picture_files(tmp_path / "only")
        assert caught.value.hint == install("heic")
        (tmp_path / "d.jpg").unlink()
    for path in picture_files(tmp_path)[:4]:
        assert np.abs(np.asarray(decode_picture(path, path.name)).astype(int) - (200, 90, 30)).max() < 8


def test_images_of_cameras_are_counted(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for name in ("b.DNG", "c.dng", "d.cr2", ".e.dng", "notes.txt"):
        (tmp_path / name).touch()
    assert open_data(tmp_path, ["x"]).notes == ("left out, as they cannot be read: 2 .dng, 1 .cr2",)


def test_a_folder_of_videos_is_no_folder_of_images(tmp_path):
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "1.MP4").write_bytes(b"")
    with pytest.raises(DataError, match="holds videos, and images are wanted"):
        open_data(tmp_path, ["walk"])


def test_a_classifier_is_told_that_a_folder_holds_boxes(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images/a.png")
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.2", "utf-8")
    with pytest.raises(DataError, match="in boxes, and the model"):
        open_data(tmp_path, ["ant", "bee"])


def test_a_folder_that_cannot_be_listed_is_named_and_hidden_ones_do_not_count(tmp_path, monkeypatch):
    for name in ("cat/a.png", "dog/b.png", ".thumbnails/a.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert open_data(tmp_path, ["cat", "dog"]).source.notes == ()
    scan, locked = os.scandir, str(tmp_path / "dog")

    def guarded(path="."):
        if os.fspath(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", locked)
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    for find in (
        picture_files,
        videos_in,
        lambda folder: listed([str(folder)]),
        lambda folder: open_data(folder, None),
    ):
        with pytest.raises(DataError, match=f"^the folder {locked} cannot be read: Permission denied"):
            find(tmp_path)
