"""edgekit predict: what may be named, in which order answers come, and where they go."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import GOLDEN, ask_edgekit
from PIL import Image

import edgekit
from edgekit import prediction
from edgekit.cli import main
from edgekit.data.listed import listed
from edgekit.errors import DataError
from edgekit.runtimes import Options


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """23 images in two folders, some of one name; one that is broken, one of a phone, and something else."""
    folder = tmp_path_factory.mktemp("album")
    rng = np.random.default_rng(5)
    for i in range(23):
        path = folder / ("sea", "hills/far")[i % 2] / f"{i // 2:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)).resize((60, 40)).save(path)
    (folder / "sea" / "05b.jpg").write_bytes(b"no image")
    (folder / "sea" / "raw.dng").write_bytes(b"from a camera")
    (folder / "notes.txt").write_text("which image is which")
    return folder


def test_files_folders_patterns_and_lists_are_named_once_and_in_order(album):
    sea = sorted((album / "sea").glob("*.png"))
    found = listed([str(sea[3]), str(album), str(album / "**" / "0?.png"), "-"], lambda: [f"{sea[0]}\n", "\n"])
    assert found.files[0] == sea[3]
    assert len(found.files) == 24
    assert found.notes == ("left out, as they cannot be read: 1 .dng",)
    odd = album / "sea" / "[1].png"
    Image.open(sea[0]).save(odd)
    assert listed([str(odd)]).files == (odd,)  # brackets in a name that is there
    odd.unlink()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (
            "https://example.com/a//b.jpg",
            "https://example.com/a//b.jpg is on a network.*download it first: curl -O https",
        ),
        ("0", "no image 0, and cameras are not read.*ffmpeg .* /dev/video0"),
        ("nothing/*.jpg", "nothing matches"),
        ("", "an empty name is no image"),
        ("-", "no images are named on standard input"),
    ],
)
def test_what_is_no_image_file_is_said(said, says):
    with pytest.raises(DataError, match=says):
        listed([said])


def test_several_images_are_answered_in_order_as_one_by_one(album):
    files = listed([str(album)]).files
    artifact = edgekit.load(GOLDEN)
    together = list(prediction.predict(artifact, Options(), files, workers=3))
    assert [path for path, _ in together] == list(files)
    assert [path.name for path, found in together if isinstance(found, DataError)] == ["05b.jpg"]
    for path, found in (together[0], together[-1]):
        ((_, alone),) = prediction.predict(artifact, Options(), [path])
        assert np.array_equal(found.probabilities, alone.probabilities)


def test_a_folder_gets_a_line_an_image_and_a_table(album, tmp_path):
    done = ask_edgekit("predict", GOLDEN, album, "--csv", tmp_path / "new" / "answers.csv")
    assert done.returncode == 0
    assert f"warning: skipped {album / 'sea' / '05b.jpg'}: not an image" in done.stderr
    assert "left out, as they cannot be read: 1 .dng" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[23] == f"23 of 24 images answered, 1 cannot be read; written to {tmp_path / 'new' / 'answers.csv'}"
    rows = list(csv.DictReader((tmp_path / "new" / "answers.csv").open()))
    assert [row["error"] for row in rows if row["error"]] == [f"{album / 'sea' / '05b.jpg'}: not an image"]
    for row, line in zip([row for row in rows if not row["error"]], lines, strict=False):
        assert line.startswith(row["image"])
        assert line.endswith(f"{float(row['probability_1']):6.1%}  {row['label_1']}")


def test_a_list_on_standard_input_and_a_table_on_standard_output(album):
    names = "".join(f"{path}\n" for path in sorted((album / "sea").glob("0[0-2].png")))
    done = CliRunner().invoke(main, ["predict", str(GOLDEN), "-", "--csv", "-", "-k", "2"], input=names)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["image", "label_1", "probability_1", "label_2", "probability_2", "error"]
    assert [row[0] for row in rows[1:]] == names.split()
    done = ask_edgekit("predict", GOLDEN, album, "--csv", "-", "--json")
    assert (done.returncode, json.loads(done.stdout)["exit_code"]) == (2, 2)


def test_a_name_of_two_lines_takes_one(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a\nb.png")
    (tmp_path / "c\nd.png").write_bytes(b"no image")
    done = ask_edgekit("predict", GOLDEN, tmp_path)
    assert done.stdout.startswith(f"{tmp_path}/a\\nb.png  ")
    assert f"skipped {tmp_path}/c\\nd.png: not an image\n" in done.stderr
    assert ask_edgekit("predict", GOLDEN, tmp_path / "a\nb.png").stdout.startswith(f"{tmp_path}/a\\nb.png")
    as_json = json.loads(ask_edgekit("predict", GOLDEN, tmp_path, "--json").stdout)
    assert [found["image"] for found in as_json["predictions"]] == [f"{tmp_path}/a\nb.png"]


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_answered(album):
    done = ask_edgekit("predict", GOLDEN, album, "--csv", album)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{album} is a folder, and a file is to be written" in done.stderr


def test_a_batch_that_the_file_does_not_take_is_refused(album):
    done = ask_edgekit("predict", GOLDEN, album, "--batch", "4")
    assert (done.returncode, "not 4" in done.stderr, "--dynamic-batch" in done.stderr) == (2, True, True)


def test_in_python_a_folder_gives_a_list_and_an_iterator_one_at_a_time(album):
    asked = []

    def camera():
        for name in ("00.png", "01.png"):
            asked.append(name)
            yield Image.open(album / "sea" / name)

    with edgekit.load(GOLDEN) as model:
        found = model.predict(album, unreadable="skip")
        assert [answer.source for answer in found] == [p for p in listed([str(album)]).files if p.suffix == ".png"]
        assert len(model.predict(f"{album}/hills/**/*.png")) == 11
        with pytest.raises(DataError, match=r"05b\.jpg: not an image"):
            model.predict(album)
        stream = model.predict(camera())
        assert asked == []
        first = next(stream)
        assert asked == ["00.png"]
        assert np.array_equal(first.found.probabilities, model.predict(album / "sea" / "00.png").found.probabilities)
        assert len(list(stream)) == 1
