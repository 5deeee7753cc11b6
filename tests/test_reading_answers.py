"""Only tasks know what a score is: no other room that reads answers takes the largest, or makes probabilities."""

import ast
import re

import pytest
from conftest import ROOT

ROOMS = ROOT / "edgekit"
# They make networks and files: there it is an operator's name, or what a network learns by.
MAKERS = ("tasks", "training", "pruning", "models", "exporters", "inspection")
READING = ("argmax", "softmax", "sigmoid", "top_k", "argpartition")
# Where classification is counted, and names that stand on disk or on the command line.
NAMED = {
    "cli/evaluate.py",
    "cli/export.py",
    "cli/gate.py",
    "cli/prune.py",
    "cli/tune.py",
    "cli/verify.py",
    "evaluation/accuracy.py",
    "evaluation/classes.py",
    "evaluation/label_check.py",
    "evaluation/run.py",
    "evaluation/words.py",
    "manifest.py",
    "parity.py",
    "pipeline.py",
    "recipe.py",
    "runs.py",
    "statistics/figures.py",
    "verbs/exporting.py",
}


def sources():
    return [path for path in sorted(ROOMS.rglob("*.py")) if path.relative_to(ROOMS).parts[0] not in MAKERS]


def called(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", None) or getattr(node.func, "id", None)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOMS)))
def test_answers_are_read_by_tasks_alone(path):
    if path.name == "answers.py" and path.parent.name == "evaluation":
        return  # a record of the five best classes
    assert set(called(ast.parse(path.read_text("utf-8")))).isdisjoint(READING)


def test_what_is_said_of_classes_is_said_where_classes_are_counted():
    said = {p for p in sources() if re.search(r"argmax|softmax|top-?[15]\b", p.read_text("utf-8"), re.IGNORECASE)}
    assert {str(p.relative_to(ROOMS)) for p in said} == NAMED
