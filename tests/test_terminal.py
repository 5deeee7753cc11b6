"""What people see: nothing wider than their terminal, colour there alone."""

import shutil

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
