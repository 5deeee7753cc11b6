"""What surrounds the code: workflows, issue forms, Dockerfiles and the citation name what is there.

Their schemas are not at hand in an environment for tests; CONTRIBUTING.md says how to ask the tools that know them.
"""

import re
import tomllib
from fnmatch import fnmatch

import pytest
import yaml
from conftest import ROOT
from resolving import PYTHONS

from edgekit.cli import COMMANDS

pytestmark = pytest.mark.full
GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: path for path in (GITHUB / "workflows").glob("*.yml")}
FORMS = [path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def jobs(workflow):
    return yaml.safe_load(WORKFLOWS[workflow].read_text("utf-8"))["jobs"]


def steps():
    return [(name, step) for name in WORKFLOWS for job in jobs(name).values() for step in job["steps"]]


def test_what_workflows_run_is_there():
    scripts = [step["run"] for _, step in steps() if "run" in step]
    made = {target for script in scripts for target in re.findall(r"\bmake ([a-z-]+)", script)}
    assert {"fast", "demo", "newest", "dist"} <= made <= TARGETS
    assert any(".ci/run" in script for script in scripts)
    assert (ROOT / ".ci" / "run").is_file()
    told = (ROOT / "CONTRIBUTING.md").read_text("utf-8") + (GITHUB / "pull_request_template.md").read_text("utf-8")
    assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", told, re.MULTILINE)) <= TARGETS


def test_nothing_from_outside_gets_into_a_script_and_rights_are_few():
    for name, step in steps():
        assert "${{" not in step.get("run", ""), name
    for name, path in WORKFLOWS.items():
        text = path.read_text("utf-8")
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}, name
        assert "secrets." not in text
        assert "pull_request_target" not in text
    rights = jobs("release")["publish"]["permissions"]
    assert rights == {"id-token": "write", "attestations": "write"}


def test_actions_are_pinned_by_commit_and_alike_everywhere():
    pins = {}
    for path in (*WORKFLOWS.values(), ROOT / "action.yml"):
        for line in re.findall(r"uses: (.+)", path.read_text("utf-8")):
            pin = re.fullmatch(r"([\w/-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line)
            assert pin, f"{path.name}: {line}"
            pins.setdefault(pin[1], set()).add((pin[2], pin[3]))
    assert len(pins) > 3
    assert [name for name, found in pins.items() if len(found) > 1] == []


def test_the_lanes_are_the_pythons_that_the_package_names():
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert named == set(PYTHONS)
    for lane in ("run", "make"):
        assert jobs("ci")[lane]["strategy"]["matrix"]["python"] == [p for p in PYTHONS if p != "3.11"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_each_thing_once_and_names_commands_that_exist(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    assert {"name", "description", "labels", "body"} == set(form)
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(set(ids)) == len(ids) > 2
    assert any(part.get("validations", {}).get("required") for part in form["body"])
    commands = set(re.findall(r"`edgekit ([a-z]+)", path.read_text("utf-8")))
    assert commands <= set(COMMANDS)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_is_built_of_what_docker_may_see(path):
    text = path.read_text("utf-8")
    lines = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")]
    shown = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert lines[0] == "*"
    assert all((ROOT / name).exists() for name in shown)
    needed = ["pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "edgekit_vision.py", "export_recipes"]
    assert [name for name in (*needed, "constraints.txt") if not any(fnmatch(name, f"{s}*") for s in shown)] == []
    (extras,) = re.findall(r'"\.\[([\w,-]+)\]"', text)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert f"python:{PYTHONS[0]}-" in text
    assert f"docker build -f docker/{path.name} " in text


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (str(cited["version"]), cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert {"cff-version", "message", "title", "authors"} <= set(cited)


def test_security_md_names_files_and_commands_that_exist():
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    paths = [*re.findall(r"\]\((?!https)([^)]+)\)", text), *re.findall(r"`((?:docker|\.github)/[^`]+)`", text)]
    assert len(paths) > 2
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert set(re.findall(r"`edgekit ([a-z]+)", text)) <= set(COMMANDS)


def test_the_canary_fails_for_what_only_the_newest_versions_break():
    from newest import Row, told, verified

    from edgekit.cells import Done

    def done(error=None, exit_code=0):
        return Done("key", ("export",), {}, None if error else [], error, "", "", exit_code, 1.0, 1.0, 1)

    fine, failed, otherwise = done(), done("ended with 4: no such operator", 4), done(exit_code=1)
    assert not Row("a", fine, fine, fine).broken
    assert Row("a", fine, failed, None).broken
    assert Row("a", fine, fine, otherwise).broken
    assert not Row("a", failed, failed, None).broken
    assert told(failed) == "**failed**: ended with 4: no such operator"
    assert (verified(fine), verified(otherwise)) == ("ok", "**answers otherwise**")
