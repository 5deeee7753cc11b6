"""Two lanes: `full` tests need the making half; without torch their files are not even collected. The others run without
torch alone, but for those of `both`, which mean something else where it is."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings
from PIL import Image

import edgekit  # noqa: F401  before what reports its import

HERE = Path(__file__).parent
ROOT = HERE.parent
GOLDEN_FILES = HERE / "golden"
GOLDEN = GOLDEN_FILES / "tiny-tflite-int8"
SECONDS = pytest.StashKey[list[tuple[float, str]]]()

collect_ignore = (
    []
    if importlib.util.find_spec("torch")
    else [p.name for p in HERE.glob("test_*.py") if "pytestmark" in p.read_text("utf-8")]
)


def pytest_collection_modifyitems(items):
    """Files with tests of minutes first: two processes end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


# a busy machine is no fault of a test
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption("--cpu", type=int, metavar="N", help="the N costliest tests in CPU seconds; not with -n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """CPU seconds of this process and of those that it started, its fixtures' included: a busy machine changes them little."""
    before = os.times()[:4]
    done = yield
    spent = sum(os.times()[:4]) - sum(before)
    item.config.stash.setdefault(SECONDS, []).append((spent, item.nodeid))
    return done


def pytest_terminal_summary(terminalreporter, config):
    if wanted := config.getoption("--cpu"):
        spent = config.stash.get(SECONDS, [])
        terminalreporter.section(f"CPU seconds: {sum(seconds for seconds, _ in spent):.0f} in all")
        for seconds, name in sorted(spent, reverse=True)[:wanted]:
            terminalreporter.line(f"{seconds:7.1f}  {name}")


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


def ask_edgekit(*arguments, cwd="."):
    """The command in this process, which has imported already what it needs. Told as `run_edgekit` does, which is for
    what a process of its own is the point of: noise of libraries, signals, imports, an environment."""
    from edgekit.cli import main

    with contextlib.chdir(cwd):
        done = CliRunner().invoke(main, [str(word) for word in arguments])
    if not isinstance(done.exception, SystemExit | None):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def start(command, **options):
    """A process that Ctrl-C stops, also where the tests run in the background of a shell, which ignores it for all it
    starts."""

    def default():
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [str(word) for word in command], preexec_fn=default, text=True, stderr=subprocess.PIPE, **options
    )


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """`once(name, fill)`: a folder that `fill(folder)` fills for the whole session, whichever test process asks first."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def filled(name, fill):
        folder = shared / "once" / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not (folder / ".ready").exists():
                fill(folder)
                (folder / ".ready").touch()
        return folder

    return filled


@pytest.fixture(scope="session")
def wheel(once):
    """edgekit's wheel, built from its source distribution as PyPI's users would."""

    def build(folder):
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t"]
        subprocess.run([*command, "sdist"], cwd=ROOT, check=True, capture_output=True)
        source = next(folder.glob("*.tar.gz"))
        shutil.unpack_archive(source, folder, filter="data")
        inside = folder / source.name.removesuffix(".tar.gz")
        subprocess.run([*command, "wheel"], cwd=inside, check=True, capture_output=True)

    return next(once("wheel", build).glob("*.whl"))


@pytest.fixture(scope="session")
def installed(once, wheel):
    """The command `edgekit` of that wheel, in an environment that sees this one's packages and not the checkout."""

    def install(folder):
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python"]
        subprocess.run([*pip, folder / "bin" / "python", "install", "--no-deps", "--no-index", wheel], check=True)
        site = next(folder.glob("lib/python*/site-packages"))
        site.joinpath("others.pth").write_text(
            sysconfig.get_path("purelib"), "utf-8"
        )  # its own .pth files are not read

    return once("installed", install) / "bin" / "edgekit"


@pytest.fixture(scope="session")
def golden_artifact():
    """A committed artifact, schema 1: every later edgekit must open it."""
    return GOLDEN


@pytest.fixture
def refused(tmp_path):
    """An artifact that its proof refused, as export keeps it."""
    from msgspec.structs import replace

    from edgekit.manifest import read_manifest, save_manifest

    folder = shutil.copytree(GOLDEN, tmp_path / "tiny.rejected")
    manifest = read_manifest(folder)
    save_manifest(folder, replace(manifest, proof=replace(manifest.proof, passed=False)))
    return folder


@pytest.fixture
def copied(tmp_path):
    """A copy of the committed artifact that a test may damage."""
    import shutil

    return Path(shutil.copytree(GOLDEN, tmp_path / "copy"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of 40 smooth colour images in two class folders."""
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
def exported(once, pictures):
    """`exported("int8-static")`: the tiny network in a scheme, made once a session by the real pipeline."""
    from edgekit import artifact
    from edgekit.pipeline import export
    from edgekit.recipe import Quantize, Recipe

    made = {}

    def make(scheme, *, model="py:nets:tiny", target="tflite", quantize=None, **options):
        key = repr((scheme, model, target, quantize, sorted(options.items())))
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
            folder = once(
                sha256(key.encode()).hexdigest()[:16], lambda folder: export(recipe, folder / recipe.folder_name)
            )
            made[key] = artifact.load(folder / recipe.folder_name)
        return made[key]

    return make


def fused_by_the_runtime(file, tmp_path):
    """The graph that ONNX Runtime makes of a file, or of its bytes, with integer kernels where it has them; written down."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return tmp_path / "fused.onnx"


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
    """Class folders of three colours: 12 + 5 + 5 images of each to learn from, to select on, to report on."""
    folder = tmp_path_factory.mktemp("photos")
    for i, (split, count) in enumerate((("train", 12), ("val", 5), ("test", 5))):
        paint(folder / split, count, seed=i)
    return folder
