"""The verbs in Python without torch: what they answer, and every mistake as an EdgekitError in the words of Python."""

import ast
import copy
import gc
import inspect
import io
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from conftest import GOLDEN, GOLDEN_FILES, ROOT, ask_edgekit
from PIL import Image

import edgekit
from edgekit.cli import main
from edgekit.errors import DataError, EdgekitError, RecipeError, RequestError
from edgekit.gating import Limits
from edgekit.recipe import Quantize, Recipe
from edgekit.verbs import exporting, judging, words
from edgekit.verbs.asked import plain

VERBS = ("load", "export", "train", "prune", "verify", "compare", "bench", "benchmark", "evaluate", "gate", "report")


@pytest.fixture(scope="module")
def model():
    with edgekit.load(str(GOLDEN)) as opened:
        yield opened


@pytest.fixture(scope="module")
def picture(model):
    return model.golden().images[0]


def test_the_public_names_are_listed_and_paths_may_be_strings(model):
    assert set(VERBS) <= set(edgekit.__all__) <= set(dir(edgekit))
    assert model.labels() == edgekit.load(GOLDEN).labels()
    assert edgekit.verify(str(GOLDEN)).passed
    assert edgekit.verify(model).passed


def test_verbs_stay_verbs_when_the_rooms_below_are_imported():
    code = "import edgekit, edgekit.benchmarking.harness, edgekit.gating, edgekit.reporting\n"
    code += f"assert all(callable(getattr(edgekit, name)) for name in {VERBS}), 'a room took the name of a verb'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_argument_is_in_a_verbs_signature_and_what_it_means_in_its_docstring():
    for name in VERBS:
        verb = getattr(edgekit, name)
        taken = inspect.signature(verb).parameters
        assert not any(p.kind is p.VAR_KEYWORD for p in taken.values()), name
        assert "Raises" in verb.__doc__, name
    assert {"calibration", "int8", "rounding"} <= set(inspect.signature(edgekit.export).parameters)


# What a shell needs and Python has in another way: the same for every command, then command by command.
FOR_A_SHELL = {"quiet", "verbose", "as_json", "debug"}
OTHERWISE = {
    "export": {"recipe_file": "model=Recipe, or a path", "dry_run": "the command's", "print_recipe": "the command's",
               "strict": "exit codes", "for_cpu": "what is said beside an export"},
    "predict": {"top": "answers[:5]", "gallery": "Vector.similarity", "draw": "Boxes.draw, Mask.draw", "mask": "Mask.image",
                "output": "values", "csv_file": "the answers themselves"},
    "bench": {"profile": "the command's: a table by operator", "as_csv": "the rows themselves", "no_save": "save=None"},
    "eval": {"csv_file": "accuracies[0].confusion.csv()", "contact_sheet": "paired.flips, apart", "no_save": "save=None",
             "max_drop": "change.verdict(...)"},
    "gate": {"strict": "outcome", "update": "the command's", "source": "of --update", "no_times": "of --update",
             "markdown": "files of a CI", "junit": "files of a CI", "bmf": "files of a CI", "benchmark_action": "files of a CI"},
    "verify": {"against": "compare([a, b])", "data": "compare(data=...)"},
}  # fmt: skip
# An option's keyword where it is called otherwise.
CALLED = {
    "targets": "target",
    "schemes": "scheme",
    "device": "on",
    "devices": "on",
    ("bench", "output"): "save",
    ("eval", "output"): "save",
}
WITHOUT_A_VERB = {
    "sweep",
    "history",
    "inspect",
    "reproduce",
    "bundle",
    "sign",
    "hub",
    "android",
    "list",
    "doctor",
    "completion",
}


def test_every_option_of_a_command_is_a_keyword_of_its_verb():
    verbs = {name: getattr(edgekit, {"eval": "evaluate"}.get(name, name), None) for name in main.list_commands(None)}
    verbs["predict"] = edgekit.Artifact.predict
    for name in set(verbs) - WITHOUT_A_VERB:
        taken = set(inspect.signature(verbs[name]).parameters)
        options = {p.name for p in main.get_command(None, name).params if isinstance(p, click.Option)} - FOR_A_SHELL
        otherwise = set(OTHERWISE.get(name, ()))
        assert otherwise <= options, name
        wanted = {CALLED.get((name, o)) or CALLED.get(o) or words.NAMES.get(o, o) for o in options - otherwise}
        assert wanted <= taken, name


def test_several_images_are_answered_at_once_where_a_batch_is_wished(pictures):
    model = edgekit.load(GOLDEN)
    few = sorted(pictures.rglob("*.png"))[:3]
    with pytest.raises(EdgekitError, match="batch"):
        model.predict(few, batch=2)
    assert [a.label for a in model.predict(few, batch=1)] == [a.label for a in model.predict(few)]


@pytest.mark.parametrize(
    ("wishes", "structs", "apart"),
    [
        (exporting.Wishes, (Recipe, Quantize), {"schema", "model", "target", "scheme"}),
        (judging.Limited, (Limits,), set()),
    ],
    ids=["export", "gate"],
)
def test_keywords_are_the_fields_of_what_they_fill(wishes, structs, apart):
    assert set(wishes.__annotations__) == {f for s in structs for f in s.__struct_fields__} - apart


# --- predict


def test_one_image_in_four_shapes_gives_one_answer(model, picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = [
        model.predict(str(tmp_path / "a.png")),
        model.predict(tmp_path / "a.png"),
        model.predict(Image.fromarray(picture)),
        *model.predict([picture, tmp_path / "a.png"]),
    ]
    assert len({(p.label, p.score) for p in found}) == 1
    assert [p.source for p in found[1:4]] == [tmp_path / "a.png", None, None]
    command = ask_edgekit("predict", GOLDEN, tmp_path / "a.png", "-k", "1").stdout
    assert found[0].label in command
    assert f"{found[0].score:.1%}" in command


def test_grey_transparent_and_turned_images_are_taken_as_files_of_them_are(model, picture, tmp_path):
    grey = Image.fromarray(picture).convert("L")
    clear = Image.fromarray(picture).convert("RGBA")
    clear.putalpha(90)
    turned, exif = Image.fromarray(picture), Image.Exif()
    exif[0x0112] = 6
    for number, made in enumerate((grey, clear, turned)):
        file = tmp_path / f"{number}.png"
        made.save(file, exif=exif if made is turned else None)
        with Image.open(file) as opened:
            before = opened.size
            assert np.array_equal(model.predict(opened).found.probabilities, model.predict(file).found.probabilities)
            assert opened.size == before, "a caller's image stays as it is"
    same = model.predict([np.asarray(grey), np.asarray(grey)[..., None], np.asarray(clear)])
    assert [p.score for p in same[:2]] == [model.predict(grey).score] * 2
    assert same[2].score == model.predict(clear).score


@pytest.mark.parametrize(
    ("folder", "kind", "says"),
    [
        ("tiny3-tflite-int8", edgekit.Classes, r"Classes\(class \d [\d.]+%, .*, \.\.\.\)"),
        ("tiny3-detection-tflite-fp32", edgekit.Boxes, r"Boxes\(\d+ (red|blue).*\)"),
        ("tiny3-segmentation-tflite-int8", edgekit.Mask, r"Mask\(48x32: \w+ [\d.]+%.*\)"),
        ("embedder-tflite-int8", edgekit.Vector, r"Vector\(16 numbers: .* \.\.\.\)"),
        ("depth-onnx-fp32", edgekit.Tensors, r"Tensors\(depth 16x16, sure 6\)"),
    ],
)
def test_every_task_has_an_answer_of_its_own_in_one_line(folder, kind, says, tmp_path):
    with edgekit.load(GOLDEN_FILES / folder) as opened:
        picture = opened.golden().images[0]
        found = opened.predict(picture)
        assert isinstance(found, kind)
        assert re.fullmatch(says, repr(found)), repr(found)
        assert re.fullmatch(r"Artifact\('.*': .*, \w+ (task|[\w-]+), .* MB\)", repr(opened)), repr(opened)
        if isinstance(found, edgekit.Classes):
            assert (found[0].label, found[0].score) == (found.label, found.score)
            assert len(found) == len(opened.labels()) == len({label.index for label in found})
            assert sum(label.score for label in found) == pytest.approx(1)
        elif isinstance(found, edgekit.Boxes):
            assert all(found[i].score >= found[i + 1].score for i in range(len(found) - 1))
            assert all(box.label in opened.labels() and box.box[0] <= box.box[2] <= picture.shape[1] for box in found)
            surest = opened.predict(picture, threshold=found[0].score - 1e-4)
            assert 1 <= len(surest) <= len(found)
            assert found.draw(tmp_path / "a.png").size == (picture.shape[1], picture.shape[0])
        elif isinstance(found, edgekit.Mask):
            assert found.labels.shape == picture.shape[:2]
            assert sum(found.shares.values()) == pytest.approx(1)
            drawn = found.draw(str(tmp_path / "a.png"))
            assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(drawn))
            assert np.array_equal(np.asarray(found.image()), found.labels)
            with pytest.raises(RequestError, match=r"does not end in \.png"):
                found.draw(tmp_path / "a.jpg")
        elif isinstance(found, edgekit.Vector):
            assert found.similarity(opened.predict(picture)) == pytest.approx(1, abs=1e-6)
            with pytest.raises(RequestError, match="no vector of 16"):
                found.similarity(3)
        else:
            assert {name: value.shape for name, value in found.values.items()} == {"depth": (16, 16), "sure": (6,)}


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        (3, RequestError, "int 3 is no image"),
        (b"a.jpg", RequestError, "bytes b'a.jpg' is no image"),
        ([[1, 2]], RequestError, "list .* is no image"),
        ("nowhere.jpg", DataError, "there is no image nowhere.jpg"),
        (ROOT / "export_recipes", DataError, "no images in .*export_recipes"),
        (np.zeros((4, 4, 3)), DataError, r"float64 \[4, 4, 3\] is no image.*255 \* x"),
        (np.full((4, 4, 3), 200.0, np.float32), DataError, r"float32.*x\.astype\('uint8'\)"),
        (np.full((4, 4), 65535, np.uint16), DataError, r"\(\(x >> 8\)\.astype\('uint8'\)\)$"),
        (np.full((4, 4), 255, np.uint16), DataError, r"\(x\.astype\('uint8'\)"),
        (np.ones((4, 4), bool), DataError, r"\(\(x \* 255\)\.astype\('uint8'\)\)$"),
        (np.full((4, 4), np.nan), DataError, "none of them missing"),
        ("", DataError, "an empty name is no image"),
        ([""], DataError, "an empty name is no image"),
        (io.BytesIO(b"GIF"), DataError, "^the image: not an image$"),
        (io.StringIO("GIF"), RequestError, r"is open as text \(open\(file, 'rb'\)\)$"),
        (np.zeros((3, 9, 9), np.uint8), DataError, r"channels first .*transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), DataError, r"several images \(list\(x\)\)"),
        (np.zeros((4, 4, 2), np.uint8), DataError, r"uint8 \[4, 4, 2\] is no image"),
        (np.zeros((0, 4, 3), np.uint8), DataError, "is no image"),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_what_is_no_image_is_said_with_what_to_write(model, said, kind, says):
    with pytest.raises(kind, match=says) as caught:
        model.predict(said)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_open_is_an_image(model, picture, tmp_path):
    Image.fromarray(picture).save(file := tmp_path / "a.png")
    asked = model.predict(file).found.probabilities
    with file.open("rb") as opened:
        for said in (opened, io.BytesIO(file.read_bytes())):
            assert np.array_equal(model.predict(said).found.probabilities, asked)
            assert len(model.predict([said, picture])) == 2


def test_what_cannot_be_read_is_an_error_or_left_out(model, picture, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.jpg: not an image"):
        model.predict([picture, tmp_path / "bad.jpg"])
    assert len(model.predict([picture, tmp_path / "bad.jpg", picture], unreadable="skip")) == 2
    assert model.predict([]) == []


def test_one_process_answers_until_it_is_closed_or_nobody_holds_the_artifact(picture):
    opened = edgekit.load(GOLDEN)

    def process(of):
        of.predict(picture)
        return of.session.opened.answer.__self__.process

    first = process(opened)
    assert process(opened) is first
    first.kill()
    first.wait()
    with pytest.raises(EdgekitError):
        opened.predict(picture)
    second = process(opened)  # the one that died is not asked again
    assert second is not first
    opened.close()
    assert second.poll() is not None
    third = process(opened)
    del opened
    gc.collect()
    assert third.poll() is not None


def test_an_artifact_is_a_path_and_can_be_copied_and_pickled(model, picture):
    assert os.fspath(model) == str(GOLDEN)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        assert other == model
        assert other.session is not model.session


# --- verbs


def test_files_are_timed_gated_and_reported(model, tmp_path):
    done, saved = [], tmp_path / "runs.jsonl"
    timed = edgekit.bench(
        [model, GOLDEN_FILES / "tiny-onnx-int8"],
        runs=2,
        launches=1,
        warmup=0,
        save=saved,
        progress=lambda now, of: done.append((now, of)),
    )
    assert [row.name for row in timed] == ["tiny-tflite-int8", "tiny-onnx-int8"]
    assert done[-1] == (2, 2)
    assert re.fullmatch(r"Bench\(Row\(tiny-tflite-int8: [\d.]+ ms CPU, 0\.01 MB\), Row\(.*\)\)", repr(timed))
    made = edgekit.report(str(saved), out=str(tmp_path / "a.html"), title="Two")
    assert repr(made) == "Report('Two': 2 runs, 1 machine)"
    assert "<title>Two</title>" in (tmp_path / "a.html").read_text("utf-8")
    (match,) = edgekit.compare([model, str(GOLDEN)])
    assert (match.max_abs, repr(match).count("equal")) == (0, 1)
    verdict = edgekit.gate(model, str(GOLDEN), budget=0.1, max_slowdown=1000, max_load=1000, max_memory=1000)
    assert {check.metric: check.outcome for check in verdict.checks}["contract"] == "pass"
    assert repr(verdict).startswith(f"Verdict({verdict.outcome}: ")


def test_figures_are_those_of_the_command(model, pictures, tmp_path):
    lines = []
    names = tmp_path / "labels.csv"
    files = sorted(pictures.rglob("*.png"))
    names.write_text("".join(f"{f.relative_to(pictures)},class {i % 5}\n" for i, f in enumerate(files)))
    found = edgekit.evaluate(model, pictures, labels=names, state=tmp_path / "state", limit=20, say=lines.append)
    assert found.pictures == 20
    assert repr(found).startswith("Evaluation(tiny-tflite-int8 top-1 ")
    again = edgekit.evaluate(
        model, str(pictures), labels=str(names), state=tmp_path / "state", limit=20, say=lines.append
    )
    assert again.results == found.results
    assert any("20 answers are in" in line and "(fresh=True starts over)" in line for line in lines)


WRONG = [
    ("load", ("tests",), {}, "is not an artifact"),
    ("load", (GOLDEN_FILES / "run-tiny",), {}, "run of edgekit train"),
    ("load", (), {}, r"load: missing a required argument: 'folder' \(load\(folder, \.\.\.\)\)"),
    ("load", ("a", "b"), {}, "load: too many positional arguments"),
    ("verify", (GOLDEN,), {"signature": "a.sig"}, r'signature wants .* \(key="public.pem", chain='),
    ("verify", (GOLDEN,), {"runtime": "onnxruntime"}, r"does not open tflite files \(leave runtime out\)"),
    ("verify", (GOLDEN,), {"on": "mars"}, "unknown device 'mars'"),
    ("compare", ([GOLDEN],), {}, "compared with nothing"),
    ("bench", ("README.md",), {}, "not a model file"),
    ("bench", ([],), {}, "an empty list"),
    ("bench", ([3],), {}, "a file is 3, not a path"),
    ("bench", (GOLDEN,), {"runs": 0}, "runs is 0: Expected `int` >= 1"),
    ("bench", (GOLDEN,), {"runs": True}, "runs is True"),
    ("bench", (GOLDEN,), {"threads": (1, "x")}, r"threads is \(1, 'x'\)"),
    ("bench", (GOLDEN,), {"runtimes": "lite"}, r"unknown runtime 'lite' \(did you mean litert\?\)"),
    ("bench", (GOLDEN,), {"progress": 3}, r"progress is 3, not a function \(progress=lambda"),
    ("bench", (GOLDEN,), {"run": 3}, r"unknown argument of bench 'run' \(did you mean runs"),
    ("evaluate", (GOLDEN, "nowhere"), {}, r"no folder nowhere \(data with a folder"),
    ("evaluate", (GOLDEN,), {}, "missing a required argument: 'data'"),
    ("evaluate", (GOLDEN, "tests"), {"split": "best"}, r"split is 'best'.*\('test' or 'val' or 'train'\)"),
    ("evaluate", (GOLDEN, "tests"), {"masks": "m"}, "masks is about masks"),
    ("gate", (GOLDEN, GOLDEN), {"masks": "m"}, r'images of data \(data="DIR"\)'),
    ("gate", (GOLDEN, GOLDEN), {"max_slowdown": -3.0}, r"max_slowdown"),
    ("gate", (GOLDEN, "nowhere"), {}, "nowhere does not exist"),
    ("report", ("nowhere.jsonl",), {}, "No such file"),
    ("report", (GOLDEN / "labels.txt",), {"out": "a.pdf"}, r'neither .html nor .md \(out="report.html"'),
    ("report", (GOLDEN / "labels.txt",), {"out": 3}, "out is 3, not a path"),
    ("export", (3,), {}, "the model is int 3"),
    ("export", ("mobilenetv2",), {"target": 3}, "target is 3"),
    ("export", ("mobilenet2",), {}, r"unknown model 'mobilenet2' \(did you mean"),
    ("export", ("mobilenetv2",), {"targt": "onnx"}, r"'targt' \(did you mean target\?\)"),
    ("export", ("mobilenetv2",), {"int8": True, "fp16": True}, "int8=True and fp16=True name different schemes"),
    ("export", ("mobilenetv2",), {"int8": True, "scheme": "fp32"}, 'int8=True and scheme="fp32" name'),
    ("export", ("mobilenetv2",), {"scheme": "int9"}, "scheme is 'int9'.*'int8-static'"),
    ("export", ("mobilenetv2",), {"samples": 3}, r"samples means nothing for fp32.*\(int8=True, or drop it\)"),
    ("export", ("mobilenetv2",), {"fold": False, "input": "uint8"}, 'fold=False takes .*, input="uint8" raw'),
    ("export", ("mobilenetv2",), {"opset": 20}, r'opset means nothing for tflite \(target="onnx"\)'),
    ("export", ("mobilenetv2",), {"quantize": "int8"}, "quantize is 'int8'"),
    ("export", ("mobilenetv2",), {"input_size": "64"}, "input_size is '64'"),
    ("export", ("mobilenetv2",), {"calibration": "nowhere"}, "there is no folder nowhere"),
    ("train", ("mobilenetv2", "a", "b"), {"resume": True, "fresh": True}, "resume=True and fresh=True exclude"),
    ("train", ("mobilenetv2", "a", "b"), {"lr": "fast"}, "lr is 'fast': Expected `float`"),
    ("train", ("mobilenetv2", "a", "b"), {"temperature": 2.0}, r"temperature means nothing without distill"),
    ("prune", ("runs/a",), {}, r"how small\? \(one of keep_latency=0.65"),
    ("prune", ("runs/a",), {"keep_macs": 0.5, "int8": True}, "int8=True means nothing without keep_latency"),
    ("prune", ("runs/a",), {"keep_macs": 0.5}, "images to fine-tune on"),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "says"), WRONG, ids=[f"{w[0]} {w[3]:.40}" for w in WRONG])
def test_a_wrong_argument_is_one_line_in_pythons_words(name, args, kwargs, says, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(EdgekitError, match=says) as caught:
        getattr(edgekit, name)(*args, **kwargs)
    said = str(caught.value)
    assert "\n" not in said
    assert caught.value.hint
    assert "--" not in words.COMMAND.sub("", said), said


def _texts(folder):
    """Every text in the library that an error may be made of; what is put in at run time is {}."""
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield path, "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                yield path, node.value


def test_no_text_of_the_library_reaches_python_with_a_flag():
    keywords = {"softmax": words.Keyword(True, frozenset()), "task": words.Keyword(False, frozenset({"raw"}))}
    rooms = ("cli", "devices")  # devices hand flags to other programs
    seen = 0
    for path, text in _texts(ROOT / "edgekit"):
        if re.search(r"(?<![\w-])--[a-z]", text) and path.relative_to(ROOT / "edgekit").parts[0] not in rooms:
            seen += 1
            said = words.COMMAND.sub("", words.translate(text, keywords))
            assert not re.search(r"(?<![\w-])--[a-z]", said), (path.name, said)
    assert seen > 100


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--softmax makes classes exclude each other", "softmax=True makes classes exclude each other"),
        ("drop it, or --task raw or --task other", 'drop it, or task="raw" or task other'),
        ("--labels FILE names them", 'labels="FILE" names them'),
        ("--input-size 224x192, --no-fold", "input_size=(224, 192), fold=False"),
        ("--lr 0.5 or a smaller --lr", "lr=0.5 or a smaller lr"),
        ("-o another/folder", 'out="another/folder"'),
        ("--on arm64:cortex-a76 can", 'on="arm64:cortex-a76" can'),
        ("first edgekit doctor --setup x86, then --count", "first edgekit doctor --setup x86, then count"),
    ],
)
def test_flags_become_keywords(text, says):
    keywords = {"softmax": words.Keyword(True, frozenset()), "task": words.Keyword(False, frozenset({"raw"}))}
    assert words.translate(text, keywords) == says


def test_importing_edgekit_stays_light_and_switches_telemetry_off():
    code = (
        "import sys, os, edgekit; dir(edgekit);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('numpy', 'torch', 'PIL', 'msgspec', 'click')));"
        "print(os.environ['HF_HUB_DISABLE_TELEMETRY'])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n1\n"


@pytest.mark.parametrize("said", [3, None, b"build/x", "", ["build/x"]])
def test_what_is_no_path_is_said(said):
    with pytest.raises(RequestError, match="not a path") as caught:
        edgekit.load(said)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"input_size": 64}, "input_size is 64"),
        ({"input_size": (64, 64.5)}, "input_size"),
        ({"model": 3}, "model is 3"),
        ({"target": None}, "target is None"),
        ({"quantize": "int8"}, "quantize is 'int8'"),
        ({"samples": "many"}, "samples is 'many'"),
        ({"mean": 0.5}, r"mean is 0\.5"),
        ({"input": "uint7"}, "input is 'uint7'"),
        ({"fold": 1}, "fold is 1"),
    ],
    ids=str,
)
def test_a_recipe_refuses_what_no_file_could_say(fields, says):
    with pytest.raises(RecipeError, match=says) as caught:
        edgekit.Recipe(**({"model": "mobilenetv2", "target": "tflite"} | fields))
    assert caught.value.hint


def test_a_recipe_shows_what_was_said():
    assert repr(Recipe("a", "onnx")) == "Recipe(model='a', target='onnx')"
    said = "Recipe(model='a', target='onnx', quantize=Quantize(scheme='int8'), seed=3)"
    assert repr(Recipe("a", "onnx", seed=3, quantize=Quantize(scheme="int8"))) == said


def test_a_scheme_that_does_not_exist_names_those_that_do():
    with pytest.raises(RecipeError, match="scheme is 'int9'") as caught:
        edgekit.Quantize(scheme="int9")
    assert "int8-static" in caught.value.hint


def test_a_recipe_takes_paths_and_lists_as_people_write_them():
    said = edgekit.Recipe("py:m:f", "onnx", input_size=[64, 96], calibration=Path("photos"), labels=Path("a.txt"))
    assert (said.input_size, said.calibration, said.labels) == ((64, 96), "photos", "a.txt")


def test_a_number_is_meant_for_every_side_and_channel():
    assert plain({"input_size": 32, "mean": 0.5, "calibration": Path("photos")}) == {
        "input_size": (32, 32),
        "mean": (0.5,),
        "calibration": "photos",
    }
    assert plain({"std": 1, "mean": (0.1, 0.2, 0.3)}, channels=3) == {"std": (1, 1, 1), "mean": (0.1, 0.2, 0.3)}
