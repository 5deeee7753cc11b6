"""Artifacts go to the Hugging Face hub and come back whole; the hub is a server on this machine (fake_hub.py)."""

import json
import shutil

import fake_hub
import pytest
from click.testing import CliRunner
from conftest import GOLDEN, GOLDEN_FILES

from edgekit import artifact
from edgekit.cli import main
from edgekit.hub import pull, push

pytestmark = pytest.mark.full  # huggingface_hub comes with the making half

NAME = "anna/tiny"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    constants = "huggingface_hub.constants."
    with fake_hub.running() as (found, address):
        monkeypatch.setattr(constants + "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants + "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants + "ENDPOINT", address)
        monkeypatch.setattr(
            constants + "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants + "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: fake_hub.TOKEN)
        found.address = address
        monkeypatch.chdir(tmp_path)
        yield found


@pytest.fixture
def drawn(tmp_path):
    """An artifact whose golden images may be published."""
    return shutil.copytree(GOLDEN_FILES / "tiny3-tflite-int8", tmp_path / "tiny")


def run(*command):
    done = CliRunner().invoke(main, [str(word) for word in command])
    return done.exit_code, done.output


def test_there_and_back(hub, drawn, tmp_path):
    code, said = run("hub", "push", drawn, NAME)
    assert code == 0, said
    assert "next: edgekit hub pull anna/tiny" in said
    files = hub.repositories[NAME]["main"]
    assert {"README.md", "bom.cdx.json", "provenance.json", "tiny/model.tflite", "tiny/manifest.json"} <= set(files)
    assert b"pipeline_tag" in files["README.md"]
    assert files["tiny/model.tflite"] == (drawn / "model.tflite").read_bytes()
    code, said = run("hub", "pull", NAME, "--json")
    assert code == 0, said
    assert json.loads(said)["commit"] == hub.commit_id(NAME, "main")
    back = tmp_path / "build" / "tiny"
    assert artifact.load(back).manifest == artifact.load(drawn).manifest
    assert sorted(p.name for p in back.iterdir()) == sorted(p.name for p in drawn.iterdir())


def test_a_newer_artifact_replaces_an_older_one_in_one_commit(hub, drawn):
    (drawn / "model.sig").write_text("{}")
    push(drawn, NAME)
    assert "tiny/model.sig" in hub.repositories[NAME]["main"]
    (drawn / "model.sig").unlink()
    pushed = push(drawn, NAME, private=True)
    assert "tiny/model.sig" not in hub.repositories[NAME]["main"]
    assert hub.commits == 2
    assert pushed.commit == hub.commit_id(NAME, "main")
    assert NAME not in hub.private  # it was there before


def test_a_repository_holds_one_artifact_and_a_branch_another(hub, drawn, tmp_path):
    push(drawn, NAME)
    other = shutil.copytree(drawn, tmp_path / "other")
    code, said = run("hub", "push", other, NAME)
    assert (code, "holds another artifact, tiny" in said, "--revision" in said) == (2, True, True), said
    hub.repositories[NAME]["main"].pop("tiny/manifest.json")
    push(other, NAME, revision="second")
    assert pull(NAME, revision="second").artifact.name == "other"


def test_images_of_the_user_are_not_pushed(hub):
    code, said = run("hub", "push", GOLDEN, NAME)
    assert (code, "images of yours" in said, "without --golden own" in said) == (2, True, True), said
    assert hub.repositories == {}


def test_what_comes_is_checked_and_leaves_nothing(hub, drawn, tmp_path):
    push(drawn, NAME)
    files = hub.repositories[NAME]["main"]
    files["tiny/model.tflite"] = files["tiny/model.tflite"][:-1] + b"x"
    code, said = run("hub", "pull", NAME)
    assert (code, "model.tflite is not the file that was exported" in said) == (4, True), said
    del files["tiny/model.tflite"]
    code, said = run("hub", "pull", NAME)
    assert (code, "lacks tiny/model.tflite" in said) == (4, True), said
    assert list((tmp_path / "build").glob("*")) == []


def test_one_of_several_is_named(hub, drawn):
    push(drawn, NAME)
    files = hub.repositories[NAME]["main"]
    files |= {name.replace("tiny/", "twin/"): blob for name, blob in files.items() if name.startswith("tiny/")}
    code, said = run("hub", "pull", NAME)
    assert (code, "anna/tiny/tiny, anna/tiny/twin" in said) == (2, True), said
    assert pull(f"{NAME}/twin").artifact.name == "twin"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ((401, "Invalid username or password."), 3, "hf auth login"),
        ((403, "You don't have the rights"), 3, "hf auth login"),
        ((429, "Too many"), 3, "answers 429"),
        ((500, "Down"), 3, "answers 500"),
    ],
)
def test_what_the_hub_says_is_passed_on(hub, drawn, monkeypatch, status, code, words):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.fails = status
    done, said = run("hub", "push", drawn, NAME)
    assert (done, words in said, "Traceback" in said, "hf_secret" in said) == (code, True, False, False), said


def test_wrong_requests(hub, drawn, tmp_path, monkeypatch):
    push(drawn, NAME)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    hub.repositories["anna/empty"] = {"main": {"README.md": b""}}
    for command, code, words in (
        (("push", drawn, "tiny"), 2, "is no repository of the hub"),
        (("push", drawn, f"{NAME}/sub"), 2, f"edgekit hub push {drawn} {NAME}"),
        (("push", tmp_path / "full", NAME), 4, "is not an artifact"),
        (("pull", "a b/c"), 2, "is no repository of the hub"),
        (("pull", "anna/--"), 2, "cannot be a repository"),
        (("pull", "anna/none"), 3, "has no anna/none, or hides it"),
        (("pull", "anna/empty"), 4, "holds no artifact"),
        (("pull", f"{NAME}/none"), 2, "holds no artifact none"),
        (("pull", NAME, "--revision", "v9"), 3, "has no such revision"),
        (("pull", NAME, "-o", tmp_path / "full"), 2, "notes.txt"),
    ):
        done, said = run("hub", *command)
        assert (done, words in said) == (code, True), said
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done, said = run("hub", "pull", NAME)
    assert (done, "HF_HUB_OFFLINE" in said) == (3, True), said
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
