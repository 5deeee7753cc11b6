"""docs/python.md and docs/quickstart.ipynb, as they stand there."""

import ast
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
from conftest import ROOT, paint
from PIL import Image

from edgekit.training import Settings
from edgekit.verbs.learning import Training

pytestmark = pytest.mark.full
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
NOTEBOOK = json.loads((ROOT / "docs" / "quickstart.ipynb").read_text("utf-8"))


def test_every_verb_of_the_page_runs(tmp_path):
    """In a process of its own: it trains, which no other test's threads should wait for."""
    photos = paint(tmp_path / "my_photos", 12)
    for name in ("photo.png", "other.png"):
        Image.open(photos / "red" / "0.png").save(tmp_path / name)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    told = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | told, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    for kind in (
        "Trained('runs/shapes': resnet10t, 3 classes",
        "Artifact('build/shapes-onnx-int8",
        "Classes(",
        "[Match(",
    ):
        assert kind in done.stdout
    for said in (
        "Verification(passed",
        "Evaluation(shapes-onnx-int8",
        "Report('edgekit report': 2 runs, 2 evaluations",
    ):
        assert said in done.stdout
    assert "Trained('runs/less': resnet10t" in done.stdout
    assert "(did you mean target?)" in done.stdout
    assert (tmp_path / "build" / "report.html").is_file()


def test_keywords_of_train_are_the_settings():
    assert set(Training.__annotations__) == set(Settings.__struct_fields__) - {"model", "data"}


def without_figures(text):
    return re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?", "#", text).strip()


def shown(cell):
    """What a cell printed, and what its last line is."""
    return "".join(
        "".join(output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"])
        for output in cell["outputs"]
        if output["output_type"] == "stream" or "text/plain" in output["data"]
    )


def test_the_notebook_shows_what_its_cells_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in (cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"):
        *body, last = ast.parse("".join(cell["source"])).body
        with redirect_stdout(io.StringIO()) as said:
            value = None
            exec(compile(ast.Module(body, []), "quickstart.ipynb", "exec"), names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "quickstart.ipynb", "eval"), names)  # noqa: S307
            else:
                exec(compile(ast.Module([last], []), "quickstart.ipynb", "exec"), names)
        answered = said.getvalue() + ("" if value is None else repr(value))
        assert without_figures(answered) == without_figures(shown(cell)), cell["source"]
    assert names["model"].manifest.proof.passed
