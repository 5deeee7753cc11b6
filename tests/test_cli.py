import ast
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from unittest.mock import Mock

import click
import pytest
from click.testing import CliRunner
from conftest import GOLDEN, HERE, ask_edgekit, run_edgekit, start

import edgekit_vision
from edgekit import registry, zoo
from edgekit.cli import main
from edgekit.errors import WorkerError

HERE_TOO = {
    "benchmark": {"export"},
    "prune": {"train", "export"},
    "train": {"export"},
    "tune": {"export"},
}  # modules whose options a command has too
COMMANDS = {name: main.get_command(None, name) for name in main.list_commands(None)}
HEAVY = {"torch", "numpy", "timm", "PIL", "msgspec", "rich", "ai_edge_litert"}


@pytest.mark.both
@pytest.mark.parametrize("arguments", [["--help"], *[[c, "--help"] for c in COMMANDS]], ids=" ".join)
def test_help_imports_nothing_heavy_and_shows_examples(arguments):
    code = (
        "import sys; from edgekit.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Examples:" in done.stdout
    loaded = set(done.stderr.split())
    assert not HEAVY & loaded
    if arguments[0] in main.homes:
        homes = {home.partition(":")[0] for home in main.homes.values()}
        own = main.homes[arguments[0]].partition(":")[0]
        assert {name for name in homes if f"edgekit.cli.{name}" in loaded} - HERE_TOO.get(own, set()) == {own}


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_help_that_is_kept_is_clicks_own(columns):
    """After a change of the commands: make help"""
    done = CliRunner().invoke(main, ["--help"], env={"COLUMNS": str(columns)})
    assert Path(edgekit_vision.HELP).read_text("utf-8") == done.stdout


@pytest.mark.parametrize(
    ("columns", "imports"), [("80", False), ("0", False), ("", False), ("many", False), ("60", True)]
)
def test_help_is_told_without_click_where_the_terminal_is_no_narrower_than_it(columns, imports):
    code = (
        "import sys; from edgekit_vision import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, env=os.environ | {"COLUMNS": columns}
    )
    kept = Path(edgekit_vision.HELP).read_text("utf-8")
    assert ("click" in done.stderr.split(), done.stdout == kept) == (imports, not imports)
    assert "edgekit export mobilenetv2" in done.stdout


def leaves(commands):
    """Every command that does something, those of groups too."""
    for command in commands:
        yield from leaves(command.commands.values()) if isinstance(command, click.Group) else [command]


@pytest.mark.parametrize("command", list(leaves(COMMANDS.values())), ids=lambda command: command.name)
def test_a_command_parses_calls_the_library_and_prints(command):
    function = inspect.unwrap(command.callback)
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    first = tree.body[1 if ast.get_docstring(tree) else 0]
    assert tree.end_lineno - first.lineno + 1 < 50


@pytest.mark.parametrize("command", list(leaves(COMMANDS.values())), ids=lambda command: command.name)
def test_every_option_says_what_it_is(command):
    for option in command.params:
        if isinstance(option, click.Option):
            said = (option.help or "").partition("[default")[0]
            assert said.strip(), option.name
            assert said.split()[0] not in ("Of", "That"), f"{option.name}: a sentence, not the end of one"


def test_help_lists_the_commands_in_the_order_of_work_and_cuts_nothing_off():
    assert max(len(command.short_help) for command in leaves(COMMANDS.values())) <= 45
    listed = run_edgekit("--help").stdout.partition("Commands:")[2].strip().splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert not [line for line in listed if line.endswith("...")]


def test_version():
    import edgekit

    assert run_edgekit("--version").stdout == run_edgekit("-V").stdout == f"edgekit {edgekit.__version__}\n"


@pytest.mark.both
def test_it_runs_as_a_module_and_answers_without_torch(golden_artifact):
    code = (
        "import sys, runpy; sys.argv = ['edgekit', 'verify', sys.argv[1]]\n"
        "try: runpy.run_module('edgekit', run_name='__main__')\nexcept SystemExit as end: print('EXIT', end.code)\n"
        "print('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(golden_artifact)], capture_output=True, text=True)
    assert "EXIT 0" in done.stdout, done.stderr
    assert "torch" not in done.stderr.split()


def test_whatever_wants_a_package_that_is_not_there_says_so(golden_artifact):
    code = "import sys; sys.modules['torch'] = None; from edgekit.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "reproduce", golden_artifact], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == f"error: the package 'torch' is not installed\n  try: {edgekit_vision.install('models')}\n"


@pytest.mark.parametrize(("target", "extra"), [("tflite", "tflite"), ("torch", "models")])
def test_export_without_torch_says_what_to_install(target, extra):
    code = "import sys; sys.modules['torch'] = None; from edgekit.cli import main; main()"
    arguments = ["export", "mobilenetv2", "--target", target]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == f"error: the package 'torch' is not installed\n  try: {edgekit_vision.install(extra)}\n"


def test_the_list_of_models_is_read_on_a_terminal():
    lines = ask_edgekit("list", "models").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    told = [line.split() for line in lines]
    assert ["mobilenetv2", "3.50", "M", "301", "M", "224x224", "imagenet,", "bundled"] in told
    assert ["lenet5", "0.06", "M", "0.4", "M", "28x28", "grey", "FILE"] in told
    entries = {entry["model"]: entry for entry in json.loads(ask_edgekit("list", "models", "--json").stdout)}
    assert set(entries) == set(zoo.ALIASES)
    assert entries["googlenet"]["licence"] == "BSD-3-Clause"
    assert entries["vit_tiny"]["from"] == "huggingface.co/timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert [name for name, entry in entries.items() if not entry["weights"]] == []
    assert "MIT" in next(line for line in ask_edgekit("list", "models", "-v").stdout.splitlines() if "lenet5" in line)


def test_predict_says_what_the_model_knows(golden_artifact, pictures):
    picture = next(pictures.rglob("*.png"))
    done = ask_edgekit("predict", golden_artifact, picture, "-k", "2")
    assert done.returncode == 0
    assert done.stdout.count("%") == 2
    assert "this model knows" in done.stdout
    assert "this model knows" not in ask_edgekit("predict", golden_artifact, picture, "-q").stdout


def test_predict_skips_what_it_cannot_read_and_fails_where_nothing_is_left(golden_artifact, pictures, tmp_path):
    picture, bad = next(pictures.rglob("*.png")), tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    done = ask_edgekit("predict", golden_artifact, picture, bad)
    assert done.returncode == 0
    assert done.stderr == f"warning: skipped {bad}: not an image\n"
    assert "\n1 of 2 images answered, 1 cannot be read\n" in done.stdout
    done = ask_edgekit("predict", golden_artifact, bad)
    assert (done.returncode, done.stderr) == (
        4,
        f"error: {bad}: not an image\n  try: an image file: .jpg, .png, .webp, ...\n",
    )
    done = ask_edgekit("predict", golden_artifact, bad, "missing.jpg")
    assert done.returncode == 4
    assert "error: none of the 2 images can be read" in done.stderr
    assert ask_edgekit("predict", golden_artifact, "none.jpg", "missing.jpg").returncode == 2


def test_json_is_alone_on_stdout(golden_artifact, pictures):
    for arguments in (
        ["predict", golden_artifact, next(pictures.rglob("*.png"))],
        ["bench", golden_artifact, "--runs", "3", "--launches", "1", "--no-save"],
        ["inspect", golden_artifact],
        ["verify", golden_artifact],
        ["list", "models"],
        ["list", "schemes"],
        ["list", "recipes"],
        ["list", "targets"],
    ):
        done = run_edgekit(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


def test_bench_compares_in_plain_words(golden_artifact, copied):
    done = run_edgekit("bench", golden_artifact, copied, "--runs", "6", "--launches", "2", "--no-save")
    assert done.returncode == 0, done.stderr
    assert "CPU class" in done.stdout
    assert "faster than" in done.stdout or "take the same time" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["predict", "{copy}", "missing.jpg"], 2, "there is no image"),
        (["predict", "nowhere", "x.jpg"], 2, "does not exist"),
        (["predict", "{copy}/model.tflite", "x.jpg"], 4, "try: its folder: {copy}"),
        (["predict", "{copy}", "x.jpg", "--threads", "100000"], 2, "--threads"),
        (["verify", "{copy}", "--interpreter", "tensorrt"], 2, "unknown interpreter"),
        (["inspect", "nowhere.tflite"], 2, "does not exist"),
        (["export", "mobilenetv2", "--scheme", "int9"], 2, "unknown scheme 'int9'"),
        (["export", "none.toml"], 2, "there is no recipe"),
        (["export", "mobilenetv2", "--input-size", "big"], 2, "is not a size"),
        (["export", "mobilenetv2", "--mean", "1,2"], 2, "one number or three"),
        (["export", "mobilenetv2", "--mean", "123,116,103", "--std", "1"], 2, "mean 123 is not on the 0..1 scale"),
        (["export", "mobilenetv2", "--std", "58,57,57"], 2, "divide by 255"),
        (["export", "mobilenetv2", "--std", "nan"], 2, "std nan"),
        (["export", "mobilenetv2", "--seed", "-1"], 2, "seed is -1"),
        (["export", "mobilenetv2", "--input-size", "0"], 2, "0x0 pixels"),
        (["export", "mobilenetv2", "--int8", "--fp16"], 2, "--int8 and --fp16 name different schemes"),
        (["export", "mobilenetv2", "--int8", "--scheme", "fp32"], 2, "--int8 and --scheme fp32 name"),
        (["export", "mobilenetv2", "-o", ""], 2, "-o '' names no folder"),
        (["export", "mobilenetv2", "-o", "/"], 2, "-o '/' names no folder"),
        (["export", "mobilenetv2", "--target", ""], 2, "target is empty"),
        (["export", "mobilenetv2", "--calibration", ""], 2, "calibration is empty"),
        (["export", "mobilenetv2", "--print-recipe", "--target", "tflite", "--target", "torch"], 2, "one target"),
        (["export", "mobilenetv2", "--no-fold", "--input", "uint8"], 2, "--no-fold"),
        (["export", "mobilenetv2", "--samples", "0"], 2, "samples"),
        (["bench"], 2, "error: missing argument 'ARTIFACT|FILE...'\n  try: edgekit bench --help\n"),
        (["bench", "x", "--runs", "a"], 2, "error: --runs: 'a' is not a whole number\n"),
        (["bench", "x", "--runs", "0"], 2, "error: --runs: 0 is not at least 1\n"),
        (["eval", "x", "--data", "y", "--max-drop", "200"], 2, "error: --max-drop: 200.0 is not between 0 and 100\n"),
        (["predict", "x", "y", "--workers", "99"], 2, "error: --workers: 99 is not from 1 to 64\n"),
        (["gate", "x", "--baseline", "y", "--max-slowdown", "-1"], 2, "--max-slowdown: -1.0 is not more than 0\n"),
        (["bech"], 2, "error: unknown command 'bech'\n  try: did you mean bench or benchmark?\n"),
        (["android", "ad"], 2, "error: unknown command 'ad'\n  try: did you mean add?\n"),
        (["hub", "zzz"], 2, "error: unknown command 'zzz'\n  try: edgekit hub --help\n"),
        (["list", "modles"], 2, "try: did you mean models?"),
        (["export", "mobilenetv2", "--softmx"], 2, "error: there is no option --softmx\n  try: did you mean --softmax"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(copied, tmp_path, arguments, code, says):
    done = ask_edgekit(*[a.replace("{copy}", str(copied)) for a in arguments], cwd=tmp_path)
    says = says.replace("{copy}", str(copied))
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    "command",
    [
        "predict nowhere {picture}",
        "predict {copy} nowhere",
        "bench nowhere",
        "bench nowhere.tflite",
        "eval nowhere --data {folder}",
        "eval {copy} --data nowhere",
        "eval {copy} --data {folder} --reference nowhere",
        "eval {copy} --data {folder} --labels nowhere.csv",
        "gate nowhere --baseline {copy}",
        "gate {copy} --baseline nowhere",
        "gate {copy} --baseline nowhere.json",
        "gate {copy} --baseline nowhere.onnx",
        "gate {copy} --baseline {copy} --budgets nowhere",
        "gate {copy} --baseline {copy} --data nowhere",
        "history nowhere",
        "report nowhere",
        "inspect nowhere",
        "inspect nowhere.onnx",
        "inspect --compare {copy} nowhere",
        "inspect --compare {copy} {copy} --data nowhere",
        "verify nowhere",
        "verify {copy} --against nowhere",
        "verify {copy} --against {copy} --data nowhere",
        pytest.param("reproduce nowhere", marks=pytest.mark.full),
        "bundle nowhere",
        "bundle {copy} --runs nowhere",
        pytest.param("sign nowhere --key nowhere", marks=pytest.mark.full),
        "hub push nowhere anna/net",
        "android add nowhere",
        "android add {copy} --app nowhere",
        "android list --app nowhere",
        "android doctor nowhere.apk",
        "android new out --app nowhere --name Birds --package org.example.birds",
        "export nowhere.toml",
        "export mobilenetv2 --recipe nowhere",
        "export runs/nowhere",
        "export mobilenetv2 --calibration nowhere",
    ],
)
def test_what_is_named_and_not_there_is_exit_code_2_whatever_it_should_have_been(copied, pictures, tmp_path, command):
    """Weights, names of classes and training images, which want torch: test_export_cli.py, test_train.py."""
    names = {"copy": copied, "folder": pictures, "picture": next(pictures.rglob("*.png"))}
    done = ask_edgekit(*command.format(**names).split(), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 2), done.stderr
    assert "nowhere" in done.stderr.partition("\n")[0]


def test_what_is_listed_as_data_has_identifiers_for_keys_and_numbers_for_numbers():
    def keys(document):
        for value in document.values() if isinstance(document, dict) else document:
            if isinstance(value, dict | list):
                yield from keys(value)
        if isinstance(document, dict):
            yield from document

    for what in ("models", "targets", "runtimes", "schemes", "recipes"):
        document = json.loads(ask_edgekit("list", what, "--json").stdout)
        assert document
        for row in document:
            classes = row.pop("gain", {})  # by CPU class, whose names are values
            assert all(isinstance(gain, float) for gain in classes.values())
            assert all(name.isidentifier() for name in keys(row)), row


def test_q_leaves_tips_out():
    assert "any other: " in ask_edgekit("list", "models").stdout
    assert "any other: " not in ask_edgekit("list", "models", "-q").stdout


def test_a_recipe_prints_as_json_too():
    def printed(*flags):
        done = ask_edgekit("export", "mobilenetv2", "--print-recipe", "--json", *flags)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    one = [{"model": "mobilenetv2", "target": "tflite", "quantize": {"scheme": "int8"}}]
    assert printed("--int8") == printed("--int8", "--scheme", "int8") == one
    assert printed("--target", "tflite", "--target", "tflite", "--int8") == one
    assert [r["target"] for r in printed("--target", "tflite", "--target", "torch")] == ["tflite", "torch"]


def test_errors_are_json_too_and_debug_shows_the_traceback():
    done = ask_edgekit("verify", "nowhere", "--json")
    assert json.loads(done.stdout)["exit_code"] == done.returncode == 2
    assert "Traceback" in run_edgekit("verify", "nowhere", "--debug").stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["list", "modles"], "did you mean models?"),
        (["bech"], "did you mean bench or benchmark?"),
        (["eval", "x"], "edgekit eval --help"),
        (["--what"], "edgekit --help"),
    ],
)
def test_a_wrong_command_line_is_json_too(arguments, hint):
    done = ask_edgekit(*arguments, "--json")
    told = json.loads(done.stdout)
    assert (list(told), told["hint"], told["exit_code"]) == (["error", "hint", "exit_code"], hint, done.returncode)
    assert done.stderr == f"error: {told['error']}\n  try: {hint}\n"


def test_an_edited_artifact_is_refused(copied):
    blob = bytearray((copied / "model.tflite").read_bytes())
    blob[-200] ^= 255
    (copied / "model.tflite").write_bytes(blob)
    done = ask_edgekit("verify", copied)
    assert done.returncode == 4
    assert "model.tflite is not the file that was exported" in done.stderr


def test_inspect_reads_a_plain_file_and_refuses_a_damaged_one(golden_artifact, tmp_path):
    plain = tmp_path / "somebody_elses.tflite"
    shutil.copy(golden_artifact / "model.tflite", plain)
    assert "DEPTHWISE_CONV_2D" in ask_edgekit("inspect", plain).stdout
    plain.write_bytes(plain.read_bytes()[:2000])
    done = ask_edgekit("inspect", plain)
    assert done.returncode == 4, done.stderr
    assert "damaged" in done.stderr
    plain.write_bytes(b"hello world")
    assert "not a TFLite file" in ask_edgekit("inspect", plain).stderr


@pytest.mark.both
def test_inspect_compares_layer_by_layer_without_torch(golden_artifact):
    found = json.loads(ask_edgekit("inspect", "--compare", golden_artifact, golden_artifact, "--json").stdout)
    assert [layer["sqnr_db"] for layer in found["layers"]] == [None] * 4
    assert (found["unmatched"], found["steepest"]) == ([], None)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["list", "models"], ["inspect", "{golden}", "--json"]]
)
def test_an_output_that_takes_nothing_is_one_line(golden_artifact, arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgekit", *[a.replace("{golden}", str(golden_artifact)) for a in arguments]],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 4
    assert done.stderr.startswith("error: cannot write the answer: No space left on device\n  try: ")
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize("arguments", [["inspect", "{golden}"], ["bench", "--help"], ["--version"]])
def test_a_reader_that_has_enough_ends_it_quietly(golden_artifact, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", *[a.replace("{golden}", str(golden_artifact)) for a in arguments]],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "command"), [(["predict", "a", "b", "--csv"], "predict"), (["android", "new", "-o"], "android new")]
)
def test_an_option_without_its_value_names_its_command(arguments, command):
    done = ask_edgekit(*arguments)
    assert (done.returncode, done.stderr.splitlines()[1]) == (2, f"  try: edgekit {command} --help")


def test_what_is_no_runtime_is_said():
    assert "null         answers zeros at once" in ask_edgekit("list", "runtimes").stdout


def test_a_target_that_nobody_knows_is_refused_before_a_model_is_loaded():
    done = ask_edgekit("inspect", "--sensitivity", "lenet5", "--target", "onix")
    assert (done.returncode, done.stderr) == (2, "error: unknown target 'onix'\n  try: did you mean onnx?\n")


@pytest.mark.parametrize("arguments", [["completion"], ["completion", "--json"]])
def test_a_choice_that_is_missing_is_one_line_too(arguments):
    done = ask_edgekit(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    assert done.stderr.startswith("error: missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish\n")


STOPPED = """
import sys, time
from pathlib import Path
from edgekit.publishing import staging
from edgekit.cli import main
from edgekit.cli.output import common

@main.command()
@common
def wait(talk):
    with staging(Path(sys.argv[1])):
        print("ready", flush=True)
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            if sys.argv[2] == "raised":
                raise
        talk.say("next step")
        print("went on")

main(["wait"])
"""


@pytest.mark.parametrize("interrupt", ["raised", "swallowed by a library"])
def test_a_polite_kill_leaves_nothing_behind(tmp_path, interrupt):
    child = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "made"), interrupt],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    child.terminate()
    answer = child.communicate(timeout=60)
    assert (child.returncode, *answer) == (130, "", "interrupted; nothing half-made was left behind\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_somebody_else_says_what_it_lacks(monkeypatch, golden_artifact):
    monkeypatch.setattr("edgekit.artifact.load", Mock(side_effect=PermissionError(13, "Permission denied", "x")))
    assert "try: it is not yours to read" in ask_edgekit("verify", golden_artifact).stderr


@pytest.mark.parametrize("place", ["get_command", "make_context", "invoke"])
def test_a_kill_outside_of_the_command_ends_so_too(monkeypatch, place):
    """click's own answer is "Aborted!" and 1, as for a limit that is missed."""

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, place, stopped)
    done = CliRunner().invoke(main, ["list"])
    assert (done.exit_code, done.output.strip()) == (130, "interrupted; nothing half-made was left behind")


def test_ctrl_c_ends_with_130(golden_artifact):
    child = start(
        [sys.executable, "-m", "edgekit", "bench", golden_artifact, "--runs", "9999999"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )
    assert "timing" in child.stderr.readline()
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in err


def test_the_public_names():
    import edgekit

    assert edgekit.__all__ == [
        *("Artifact", "Bench", "Benchmark", "Boxes", "Classes", "EdgekitError", "Mask", "Quantize", "Recipe", "Tensors", "Trained", "Tuned", "Vector"),
        *("__version__", "bench", "benchmark", "compare", "evaluate", "export", "gate", "load", "prune", "report", "train", "tune", "verify"),
    ]  # fmt: skip
    assert edgekit.load is not None
    with pytest.raises(AttributeError):
        _ = edgekit.nothing


@pytest.mark.parametrize("more", [(), ("--against", GOLDEN)])
def test_verify_waits_as_long_as_it_is_told(monkeypatch, more):
    start = Mock(side_effect=WorkerError("it hangs"))
    monkeypatch.setattr(registry, "device", lambda which: Mock(start=start))
    done = ask_edgekit("verify", GOLDEN, *more, "--on", "arm64", "--timeout", "7")
    assert (done.returncode, start.call_args.args[1]) == (4, 7)
