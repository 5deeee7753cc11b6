"""An app of one's own, begun as a copy of edgekit's: its name, package, icon and models."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image

from edgekit import android, publishing
from edgekit.errors import DataError, RequestError, reason

PACKAGE = "dev.edgekit.demo"
# What is copied; the tests, the build without Gradle and the models stay.
COPIED = (
    *("settings.gradle.kts", "build.gradle.kts", "gradle.properties", "gradle"),
    *("core/build.gradle.kts", "core/src/main", "app/build.gradle.kts", "app/rules.pro", "app/src"),
)
TEXT = (".kt", ".kts", ".xml", ".pro")
IGNORED = ".gradle/\nbuild/\nlocal.properties\n*.iml\n.idea/\n"
NAMES = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*(\.[a-zA-Z][a-zA-Z0-9_]*)+", re.ASCII)
RESERVED = """
    abstract as assert boolean break byte case catch char class const continue default do double else enum extends false final
    finally float for fun goto if implements import in instanceof int interface is long native new null object package private
    protected public return short static super switch synchronized this throw throws transient true try typealias typeof val
    var void volatile when while
"""
KEYWORDS = frozenset(RESERVED.split())  # Java's and Kotlin's
# Adaptive icons are 108 units wide, of which a launcher shows no less than a circle of 66.
ICON, SAFE = 432, 264


def new(
    out: Path, app: Path, name: str, package: str, icon: Path | None = None, artifacts: Sequence[Path] = ()
) -> Path:
    """Copy the app to a new folder. `app`: edgekit's, the folder of settings.gradle.kts (android_demo). `icon`: an image,
    best a square one. All of it or nothing.

    Raises RequestError for a package or name that Android does not take, and where something is in `out`; DataError for an
    image that cannot be read; what `android.add` raises for an artifact; OutputError.
    """
    _check(out, name, package)
    android.check_app(app)
    with publishing.staging(out) as stage:
        for part in COPIED:
            _copy(app / part, stage / part)
        _rename(stage, package)
        _name(stage, name)
        (stage / ".gitignore").write_text(IGNORED, "utf-8")
        licence = app.parent / "LICENSE"
        if licence.is_file():
            shutil.copyfile(licence, stage / "LICENSE")
        if icon:
            _draw(icon, stage / "app/src/main/res")
        for folder in artifacts:
            android.add(folder, stage)
    return out


def _check(out: Path, name: str, package: str) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} is there already", hint="a folder that does not exist yet")
    wrong = None
    if not NAMES.fullmatch(package):
        wrong = "is no package: two words or more, of letters and digits, with dots between"
    elif keywords := [word for word in package.split(".") if word in KEYWORDS]:
        wrong = f"is no package: '{keywords[0]}' is a keyword of Java's or Kotlin's"
    elif package.startswith(PACKAGE):
        wrong = "is the package of edgekit's own app"
    if wrong:
        raise RequestError(f"'{package}' {wrong}", hint="--package org.example.cameras")
    if not name.strip() or not name.isprintable():
        raise RequestError(f"'{name}' is no name for an app", hint='--name "Bird finder"')


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("assets", "build", "target"))
    else:
        shutil.copyfile(source, target)


def _rename(stage: Path, package: str) -> None:
    """Everywhere; Kotlin's files lie in folders of their package's name."""
    for file in [f for f in stage.rglob("*") if f.suffix in TEXT]:
        text = file.read_text("utf-8")
        if PACKAGE in text:
            file.write_text(text.replace(PACKAGE, package), "utf-8")
    for root in sorted(stage.glob("app/src/*/kotlin")):
        held = root / "renamed"
        (root / PACKAGE.replace(".", "/")).rename(held)
        shutil.rmtree(root / "dev")
        place = root / package.replace(".", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        held.rename(place)


def _name(stage: Path, name: str) -> None:
    strings = stage / "app/src/main/res/values/strings.xml"
    said = re.sub(r"(['\"\\])", r"\\\1", escape(name))
    said = f"\\{said}" if said.startswith(("@", "?")) else said
    line = '<string name="app_name">'
    text = strings.read_text("utf-8")
    before, _, rest = text.partition(line)
    strings.write_text(f"{before}{line}{said}{rest[rest.index('</string>') :]}", "utf-8")
    settings = stage / "settings.gradle.kts"
    project = re.sub(r"[^\w.-]+", "-", name.lower(), flags=re.ASCII).strip("-.") or "app"
    settings.write_text(settings.read_text("utf-8").replace("edgekit-demo", project), "utf-8")


def _draw(icon: Path, resources: Path) -> None:
    """The image in the middle of an adaptive icon, on the accent colour."""
    if not icon.exists():
        raise DataError(f"{icon} does not exist", hint="--icon with an image, best a square PNG")
    try:
        with Image.open(icon) as opened:
            picture = opened.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{icon} is no image that can be read: {reason(error)}", hint="a PNG, best a square one"
        ) from None
    picture.thumbnail((SAFE, SAFE), Image.Resampling.LANCZOS)
    drawn = Image.new("RGBA", (ICON, ICON))
    drawn.paste(picture, ((ICON - picture.width) // 2, (ICON - picture.height) // 2))
    (resources / "drawable/ic_launcher_foreground.xml").unlink()
    (resources / "drawable-xxxhdpi").mkdir()
    drawn.save(resources / "drawable-xxxhdpi/ic_launcher_foreground.png")
    # a photograph has no outline to be coloured by: the launcher's themed icons take the image as it is
    launcher = resources / "mipmap-anydpi-v26/ic_launcher.xml"
    lines = launcher.read_text("utf-8").splitlines(keepends=True)
    launcher.write_text("".join(line for line in lines if "<monochrome" not in line), "utf-8")
