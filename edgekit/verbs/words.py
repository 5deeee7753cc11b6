"""Errors in the words of Python: what the library says for the command line and its flags, as keywords.

The rule. `--int8` becomes int8=True where it is yes or no, and `--no-fold` fold=False; `--labels FILE` becomes
labels="FILE" where something stands behind it that is a value, and else labels. A whole command, `edgekit doctor --setup
arm64`, is for a shell and stays as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class Keyword:
    """Of a verb. words: the texts that it takes, where only some are allowed."""

    yes_or_no: bool
    words: frozenset[str]


NAMES = {"output": "out", "no_keep_images": "keep_images"}
# what is a value wherever it stands: names of formats, runtimes, devices, weights and optimizers
WORDS = {"tflite", "onnx", "openvino", "torch", "litert", "onnxruntime", "local", "x86", "adb", "none", "adamw",
         "auto", "imagenet", "package", "bundled", "random"}  # fmt: skip
COMMAND = re.compile(r"\bedgekit [a-z][^;,()]*")
VALUE = re.compile(
    r"(?:[A-Z][A-Z0-9]*(?:x[A-Z]+)?(?:\.\w+)?"  # FILE, N, HxW, FILE.png
    r"|\d[\w.x:]*"  # 224x192
    r"|[\w-]+\.[a-z]{2,4}\b"  # public.pem
    r"|[\w.{}-]*[/:|][\w./:|{}-]*"  # another/folder, arm64:cortex-a76, fp32|fp16
    r"|[a-z][\w-]*)(?![\w/-])"
)
FLAG = re.compile(r"(?<![\w-])(?:--(?P<name>[a-z][a-z0-9-]*)|-o(?= ))")
TRACEBACK = "--debug shows the whole traceback"


def in_python(error: EdgekitError, keywords: Mapping[str, Keyword]) -> None:
    """Say it in a verb's keywords, in place."""
    error.message, error.hint = (translate(text, keywords) for text in (error.message, error.hint))


def translate(text: str, keywords: Mapping[str, Keyword]) -> str:
    """The text with the flags of the command line as a verb's keywords."""
    text = text.replace(TRACEBACK, "the exception before this one says where")
    parts, at = [], 0
    for command in COMMAND.finditer(text):
        parts += [_flags(text[at : command.start()], keywords), command[0]]
        at = command.end()
    return "".join([*parts, _flags(text[at:], keywords)])


def _flags(text: str, keywords: Mapping[str, Keyword]) -> str:
    parts, at = [], 0
    for flag in FLAG.finditer(text):
        if flag.start() < at:
            continue
        parts.append(text[at : flag.start()])
        said, at = _keyword(text, flag, keywords)
        parts.append(said)
    return "".join([*parts, text[at:]])


def _keyword(text: str, flag: re.Match[str], keywords: Mapping[str, Keyword]) -> tuple[str, int]:
    """A flag as a keyword, and where the text behind it goes on."""
    name = (flag["name"] or "output").replace("-", "_")
    if name.startswith("no_") and name not in keywords:
        return f"{NAMES.get(name, name.removeprefix('no_'))}=False", flag.end()
    known = keywords.get(name := NAMES.get(name, name))
    value = VALUE.match(text, flag.end() + 1) if text[flag.end() : flag.end() + 1] in (" ", "=") else None
    if value and _is_value(value[0], known):
        return f"{name}={_written(value[0])}", value.end()
    return f"{name}=True" if known and known.yes_or_no else name, flag.end()


def _is_value(word: str, known: Keyword | None) -> bool:
    """Whether a word behind a flag is what it is set to; else the sentence goes on."""
    if known and known.words:
        return word in known.words or "|" in word
    if known and known.yes_or_no:
        return False
    return word in WORDS or not word.isalpha() or word.isupper()


def _written(word: str) -> str:
    if re.fullmatch(r"\d+x\d+", word):
        return f"({word.replace('x', ', ')})"
    return word if re.fullmatch(r"[\d.]+|N|HxW", word) else f'"{word}"'
