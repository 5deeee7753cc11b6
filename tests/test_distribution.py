"""How edgekit was installed, and whose the package is: real metadata in folders of their own, put on the path."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

import edgekit_vision

COMMIT = "0123456789012345678901234567890123456789"


def metadata(site, name, version="9.9", **files):
    """A distribution's folder of metadata, as installers write it; `__` in a name of `files` is a dot."""
    about = site / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    for file, text in files.items():
        (about / file.replace("__", ".")).write_text(text, "utf-8")
    return about


def start(site, *arguments, code="import sys; from edgekit_vision import main; main()"):
    command = [sys.executable, "-c", code, *arguments] if code else [sys.executable, "-m", "edgekit", *arguments]
    env = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=env, cwd=site, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, 'pip install "edgekit-vision[tflite]"'),
        (
            {"url": "file:///home/me/my%20clone", "dir_info": {"editable": True}},
            'pip install -e "/home/me/my clone[tflite]"',
        ),
        ({"url": "file:///home/me/clone", "dir_info": {}}, 'pip install "/home/me/clone[tflite]"'),
        (
            {"url": "file:///tmp/edgekit_vision-0.1.0-py3-none-any.whl", "archive_info": {}},
            'pip install "/tmp/edgekit_vision-0.1.0-py3-none-any.whl[tflite]"',
        ),
        (
            {"url": "https://host/me/edgekit", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f'pip install "edgekit-vision[tflite] @ git+https://host/me/edgekit@{COMMIT}"',
        ),
        (
            {
                "url": "ssh://git@host/edgekit",
                "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": COMMIT},
                "subdirectory": "python",
            },
            'pip install "edgekit-vision[tflite] @ git+ssh://git@host/edgekit@v1#subdirectory=python"',
        ),
        (
            {"url": "https://host/edgekit_vision-0.1.0.tar.gz", "archive_info": {}},
            'pip install "edgekit-vision[tflite] @ https://host/edgekit_vision-0.1.0.tar.gz"',
        ),
    ],
    ids=["name", "editable", "clone", "wheel", "commit", "tag", "archive"],
)
def test_the_command_that_adds_an_extra_installs_this_very_edgekit(tmp_path, monkeypatch, origin, command):
    metadata(tmp_path, "edgekit-vision", **({"direct_url__json": json.dumps(origin)} if origin else {}))
    monkeypatch.syspath_prepend(tmp_path)
    assert edgekit_vision.install("tflite") == command


def test_a_clone_that_was_only_put_on_the_path_is_what_is_installed(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT)])
    assert edgekit_vision.installed() is None
    assert edgekit_vision.install("tflite") == f'pip install "{ROOT}[tflite]"'


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"RECORD": "edgekit/__init__.py,sha256=x,1\n"}, "from edgekit.cli import main; main()"),
        ({"RECORD": "edgekit.py,,\n"}, "from edgekit_vision import main; main()"),
        ({"top_level__txt": "tests\nedgekit\n"}, None),
    ],
    ids=["files", "module", "top level"],
)
def test_a_stranger_in_the_package_ends_the_program(tmp_path, files, code):
    metadata(tmp_path, "edge-tools", **files)
    done = start(tmp_path, "doctor", code=code)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [
        "error: not only edgekit-vision has files in the Python package 'edgekit', but also edge_tools 9.9",
        f"  try: pip uninstall edge_tools && pip install --force-reinstall --no-deps {edgekit_vision.requirement()}",
    ]


def test_a_stranger_whose_package_comes_first_ends_the_program_too(tmp_path):
    (tmp_path / "edgekit").mkdir()
    (tmp_path / "edgekit" / "__init__.py").write_text("raise SystemExit('theirs')", "utf-8")
    metadata(tmp_path, "edgekit", RECORD="edgekit/__init__.py,,\n")
    done = start(tmp_path, "--help")
    assert (done.returncode, done.stdout) == (3, "")
    assert "but also edgekit 9.9" in done.stderr


def test_who_only_sounds_alike_and_the_clone_under_its_old_name_are_no_strangers(tmp_path):
    metadata(tmp_path, "edgekit-sdk", RECORD="edgekit_sdk/__init__.py,,\nother/edgekit/__init__.py,,\n")
    here = {"url": ROOT.as_uri(), "dir_info": {"editable": True}}
    metadata(tmp_path, "edgekit", RECORD="edgekit/export_recipes/a.toml,,\n", direct_url__json=json.dumps(here))
    done = start(tmp_path, "--version")
    assert done.returncode == 0, done.stderr


@pytest.mark.both
def test_to_look_for_strangers_imports_no_importlib_metadata():
    code = (
        "import sys; from edgekit_vision import main\n"
        "try: main()\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert "Usage" in done.stdout
    assert not {"importlib.metadata", "email", "urllib.request", "zipfile"} & set(done.stderr.split())
