"""Every command that a page, a help text or a workflow shows could be typed: nothing runs here, what the programs know is asked.

Console blocks run for real, in test_readme.py. The commands here need a network, a phone, a camera's videos or hours; click parses
them as it would, so that a misspelt command, option, target or model on any page fails.
"""

import ast
import re
import shlex
import textwrap
import tomllib
from itertools import pairwise

import click
import pytest
from conftest import ROOT

from edgekit.cli import main
from edgekit.cli.completion import NAMES

PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "[!.]*/README.md", "android_demo/core/README.md", "examples/*/README.md",
                    "benchmarks/results/*.md", ".github/**/*.yml", ".github/*.md", "action.yml", "docker/*")
    for page in ROOT.glob(pattern)
)  # fmt: skip
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
TARGETS = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
# Programs of others: what follows their names is theirs.
# fmt: off
OTHERS = {
    "git", "python3", ".", "uv", "uvx", "openssl", "model_signing", "mvn", "docker", "gh", "torchrun", "cd", "export", "source",
}
# fmt: on
SCRIPTS = {
    flag for file in ROOT.glob("benchmarks/*.py") for flag in re.findall(r'"(--[\w-]+)"', file.read_text("utf-8"))
}


def outside_fences(text):
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def shown(page):
    """Whole command lines of a page: indented ones, those of fences that do not run, steps of workflows, Dockerfiles."""
    text = page.read_text("utf-8")
    if page.suffix == ".md":
        fenced = "\n".join(re.findall(r"^```(?:yaml|sh|bash|text)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        lines = re.findall(r"^ {4,}([a-z.].*)$", outside_fences(text), re.MULTILINE)
        lines += re.findall(r"(?:^\s*(?:- )?(?:run: )?|build: )(edgekit [^,}\n]*)", fenced, re.MULTILINE)
    else:
        lines = re.findall(r"(?:run: |RUN |^ +|&& )(edgekit [^&\n]*)", text, re.MULTILINE)
    return [part for line in lines for part in typed(line)]


def typed(line):
    """The commands of a line, without what is said about them: `eval "$(a b)"`, `a && b`, `a | b`, `a > file`."""
    line = re.split(r"\s{2,}|\s+[#>]\s|\\$", line)[0]
    inner = re.search(r"\$\((edgekit .*)\)", line)
    return re.split(r" && | \| ", inner[1] if inner else line)


def commands(group=main, before=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        yield (*before, name), found
        if isinstance(found, click.Group):
            yield from commands(found, (*before, name))


COMMANDS = dict(commands())
OPTIONS = {text for command in COMMANDS.values() for p in command.params for text in (*p.opts, *p.secondary_opts)}
OPTIONS |= {"--version", "--help"}


def parse(words, whole=True):
    """As click would, up to the command's own work. whole: nothing that it needs may be missing. Raises click.UsageError."""
    command, context, words = main, click.Context(main, info_name="edgekit", **main.context_settings), list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        command = command.get_command(context, name) or pytest.fail(f"there is no command {name}")
    if isinstance(command, click.Group):
        assert set(words) <= OPTIONS, words
        return
    try:
        context = command.make_context(command.name, words, parent=context)
    except click.exceptions.Exit:  # --help
        return
    except (click.MissingParameter, click.BadOptionUsage):
        if whole:
            raise
        return
    for name, known in NAMES.items():
        values = context.params.get(name) or ()
        for value in (values,) if isinstance(values, str) else values:
            for one in str(value).split(","):
                # a bare word is a name, everything else a path, `timm:...`, or a metavariable
                if re.fullmatch(r"[a-z0-9_-]+", one):
                    assert one in known(), f"{name} {one}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_can_be_typed(page, capsys):
    for line in shown(page):
        program, *words = shlex.split(line)
        if program.endswith(":") or (page.parent.name == "results" and program != "edgekit"):
            continue  # an output
        if page.name == "CONTRIBUTING.md" and re.fullmatch(r"[a-z_]+", line):
            continue  # the layers of imports
        if program == "edgekit":
            if "executorch" not in words:  # a target of the example, which is not installed here
                assert_parses(
                    page, line, words, whole=page.suffix == ".md"
                )  # a step of a workflow goes on in the next line
        elif program == "make":
            assert {word.rstrip(",") for word in words if word not in ("then", "make")} <= TARGETS, line
        elif program in ("python", ".venv/bin/python"):
            script = ROOT / words[0]
            assert script.is_file() or words[0] in ("-m", "-c"), line
            text = script.read_text("utf-8") if script.is_file() else ""
            assert [w for w in words if (w.strip("[]").startswith("--") and f'"{w.strip("[]")}"' not in text)] == [], (
                line
            )
        elif program.rpartition("/")[2] == "pip":
            for flag, path in pairwise(words):
                assert flag not in ("-c", "-e") or (ROOT / path.partition("[")[0]).exists(), line
        else:
            assert program in OTHERS or (ROOT / program).is_file(), line


def assert_parses(page, line, words, whole=True):
    try:
        parse(words, whole)
    except click.UsageError as error:
        pytest.fail(f"{page.relative_to(ROOT)}: {line}\n{error.format_message()}")


@pytest.mark.parametrize("page", [p for p in PAGES if p.suffix == ".md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_mentions_is_there(page, capsys):
    """`edgekit verify --key` and `eval --split val` in a sentence, options, extras and targets of make."""
    text = outside_fences(page.read_text("utf-8"))
    names = {path[0] for path in COMMANDS}
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        code = re.sub(r"\s+", " ", code)
        first, *words = code.split(" ")
        if first == "make" and words:
            assert words[0] in TARGETS, code
        options = [w.partition("=")[0] for w in re.findall(r"(?<![\w-])--[a-z][\w-]*(?:=\w+)?", code)]
        if first in names and options and all(re.fullmatch(r"[\w./<>|:=,-]+", w) for w in words):
            assert_parses(page, code, re.sub(r"([\w-]+)(\|[\w-]+)+", r"\1", code).split(" "), whole=False)
        elif first == "edgekit" and words:
            assert_parses(page, code, shlex.split(re.sub(r"([\w-]+)(\|[\w-]+)+", r"\1", code))[1:], whole=False)
        elif code.startswith("--"):
            assert set(options) <= OPTIONS | SCRIPTS | {"--index-url", "--upgrade-package", "--cpu"}, code
    for extras in re.findall(r"(?:edgekit-vision|[\"']\.)\[([a-z][a-z0-9,-]*)\]", text):
        assert set(extras.split(",")) <= EXTRAS, extras


def test_python_that_no_test_runs_names_what_is_there():
    """README, python.md and your-own-loop.md are run: test_readme.py, test_python.py, test_prune.py."""
    seen = 0
    for page in PAGES:
        if page.suffix != ".md" or page.name in ("python.md", "your-own-loop.md") or page == ROOT / "README.md":
            continue
        for block in re.findall(r"^ *```python\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            seen += 1
            for node in ast.walk(ast.parse(textwrap.dedent(block))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgekit"):
                    source = (ROOT / node.module.replace(".", "/")).with_suffix(".py").read_text("utf-8")
                    assert [a.name for a in node.names if not re.search(rf"\b{a.name}\b", source)] == [], block
    assert seen


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_examples_of_a_help_text_can_be_typed(path, capsys):
    text = (COMMANDS[path].help or "").partition("Examples:")[2]
    lines = [typed(line.strip()) for line in text.splitlines() if "edgekit" in line]
    assert lines or isinstance(COMMANDS[path], click.Group)
    for line in (part for parts in lines for part in parts if "edgekit" in part):
        words = shlex.split(line)
        assert_parses(ROOT / "edgekit", line, words[words.index("edgekit") + 1 :])


def test_what_users_read_says_image():
    """The field's word, in messages and on pages; names in code, and fields of files on disk, may be older."""
    for page in PAGES:
        if page.suffix == ".md" and "android_demo" not in page.parts:
            prose = re.sub(r"`[^`]*`", "", page.read_text("utf-8"))
            assert re.findall(r".*\bpictures?\b.*", prose) == [], page
    for file in ROOT.glob("edgekit/**/*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        said = [
            n.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in told
        ]
        assert [text for text in said if re.search(r"\bpictures? | pictures?\b", text)] == [], file


@pytest.mark.parametrize(
    "line",
    ["exprt mobilenetv2", "export mobilenetv2 --int9", "export mobilenetv3 --target tflite", "export a.toml --target tflte",
     "bench a --on arm46", "predict build/a", "android ad build/a", "export mobilenetv2 --scheme int8-sttic"],
)  # fmt: skip
def test_what_cannot_be_typed_is_found(line):
    with pytest.raises((AssertionError, click.UsageError, pytest.fail.Exception)):
        parse(line.split(" "))
