"""What a user installs: the wheel that is built from the source distribution, in an environment outside the checkout.

tests/test_readme.py runs the README's session there.
"""

import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT
from resolving import PYTHONS, resolve

pytestmark = pytest.mark.full


def contents(wheel):
    """What a wheel installs, and from what: the record lists hashes of everything else."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_source_distribution_gives_the_wheel_that_the_checkout_gives(wheel, tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert contents(wheel) == contents(next(tmp_path.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_beside_it(wheel):
    tracked = subprocess.run(
        ["git", "ls-files", "edgekit", "edgekit_vision.py"], cwd=ROOT, check=True, capture_output=True
    )
    held = {name for name in contents(wheel) if ".dist-info/" not in name and "/export_recipes/" not in name}
    assert held == set(tracked.stdout.decode().split())
    assert {name.partition("/")[0].partition("-")[0] for name in contents(wheel)} == {
        "edgekit",
        "edgekit_vision.py",
        "edgekit_vision",
    }


def test_it_runs_from_where_it_was_installed_and_says_how_to_add_to_it(wheel, installed, tmp_path):
    def run(*words):
        return subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert "mobilenetv2-tflite-int8" in run(installed, "list", "recipes").split()
    home = run(installed.with_name("python"), "-c", "import edgekit; print(edgekit.__file__)")
    assert home.startswith(str(installed.parents[1]))
    hint = run(installed.with_name("python"), "-c", "import edgekit_vision as e; print(e.install('tflite'))")
    assert hint == f'pip install "{wheel}[tflite]"\n'


@pytest.mark.parametrize("python", PYTHONS)
def test_pip_resolves_what_only_runs_files(python):
    assert resolve("run-tflite", python) == ""
