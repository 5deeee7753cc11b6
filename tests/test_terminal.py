"""What people see: nothing wider than their terminal, colour there alone."""

import shutil
import subprocess
import sys

import click
import pytest
from conftest import ask_edgekit
from screen import lines, shown

from edgekit.cli import terminal

WIDEST = 80
BENCH = ("--runs", "3", "--launches", "2", "--budget", "5", "-o", "runs.jsonl")


@pytest.fixture(scope="module")
def desk(tmp_path_factory, golden_artifact):
    """Two artifacts with names as export makes them, and runs of them."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("mobilenetv2-tflite-int8", "mobilenetv2-tflite-fp32"):
        shutil.copytree(golden_artifact, folder / name)
    done = ask_edgekit("bench", *BENCH, "mobilenetv2-tflite-int8", "mobilenetv2-tflite-fp32", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "list models",
        "list targets",
        "list runtimes",
        "list schemes",
        "list recipes",
        "list modles",
        "doctor",
        "predict INT8 {picture}",
        "predict nowhere {picture}",
        "bench INT8 FP32 --runs 3 --launches 2 --no-save",
        "bench INT8 FP32 --runs 3 --launches 2 --no-save -v",
        "eval INT8 --data {pictures} --no-save --reference FP32 --state kept",
        "gate INT8 --baseline FP32 --budget 1",
        "history runs.jsonl",
        "report runs.jsonl -o page.html",
        "inspect INT8",
        "inspect INT8 --layers --kernels",
        "inspect --compare INT8 FP32",
        "verify INT8",
        "verify INT8 --against FP32",
        "bundle INT8 -o bundle.zip",
        "export mobilenetv2 --int8 --scheme fp32",
    ],
)
def test_nothing_is_wider_than_the_terminal(desk, pictures, command):
    names = {"picture": next(pictures.rglob("*.png")), "pictures": pictures}
    words = command.replace("INT8", "mobilenetv2-tflite-int8").replace("FP32", "mobilenetv2-tflite-fp32")
    code, text = shown(*words.format(**names).split(), columns=WIDEST, cwd=desk)
    assert code in (0, 2), text
    wide = [line for line in lines(text) if len(line) > WIDEST]
    # a path is not broken, nor is what is to be copied
    assert not [line for line in wide if not terminal.COMMAND.match(line) and str(pictures) not in line], text
    assert text.count("\n") > 0


def helps(command, path):
    """(command line, its help as a terminal of 80 columns shows it), of a command and all below it."""
    context = click.Context(command, info_name=path, terminal_width=WIDEST)
    yield path, command.get_help(context)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from helps(command.get_command(context, name), f"{path} {name}")


def test_help_fits_the_terminal_and_names_what_an_option_takes():
    from edgekit.cli import main

    for path, text in helps(main, "edgekit"):
        assert not [line for line in text.splitlines() if len(line) > WIDEST], path
        assert "RANGE" not in text, path  # click's word for a number


def test_colour_is_for_terminals_alone(desk):
    said = ("verify", "mobilenetv2-tflite-int8")
    assert "\x1b[32mok\x1b[0m" in shown(*said, cwd=desk)[1]
    assert "\x1b[" not in shown(*said, cwd=desk, env={"NO_COLOR": "1"})[1]
    assert "\x1b[" not in shown(*said, cwd=desk, env={"TERM": "dumb"})[1]
    assert "\x1b[" not in ask_edgekit(*said, cwd=desk).stdout
    assert "\x1b[" not in shown(*said, "--json", cwd=desk)[1]


def test_what_programs_read_is_not_broken_on_a_terminal(desk):
    for said in (
        ("verify", "mobilenetv2-tflite-int8", "--json"),
        ("bench", "mobilenetv2-tflite-int8", "--csv", "-q", "--no-save", "--runs", "2", "--launches", "1"),
        ("report", "runs.jsonl", "-o", "-"),
        ("list", "schemes", "--json"),
    ):
        narrow, wide = (shown(*said, columns=columns, cwd=desk)[1] for columns in (30, 500))
        assert narrow.count("\n") == wide.count("\n"), said


STEPS = """
import time
from edgekit.cli.output import Talk
talk = Talk()
talk.loading()
time.sleep(0.3)
talk.say("exporting a net")
talk.say("weights: bundled (as asked)")
talk.say("rounding weights")
talk.say.share(0.5)
time.sleep(1.1)
talk.say("converting")
with talk.progress(4, "training", "steps") as tick:
    tick()
    talk.say("epoch 1/2  loss 0.5")
    talk.warn("careful")
    tick()
talk.result("made", None)
talk.next(["edgekit", "bench", "a b"])
"""


def test_a_step_has_a_clock_while_it_is_at_work_and_its_line_stays():
    code, text = shown(code=STEPS)
    assert code == 0, text
    told = lines(text)
    assert max(map(len, told)) <= WIDEST
    kept = [
        line.rstrip() for line in told if not line.strip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ").startswith(("loading", "working", "training"))
    ]
    kept = [line for line in kept if line and "━" not in line]
    assert [line.split("  ")[0] if line[0] != " " else line[2:].split("  ")[0] for line in kept] == [
        "exporting a net",
        "weights: bundled (as asked)",
        "rounding weights",
        "converting",
        "epoch 1/2",
        "warning: careful",
        "made",
        kept[-2],
        "next: edgekit bench 'a b'",
    ]
    assert kept[-2].startswith("took ")
    assert kept[2].startswith("  rounding weights  1")  # seconds
    assert any("rounding weights" in line and "━" in line for line in told)
    assert told[0].split()[1:3] == ["loading", "torch"]


def test_in_a_pipe_steps_are_plain_lines():
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True)
    assert done.stderr.splitlines() == [
        "  exporting a net",
        "  weights: bundled (as asked)",
        "  rounding weights",
        "  converting",
        "  training (4 steps)",
        "  epoch 1/2  loss 0.5",
        "warning: careful",
    ]
    assert done.stdout.startswith("made\ntook ")
    assert done.stdout.endswith("\nnext: edgekit bench 'a b'\n")


def test_a_terminal_that_cannot_write_over_a_line_gets_plain_ones():
    code, text = shown(code=STEPS, env={"TERM": "dumb"})
    assert code == 0
    assert "\x1b" not in text
    assert text.splitlines()[4:7] == ["  training (4 steps)", "  epoch 1/2  loss 0.5", "warning: careful"]


def test_what_was_said_as_a_step_is_not_said_again():
    from edgekit.cli.output import Talk

    lines = ["scheme: fp32 (as asked)", "knows cats"]
    for quiet, left in ((False, ["knows cats"]), (True, lines)):
        talk = Talk(quiet=quiet)
        talk.say("scheme: fp32 (as asked)")
        assert talk.unsaid(lines) == left


def test_one_next_command_ends_long_work_and_q_and_json_have_none(desk):
    asked = ("bench", *BENCH, "mobilenetv2-tflite-int8")
    assert ask_edgekit(*asked, cwd=desk).stdout.splitlines()[-1] == "next: edgekit report runs.jsonl"
    assert "next:" not in ask_edgekit(*asked, "-q", cwd=desk).stdout
    assert "next:" not in ask_edgekit(*asked, "--json", cwd=desk).stdout


def test_a_table_folds_its_widest_column_and_no_other():
    rows = [("short", "a long cell of several words", "7 MB"), ("b", "c", "d")]
    assert terminal.widths(rows, 0, None) == [5, 28, 4]
    assert terminal.widths(rows, 2, 34) == [5, 19, 4]
    assert terminal.widths(rows, 0, 10) == [5, terminal.NARROWEST, 4]
    assert terminal.folded(rows[0], [5, 19, 4]) == ["short  a long cell of       7 MB", "       several words"]
    assert terminal.folded(rows[1], [5, 19, 4]) == ["b      c                    d"]


def test_sentences_break_at_words_and_what_is_to_be_copied_does_not():
    assert terminal.fitted("  one two three", 9) == "  one two\n    three"
    assert terminal.fitted("  try: edgekit export MODEL", 9) == "  try: edgekit export MODEL"
    assert terminal.fitted("a/very/long/path", 9) == "a/very/long/path"
    assert terminal.fitted("short\n\nlines", 9) == "short\n\nlines"


@pytest.mark.parametrize(
    ("text", "coloured"),
    [
        ("error: no", "\x1b[31;1merror\x1b[0m: no"),
        ("size  +0 %  pass", "size  +0 %  \x1b[32mpass\x1b[0m"),
        ("size  pass  the same", "size  \x1b[32mpass\x1b[0m  the same"),
        ("they pass each other", "they pass each other"),
        ("  try: edgekit list", "  try: \x1b[36;1medgekit list\x1b[0m"),
    ],
)
def test_outcomes_are_painted_where_they_begin_a_line_or_fill_a_cell(text, coloured):
    assert terminal.painted(text) == coloured
