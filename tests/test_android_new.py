"""`edgekit android new`: an app of one's own, as a copy of edgekit's."""

import json
import re
from xml.etree import ElementTree

import pytest
from conftest import GOLDEN, ROOT, ask_edgekit
from PIL import Image

from edgekit import android
from edgekit.android.starting import PACKAGE, TEXT, new
from edgekit.errors import ArtifactError, DataError, RequestError

APP = ROOT / "android_demo"
PATH = "{http://schemas.android.com/apk/res/android}name"


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    place = tmp_path_factory.mktemp("new")
    icon = place / "bird.png"
    Image.new("RGB", (600, 300), "red").save(icon)
    return new(place / "birds", APP, "Anna's <birds>", "org.example.birds", icon, [GOLDEN])


def test_nothing_of_the_old_package_is_left_and_everything_is_found_under_the_new_one(birds):
    files = [file for file in birds.rglob("*") if file.suffix in TEXT]
    assert len([file for file in files if file.suffix == ".kt"]) > 30
    for file in files:
        text = file.read_text("utf-8")
        assert PACKAGE not in text, file
        package = re.search(r"^package ([\w.]+)", text, re.MULTILINE)
        if file.suffix == ".kt" and package:
            assert file.parent.as_posix().endswith("/kotlin/" + package[1].replace(".", "/")), file
    build = (birds / "app/build.gradle.kts").read_text("utf-8")
    assert 'namespace = "org.example.birds"' in build
    assert 'applicationId = "org.example.birds"' in build
    manifest = ElementTree.parse(birds / "app/src/main/AndroidManifest.xml")
    for activity in manifest.iter("activity"):
        name = activity.get(PATH).removeprefix(".")
        assert (birds / f"app/src/main/kotlin/org/example/birds/{name}.kt").is_file()


def test_it_holds_what_gradle_builds_and_nothing_of_the_tests(birds):
    included = re.findall(r'":(\w+)"', (birds / "settings.gradle.kts").read_text("utf-8"))
    assert included == ["app", "core"]
    assert all((birds / name / "build.gradle.kts").is_file() for name in included)
    assert (birds / "gradle/libs.versions.toml").read_bytes() == (APP / "gradle/libs.versions.toml").read_bytes()
    assert (birds / "LICENSE").is_file()
    assert not [p for p in birds.rglob("*") if p.name in ("verify", "screenshots", "test")]


def test_its_name_icon_and_models(birds):
    strings = ElementTree.parse(birds / "app/src/main/res/values/strings.xml")
    assert next(s.text for s in strings.iter("string") if s.get("name") == "app_name") == r"Anna\'s <birds>"
    assert 'rootProject.name = "anna-s-birds"' in (birds / "settings.gradle.kts").read_text("utf-8")
    resources = birds / "app/src/main/res"
    assert not (resources / "drawable/ic_launcher_foreground.xml").exists()
    with Image.open(resources / "drawable-xxxhdpi/ic_launcher_foreground.png") as drawn:
        assert drawn.size == (432, 432)
        assert drawn.getbbox() == (84, 150, 348, 282)  # whole, in the middle, where every launcher shows it
    assert "monochrome" not in (resources / "mipmap-anydpi-v26/ic_launcher.xml").read_text("utf-8")
    assert [a.name for a in android.carried(birds)] == [GOLDEN.name]


def test_without_an_icon_edgekits_own_stays(tmp_path):
    made = new(tmp_path / "plain", APP, "Plain", "org.example.plain")
    assert (made / "app/src/main/res/drawable/ic_launcher_foreground.xml").is_file()
    assert android.carried(made) == []


@pytest.mark.parametrize(
    "package", ["birds", "org.example.new", "org..birds", "1.birds", "org.bïrds", PACKAGE, "org.example."]
)
def test_a_package_that_android_does_not_take_is_refused(tmp_path, package):
    with pytest.raises(RequestError, match=r"is no package|own app"):
        new(tmp_path / "birds", APP, "Birds", package)
    assert not any(tmp_path.iterdir())


def test_what_fails_leaves_nothing(tmp_path, copied):
    out, places = tmp_path / "made/birds", (APP, "Birds", "org.example.birds")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match="is no image"):
        new(out, *places, tmp_path / "text.png")
    (copied / "model.tflite").write_bytes(b"half")
    with pytest.raises(ArtifactError):
        new(out, *places, None, [copied])
    with pytest.raises(RequestError, match="is no name"):
        new(out, APP, " ", "org.example.birds")
    with pytest.raises(RequestError, match="is not the Android app"):
        new(out, tmp_path, "Birds", "org.example.birds")
    assert not [p for p in tmp_path.rglob("*") if "birds" in p.name]
    out.mkdir(parents=True)
    (out / "mine.txt").touch()
    with pytest.raises(RequestError, match="is there already"):
        new(out, *places)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]


def test_the_command(tmp_path):
    words = ("--app", APP, "--name", "Birds", "--package", "org.example.birds")
    done = ask_edgekit("android", "new", tmp_path / "birds", GOLDEN, *words, "--json")
    assert json.loads(done.stdout)["folder"] == str(tmp_path / "birds"), done.stderr
    again = ask_edgekit("android", "new", tmp_path / "birds", *words)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
