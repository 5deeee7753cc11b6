"""README and the pages are executed: console blocks, Python, tables and the map are what the code does."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import fashion
import msgspec
import pytest
from conftest import ROOT, paint, run_edgekit

from edgekit import artifact, parity, recipe
from edgekit.data import open_data
from edgekit.devices import cache
from edgekit.errors import EdgekitError
from edgekit.evaluation import evaluate
from edgekit.evaluation.accuracy import drop_verdict
from edgekit.tasks.classification import MINIMUM

pytestmark = pytest.mark.full
README = (ROOT / "README.md").read_text("utf-8")
GRAMMAR = (ROOT / "export_recipes" / "README.md").read_text("utf-8")
DOCS = ROOT / "docs"
FIRST = (
    "bench",
    "devices",
    "gate",
    "accuracy",
    "quickstart",
)  # README's session made what those in front of quickstart take
PAGES = {name: (DOCS / f"{name}.md").read_text("utf-8") for name in FIRST} | {
    path.stem: path.read_text("utf-8") for path in sorted(DOCS.glob("*.md"))
}
# Figures that are the same everywhere, or nearly: what is compared, and how far it may be off. Times are not.
SAME = (
    (r"model\.tflite +([\d.]+) MB", 0.2),
    (r"SQNR ([\d.]+) dB", 3),  # of 32 images: an integer more or less in some biases moves it by 0.6
    (r"agreement ([\d.]+)%", 10),
    (r"  ([\d.]+)% \[", 10),
    (r"MB +([\d.]+) M ", 2),
    (r"([\d.]+) times smaller", 0.2),
)
SAMPLE = "edgekit/models/bundled/sample.png"


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def session(block):
    """A console block as pairs of a command and the lines it answers."""
    first, *rest = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not first, "a console block starts with `$ command`"
    return [(command.partition("\n")[0], command.partition("\n")[2].splitlines()) for command in rest]


def expected(shown):
    """The exit code that goes with what is shown."""
    if shown and shown[-1].startswith("fail:"):
        return 1
    return 2 if any(line.startswith("error:") for line in shown) else 0


def wording(lines):
    """Lines without what differs between machines and versions: numbers, column widths, speed, the runners-up."""
    said, named, labels = [], False, False
    for line in lines:
        if "gains nothing from" in line:  # only said on some CPUs
            continue
        labels = "worst labels" in line or (labels and line.startswith("  "))
        if labels and "worst labels" not in line:  # which ones, and how many, is chance
            continue
        line = re.sub(r"^(  epoch .*?)( +best)?$", r"\1", line)
        text = re.sub(r"\b(x86-vnni|x86|arm-dotprod|arm)$", "CPU", line.rstrip())
        text = re.sub(r"((?<!\w)-)?\d[\d.,]*(e[+-]?\d+)?", "#", text)
        text = re.sub(r"\s+", " ", text).strip()
        if "times faster than" in text or "take the same time" in text:
            text = "which one is faster"
        if re.match(r"#% ", text):
            text = "#% another class" if named else text
            named = True
        else:
            named = False
        if text:
            said.append(text)
    return said


def differs(lines, shown):
    """Figures that lie too far apart, in lines of the same words."""
    now, then = "\n".join(lines), "\n".join(shown)
    return [
        (pattern, is_, was)
        for pattern, limit in SAME
        for is_, was in zip(re.findall(pattern, now), re.findall(pattern, then), strict=True)
        if abs(float(is_) - float(was)) > limit
    ]


CONSOLE = [(name, block) for name, text in ({"README": README} | PAGES).items() for block in blocks("console", text)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """An empty folder with the README's image, the public images, the app and photos of three colours at the pages' paths."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / SAMPLE).parent.mkdir(parents=True)
    shutil.copy(ROOT / SAMPLE, folder / SAMPLE)
    for name in (".cache", "android_demo"):
        (folder / name).symlink_to(ROOT / name)
    paint(folder / "photos", 40)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for _, b in CONSOLE], ids=[f"{n}: {b.partition(chr(10))[0]}" for n, b in CONSOLE])
def test_a_console_block_does_what_it_shows(block, desk, installed, tmp_path):
    """As installed from a wheel, outside the checkout, and with a HOME that stays empty."""
    env = os.environ | {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "EDGEKIT_CACHE": str(ROOT / ".cache" / "devices")}
    for command, shown in session(block):
        program, *arguments = shlex.split(command)
        assert program == "edgekit" or (program, arguments[0]) == ("python", "-c"), f"the test cannot run: {command}"
        words = [installed.with_name(program), *arguments]
        done = subprocess.run(words, cwd=desk, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == expected(shown), f"{command}\n{done.stdout}{done.stderr}"
        # talk comes first: it goes to stderr while the work is done, the result to stdout at its end
        said = (done.stderr + done.stdout).splitlines()
        assert wording(said) == wording(shown), command
        assert not differs(said, shown), command
        assert list(tmp_path.rglob("*")) == [], command


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python"), ids=["from Python"])
def test_the_python_block_runs(block, desk):
    done = subprocess.run([sys.executable, "-c", block], cwd=desk, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "model.tflite" in done.stdout
    assert "Ankle boot" in done.stdout


@pytest.mark.slow
def test_the_sessions_int8_file_keeps_its_accuracy(desk):
    """On all 10,000 test images, whose answers the session kept. Runs after the blocks, on their files."""
    int8, fp32 = (artifact.load(desk / "build" / f"mobilenetv2-tflite-{scheme}") for scheme in ("int8", "fp32"))
    assert int8.model_bytes <= 0.32 * fp32.model_bytes
    said = []
    data = open_data(fashion.DATA, int8.labels())
    found = evaluate([int8, fp32], data, state=desk / "build" / "eval", say=said.append)
    assert any(line.startswith("resumed: 10,000 answers") for line in said), said
    assert found.accuracies[1].top1.of == 10_000
    assert found.accuracies[1].top1.value >= 0.89
    assert found.paired.drop.estimate <= 0.005
    assert drop_verdict(found.paired, 0.01) == "pass"
    assert found.suspicion is None


@pytest.mark.slow
def test_the_sessions_file_passes_its_gate(desk):
    """What can be counted blocks; the file against itself must not be slower. Runs after the blocks, on their files."""
    made = desk / "build" / "mobilenetv2-tflite-int8"
    budgets = ("--budgets", ROOT / "benchmarks" / "gate.toml", "--json")
    stored = run_edgekit(
        "gate", made, "--baseline", ROOT / "benchmarks/baselines/mobilenetv2-tflite-int8.json", *budgets
    )
    assert stored.returncode == 0, stored.stdout + stored.stderr
    outcomes = {check["metric"]: check["outcome"] for check in json.loads(stored.stdout)["checks"]}
    assert outcomes | dict.fromkeys(("contract", "size", "operators", "proof", "answers"), "pass") == outcomes
    itself = run_edgekit("gate", made, "--baseline", made, *budgets)
    assert itself.returncode == 0, itself.stdout + itself.stderr


@pytest.mark.slow
@pytest.mark.skipif(cache.part("arm64") is None, reason="edgekit doctor --setup arm64")
def test_the_sessions_file_takes_no_more_instructions_on_arm(desk):
    """Counts that were committed block on every machine: they depend on neither the machine nor the weights."""
    made = desk / "build" / "mobilenetv2-tflite-int8"
    numbers = ROOT / "benchmarks/baselines/mobilenetv2-tflite-int8.json"
    done = run_edgekit("gate", made, "--baseline", numbers, "--on", "arm64:cortex-a76", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = {check["metric"]: check["outcome"] for check in json.loads(done.stdout)["checks"]}
    assert outcomes | {"instructions": "pass", "answers": "pass"} == outcomes


def test_there_is_something_to_run():
    assert [c.split()[1] for c, _ in session(blocks("console")[0])] == [
        "export",
        "export",
        "predict",
        "verify",
        "bench",
    ]


def test_every_path_of_the_map_exists():
    table = PAGES["design"]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    paths = [path for cell in cells for path in re.findall(r"`([^`]+)`", cell)]
    assert len(paths) > 20
    assert [p for p in paths if not (ROOT / p).exists()] == []
    rooms = {p.name for p in (ROOT / "edgekit").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert rooms - {"__init__.py"} - {path.removeprefix("edgekit/").rstrip("/") for path in paths} == set()


def test_every_link_leads_somewhere():
    pages = [(README, ROOT), (GRAMMAR, ROOT / "export_recipes"), *((text, DOCS) for text in PAGES.values())]
    for text, home in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert target.startswith("https://") or (home / target).exists(), target


def test_readme_is_a_page():
    assert len(README.encode()) <= 9000


def test_the_limits_of_the_proof_are_the_ones_in_force():
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) dB \| (\d+) % \| ([\d.]+) % \|$", PAGES["proof"], re.MULTILINE)
    said = {s: (float(sqnr), float(same) / 100, float(stray) / 100) for s, sqnr, same, stray in rows}
    limits = {s: (x.min_sqnr_db, MINIMUM[s], x.tolerance) for s, x in parity.LIMITS.items()}
    assert said == {s: pytest.approx(limit) for s, limit in limits.items()}


def test_the_exit_codes_are_the_ones_in_use():
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGES["command-line"], re.MULTILINE)}
    kinds = [EdgekitError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert {k.exit_code for k in kinds} < said == {0, 1, 2, 3, 4, 5, 130, 141}


def test_the_grammar_of_recipes_names_every_field_and_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", GRAMMAR, re.MULTILINE))
    for struct in (recipe.Recipe, recipe.Quantize):
        for field in msgspec.structs.fields(struct):
            said = rows.pop(field.name)
            if field.required:
                assert said == "required"
            elif field.name != "quantize":
                default = list(field.default) if isinstance(field.default, tuple) else field.default
                expected = "none" if default is None else f"`{msgspec.json.encode(default).decode()}`"
                assert said == expected, field.name
    assert not rows


def test_the_examples_of_the_grammar_are_recipes(tmp_path):
    for i, text in enumerate(blocks("toml", GRAMMAR)):
        path = tmp_path / f"{i}.toml"
        path.write_text(text, "utf-8")
        assert recipe.load(path).target == "tflite"
