"""Two lanes: `full` tests need the making half; without torch their files are not even collected. The others run without
torch alone, but for those of `both`, which mean something else where it is."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgekit  # noqa: F401  before what reports its import

HERE = Path(__file__).parent
ROOT = HERE.parent
GOLDEN_FILES = HERE / "golden"
GOLDEN = GOLDEN_FILES / "tiny-tflite-int8"

collect_ignore = (
    []
    if importlib.util.find_spec("torch")
    else [p.name for p in HERE.glob("test_*.py") if "pytestmark" in p.read_text("utf-8")]
)


def pytest_collection_modifyitems(items):
    """Files with tests of minutes first: two processes end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_sessionfinish(session, exitstatus):
    """In CI a skipped test is a failed one: something that should be installed is not."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def run_edgekit(*arguments, cwd=None, env=None, python=sys.executable, timeout=600):
    """The command as a user runs it, in a process of its own."""
    return subprocess.run(
        [python, "-c", "from edgekit.cli import main; main()", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(HERE), "HF_HUB_OFFLINE": "1"} | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def start(command, **options):
    """A process that Ctrl-C stops, also where the tests run in the background of a shell, which ignores it for all it
    starts."""

    def default():
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [str(word) for word in command], preexec_fn=default, text=True, stderr=subprocess.PIPE, **options
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """edgekit's wheel, built from its source distribution as PyPI's users would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True)
    source = next(folder.glob("*.tar.gz"))
    shutil.unpack_archive(source, folder, filter="data")
    subprocess.run([*build, "wheel"], cwd=folder / source.name.removesuffix(".tar.gz"), check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory, wheel):
    """The command `edgekit` of that wheel, in an environment that sees this one's packages and not the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    python, pip = folder / "bin" / "python", [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    site.joinpath("others.pth").write_text(sysconfig.get_path("purelib"), "utf-8")  # its own .pth files are not read
    return folder / "bin" / "edgekit"


@pytest.fixture(scope="session")
def golden_artifact():
    """A committed artifact, schema 1: every later edgekit must open it."""
    return GOLDEN


@pytest.fixture
def copied(tmp_path):
    """A copy of the committed artifact that a test may damage."""
    import shutil

    return Path(shutil.copytree(GOLDEN, tmp_path / "copy"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of 40 smooth colour pictures in two class folders."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for i in range(40):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        path = folder / f"class{i % 2}" / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        small.resize((80, 60), Image.Resampling.BICUBIC).save(path)
    return folder


TINY = ("py:nets:tiny", "--input-size", "32", "--mean", "0.5", "--std", "0.25")


@pytest.fixture(scope="session")
def exported(tmp_path_factory, pictures):
    """`exported("int8-static")`: the tiny network in a scheme, made once a session by the real pipeline."""
    from edgekit.pipeline import export
    from edgekit.recipe import Quantize, Recipe

    made = {}

    def make(scheme, *, model="py:nets:tiny", target="tflite", quantize=None, **options):
        key = (scheme, model, target, str(quantize), *sorted(options.items()))
        if key not in made:
            recipe = Recipe(
                model=model,
                target=target,
                quantize=Quantize(scheme=scheme, **quantize or {}),
                calibration=str(pictures),
                input_size=(32, 32),
                mean=(0.5, 0.5, 0.5),
                std=(0.25, 0.25, 0.25),
                **options,
            )
            made[key] = export(recipe, tmp_path_factory.mktemp("made") / recipe.folder_name)
        return made[key]

    return make


COLOURS = {"blue": (60, 60, 200), "green": (60, 200, 60), "red": (200, 60, 60)}


def paint(folder, count, classes=COLOURS, seed=0):
    rng = np.random.default_rng(seed)
    for name, colour in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.normal(colour, 50, (5, 6, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).resize((36, 30), Image.Resampling.BICUBIC).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Class folders of three colours: 12 + 5 + 5 pictures of each to learn from, to select on, to report on."""
    folder = tmp_path_factory.mktemp("photos")
    for i, (split, count) in enumerate((("train", 12), ("val", 5), ("test", 5))):
        paint(folder / split, count, seed=i)
    return folder
