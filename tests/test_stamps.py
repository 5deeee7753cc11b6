"""What weights have learned from, and which images of a data set are among that."""

import gzip
import os
import shutil
import struct

import msgspec
import numpy as np
import pytest
from conftest import paint
from PIL import Image

from edgekit.data import open_data, open_splits, stamps
from edgekit.errors import DataError

LABELS = ["blue", "green", "red"]


@pytest.fixture
def folder(tmp_path):
    return paint(tmp_path / "photos", 10)


def stamped(folder, kept=stamps.KEPT, **options):
    splits = open_splits(folder, val_share=0.2, seed=3, **options)
    return splits, stamps.stamp(splits.train, splits.val, 0.2, 3, kept)


def known(stamp, folder, **options):
    data = open_data(folder, LABELS, **options)
    return stamps.learned_from([stamp], stamps.hashes(data, data.positions))


def names(data):
    return [picture.name for picture in data.read(data.positions)]


def test_copies_are_found_under_any_name_and_images_made_anew_are_not(folder, tmp_path):
    splits, trained = stamped(folder)
    told = known(trained, folder)
    assert [p for p, learned in told.items() if learned] == list(splits.train.positions)
    (tmp_path / "others" / "red").mkdir(parents=True)
    first = next(splits.train.read(splits.train.positions))
    shutil.copy(folder / first.name, tmp_path / "others" / "red" / "renamed.png")
    first.open().save(tmp_path / "others" / "red" / "again.bmp")
    assert known(trained, tmp_path / "others") == {0: False, 1: True}  # again.bmp, renamed.png


def test_what_was_held_out_is_what_training_selected_on(folder):
    splits, trained = stamped(folder)
    val = open_data(folder, LABELS, split="val", trained=trained)
    assert names(val) == names(splits.val)
    assert "held out of training" in val.what
    assert "chose the epoch" in val.notes[-1]
    assert names(open_data(folder, LABELS, split="train", trained=trained)) == names(splits.train)
    assert not any(known(trained, folder, split="val", trained=trained).values())


def test_a_table_of_labels_is_drawn_from_like_class_folders(folder, tmp_path):
    table = tmp_path / "labels.csv"
    rows = [f"{p.relative_to(folder)},{p.parent.name}" for p in sorted(folder.rglob("*.png"))]
    table.write_text("file_name,label\n" + "\n".join(rows))
    splits, trained = stamped(folder, labels_file=table)
    val = open_data(folder, LABELS, labels_file=table, split="val", trained=trained)
    assert names(val) == names(splits.val)


def test_of_a_folder_that_has_changed_what_was_not_learned_from_is_held_out(folder):
    splits, trained = stamped(folder)
    held = names(splits.val)
    Image.new("RGB", (30, 30), "red").save(folder / "red" / "00-new.png")  # the first: every position moves
    val = open_data(folder, LABELS, split="val", trained=trained)
    assert sorted(names(val)) == sorted([*held, "red/00-new.png"])
    assert "is not as it was at training" in val.notes[-1]


def test_what_cannot_be_told_is_refused(folder):
    _, sketch = stamped(folder, kept=8)
    assert len(open_data(folder, LABELS, split="val", trained=sketch)) == 6  # as it was: the seed tells
    (folder / "red" / "0.png").unlink()
    with pytest.raises(DataError, match="is not as it was at training"):
        open_data(folder, LABELS, split="val", trained=sketch)
    with pytest.raises(DataError, match="does not say what it was trained on") as caught:
        open_data(folder, LABELS, split="val")
    assert "not trained on" in caught.value.hint


def test_many_images_are_known_by_a_fair_sample(folder):
    splits, sketch = stamped(folder, kept=8)
    told = known(sketch, folder)
    learned = {p for p, yes in told.items() if yes}
    assert len(learned) == 8
    assert learned <= set(splits.train.positions)
    assert {p for p, yes in told.items() if not yes} <= set(splits.val.positions)
    assert len(sketch.hashes) == 56  # 8 x 5 bytes in base64


def test_a_student_has_seen_what_its_teacher_saw(folder, tmp_path):
    _, teacher = stamped(folder)
    other = paint(tmp_path / "other", 4, seed=9)
    _, student = stamped(other)
    both = stamps.united(student, teacher, None)
    assert both.data == student.data
    for place, one in ((folder, teacher), (other, student)):
        assert known(both, place) == known(one, place)
    _, sketch = stamped(folder, kept=8)
    after = stamps.united(student, sketch)
    assert after.below == sketch.below
    own = {p for p, yes in known(student, other).items() if yes}
    assert {p for p, yes in known(after, other).items() if yes} == own, "a large set before hides none of a small one"


def test_a_split_of_its_own_is_drawn_from_nothing(photos):
    splits, trained = stamped(photos)
    assert trained.share is None
    assert all(known(trained, photos, split="train", trained=trained).values())
    assert names(open_data(photos, LABELS, split="val", trained=trained)) == names(splits.val)


def test_images_of_idx_files_are_known_by_their_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    for name in ("train", "t10k"):
        images = struct.pack(">4I", 0x803, 12, 4, 4) + pixels.tobytes()
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        labels = struct.pack(">2I", 0x801, 12) + bytes(i % 3 for i in range(12))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    splits, trained = stamped(tmp_path)
    told = known(trained, tmp_path, split="test")
    assert [p for p, learned in told.items() if learned] == list(splits.train.positions)


def test_a_damaged_stamp_and_what_is_no_file_are_said(folder):
    _, trained = stamped(folder)
    with pytest.raises(DataError, match="stamp of what it was trained on is damaged"):
        known(msgspec.structs.replace(trained, hashes="AAAA"), folder)
    os.mkfifo(folder / "red" / "pipe.png")
    assert len(known(trained, folder)) == 30  # the pipe is not waited for
