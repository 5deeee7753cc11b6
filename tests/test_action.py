"""The GitHub Action: its shell steps run here, in a repository of two commits, with what a runner would set."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import GOLDEN_FILES, ROOT

pytestmark = pytest.mark.full
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "name" in step}
BUILD = "mkdir -p build && cp -R source build/model"


@pytest.fixture
def runner(tmp_path):
    """A checkout whose base has the TFLite artifact; the variables of a runner; `edgekit` on the path."""
    origin, checkout, tools = tmp_path / "origin", tmp_path / "checkout", tmp_path / "bin"
    shutil.copytree(GOLDEN_FILES / "tiny-tflite-int8", origin / "source")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "uploadpack.allowAnySHA1InWant=true"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, "-C", origin, *command], check=True)
    subprocess.run([*git, "clone", "-q", origin, checkout], check=True)
    tools.mkdir()
    edgekit = tools / "edgekit"
    edgekit.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgekit "$@"\n')
    edgekit.chmod(0o755)
    (tools / "python").symlink_to(sys.executable)
    base = subprocess.run([*git, "-C", origin, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    (tmp_path / "temp").mkdir()
    return checkout, os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "BASE": base.stdout.strip(),
        "BUILD": BUILD,
        "ARTIFACT": "build/model",
    }


def step(runner, name, **more):
    checkout, variables = runner
    script = STEPS[name]["run"]
    assert "${{" not in script  # what comes from outside goes through variables, never into the script's text
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=checkout,
        env=variables | more,
        capture_output=True,
        text=True,
    )


def test_a_pull_request_is_compared_with_its_base(runner):
    checkout, variables = runner
    for name in ("Make the baseline", "Make the candidate"):
        done = step(runner, name)
        assert done.returncode == 0, done.stderr
    assert (checkout / ".edgekit-baseline" / "model" / "manifest.json").is_file()
    (checkout / "gate.toml").write_text("[limits]\nmax_slowdown = 1000\nmax_load = 1000\nmax_memory = 1000\n")
    done = step(runner, "Compare", OPTIONS="--budgets gate.toml")
    assert done.returncode == 0, done.stderr
    told = dict(line.split("=") for line in Path(variables["GITHUB_OUTPUT"]).read_text().splitlines())
    assert told == {"outcome": "pass", "code": "0"}
    assert "edgekit gate" in Path(variables["GITHUB_STEP_SUMMARY"]).read_text()
    assert step(runner, "Verdict", CODE="0", OUTCOME="pass").returncode == 0


def test_a_regression_and_an_error_fail_the_job(runner):
    checkout, variables = runner
    shutil.copytree(GOLDEN_FILES / "tiny-tflite-int8", checkout / ".edgekit-baseline" / "model")
    (checkout / "build").mkdir()
    shutil.copytree(GOLDEN_FILES / "tiny-onnx-int8", checkout / "build" / "model")  # of another target
    assert step(runner, "Compare", OPTIONS="").returncode == 0
    told = dict(line.split("=") for line in Path(variables["GITHUB_OUTPUT"]).read_text().splitlines())
    assert told == {"outcome": "error", "code": "2"}
    verdict = step(runner, "Verdict", CODE="1", OUTCOME="fail")
    assert verdict.returncode == 1
    assert verdict.stdout.startswith("::error::")


def test_every_input_is_used_and_every_variable_is_given():
    text = (ROOT / "action.yml").read_text("utf-8")
    for name in ACTION["inputs"]:
        assert f"inputs.{name}" in text
    for name, one in STEPS.items():
        used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)\b", one["run"])) - {
            "RUNNER_TEMP",
            "GITHUB_STEP_SUMMARY",
            "GITHUB_OUTPUT",
        }
        assert used == set(one.get("env", {})) - {"GH_TOKEN"}, name
