import importlib.util
import shutil
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgekit_vision
from edgekit import calibration
from edgekit.calibration import MORE_PROOF, PROOF_PICTURES, choose
from edgekit.errors import DataError, MissingExtraError, OutputError
from edgekit.preprocess import Preprocess

SPEC = Preprocess((32, 32))


def take(folder, tmp_path, samples=128, sheet=None, seed=0):
    scratch = Path(tempfile.mkdtemp(dir=tmp_path))
    return choose(str(folder) if folder else "default", samples, seed, SPEC, sheet, scratch)


def test_a_folder_is_split_between_calibration_and_proof(pictures, tmp_path):
    chosen = take(pictures, tmp_path, samples=8)
    assert (len(chosen.calibration), len(chosen.proof)) == (8, PROOF_PICTURES)
    seen = {p.tobytes() for p in chosen.calibration}
    assert not seen & {p.tobytes() for p in chosen.proof}


def test_the_same_seed_gives_the_same_images_and_another_seed_others(pictures, tmp_path):
    a, b, c = (take(pictures, tmp_path, samples=8, seed=seed) for seed in (0, 0, 1))
    assert a.calibration.sha256 == b.calibration.sha256 != c.calibration.sha256
    assert [p.tobytes() for p in a.calibration] == [p.tobytes() for p in b.calibration]


def test_one_folder_is_for_the_images_of_one_choice(pictures, tmp_path):
    choose(str(pictures), 8, 0, SPEC, None, tmp_path)
    with pytest.raises(OutputError, match="File exists"):
        choose(str(pictures), 8, 0, SPEC, None, tmp_path)


def test_photographs_that_are_missing_name_their_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="'skimage' is not installed") as caught:
        take(None, tmp_path)
    assert caught.value.hint == edgekit_vision.install("pictures")


def test_broken_images_are_skipped_with_a_count(pictures, tmp_path):
    folder = tmp_path / "some"
    shutil.copytree(pictures, folder)
    (folder / "class0" / "00.png").write_bytes(b"broken")
    (folder / "class0" / "zz.jpg").write_text("text")
    chosen = take(folder, tmp_path)
    assert "skipped 2 of 41 files" in chosen.calibration.warnings  # which go into the manifest, without names
    assert sorted(said[:6] for said in chosen.unreadable) == ["00.png", "zz.jpg"]


@pytest.mark.parametrize(
    ("make", "warns"),
    [
        (lambda i: np.full((40, 40, 3), i % 20, np.uint8), "grey levels"),
        (lambda i: np.random.default_rng(i % 10).integers(0, 256, (40, 40, 3), dtype=np.uint8), "copies of another"),
    ],
)
def test_the_linter_finds_what_is_wrong(tmp_path, make, warns):
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(40):
        Image.fromarray(make(i)).save(folder / f"{i}.png")
    assert any(warns in w for w in take(folder, tmp_path).calibration.warnings)


def test_the_linter_finds_one_class_and_too_few(pictures, tmp_path):
    folder = tmp_path / "one"
    shutil.copytree(pictures / "class0", folder / "class0")
    warnings = " ".join(take(folder, tmp_path, samples=10).calibration.warnings)
    assert "only 10 images" in warnings
    assert "one class folder" in warnings


def test_a_good_folder_gets_no_warning(pictures, tmp_path):
    assert take(pictures, tmp_path).calibration.warnings == ()


def test_empty_missing_and_unreadable_folders_are_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no images"):
        take(empty, tmp_path)
    with pytest.raises(DataError, match="no folder"):
        take(tmp_path / "none", tmp_path)
    (empty / "a.jpg").write_text("text")
    with pytest.raises(DataError, match="none of the 1 images") as caught:
        take(empty, tmp_path)
    assert "--calibration" in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_place_for_temporary_files_names_the_variable_that_moves_it(pictures, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    opened = Path.open

    def full(path, mode="r", *how):
        return opened(Path("/dev/full"), "wb") if mode == "xb" else opened(path, mode, *how)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(OutputError, match="cannot write temporary files: No space left") as caught:
            choose(str(pictures), 8, 0, SPEC, None, scratch)
    assert "TMPDIR=" in caught.value.hint
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=rf"No such file or directory \({tmp_path}/missing/edgekit-"):
        calibration.scratch_folder()


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    noise.save(folder / "0.bmp")
    for i in range(1, 400):
        (folder / f"{i}.bmp").hardlink_to(folder / "0.bmp")
    spec = Preprocess((256, 256))  # 400 x 196 kB = 79 MB
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tracemalloc.start()
    chosen = choose(str(folder), 400, 0, spec, None, scratch)
    for _ in chosen.calibration:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(chosen.calibration) == 400
    assert peak < 12e6


def test_a_contact_sheet_keeps_its_last_images_for_the_proof(tmp_path):
    sheet = tmp_path / "fashion-mnist.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4 * 28, 16 * 28), dtype=np.uint8)).save(sheet)
    chosen = take(None, tmp_path, sheet=sheet)
    assert (len(chosen.calibration), len(chosen.proof)) == (32, 32)
    assert chosen.calibration.warnings == ("32 images with the model; 128 were asked for",)
    assert calibration.describe("default", 16, sheet).startswith("16 Fashion-MNIST")


def test_a_detector_gets_photographs_four_in_an_image_and_more_of_them_for_its_proof(tmp_path, monkeypatch):
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for i, file in enumerate(files):
        Image.new("RGB", (60, 40), (50 * i, 0, 255 - 50 * i)).save(file)
    monkeypatch.setattr(calibration, "_photographs", lambda: files)
    spec, colours = Preprocess((32, 32), crop_pct=1.0), {}
    for crowded in (False, True):
        scratch = tmp_path / str(crowded)
        scratch.mkdir()
        chosen = choose("default", 4, 0, spec, None, scratch, crowded=crowded)
        assert len(chosen.proof) == (MORE_PROOF if crowded else PROOF_PICTURES)
        assert chosen.calibration.source == calibration.describe("default", 4, None, crowded=crowded)[2:]
        colours[crowded] = {len(np.unique(p.reshape(-1, 3), axis=0)) for p in chosen.calibration}
    assert colours == {False: {1}, True: {4}}


def test_more_of_a_folder_proves_a_detector(pictures, tmp_path):
    assert len(choose(str(pictures), 4, 0, SPEC, None, tmp_path, crowded=True).proof) == 36
