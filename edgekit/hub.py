"""Artifacts on the Hugging Face hub: `push` publishes one with its papers, `pull` brings one back and checks it.

A repository, or one branch of it, holds one artifact: what is in the zip of `edgekit bundle`, so that the hub shows the
model card. Weights that a network starts from are another matter: edgekit/models/hub.py.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit import artifact, bundle, publishing
from edgekit.artifact import Artifact
from edgekit.errors import ArtifactError, EdgekitError, HubError, RequestError, kind_and_reason, reason
from edgekit.extras import needs
from edgekit.manifest import read_manifest
from edgekit.runs import Record
from edgekit.signing import SIGNATURE

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
LOG_IN = "hf auth login, or set HF_TOKEN to a token that may write"


@dataclass(frozen=True)
class Pushed:
    """Where an artifact went. `commit`: of the hub, 40 hex digits. `files`: their paths in the repository."""

    url: str
    commit: str
    files: list[str]
    bytes: int


@dataclass(frozen=True)
class Pulled:
    """What came, and from which commit of the hub."""

    artifact: Artifact
    commit: str


def push(
    folder: str | Path,
    repository: str,
    records: Sequence[Record] = (),
    *,
    private: bool = False,
    revision: str | None = None,
) -> Pushed:
    """Publish an artifact with its model card, bill of materials and provenance, in one commit.

    repository  OWNER/NAME; made where it does not exist
    records     runs, whose accuracy of the same bytes comes into the card
    private     of a repository that is made now
    revision    a branch, made where it does not exist; the main one where None

    Raises ArtifactError, ParityError (its proof refused it), RequestError (also for golden images that are the user's),
    HubError.
    """
    repository, inside = _named(repository)
    if inside:
        raise RequestError(f"{repository}/{inside} is no repository", hint=f"edgekit hub push {folder} {repository}")
    made = artifact.load(folder)
    if made.manifest.golden.own:
        raise RequestError(
            f"golden.npz holds images of yours ({made.manifest.golden.source}), and the hub is for others",
            hint="export it again without --golden own",
        )
    files = bundle.files(made, records)
    hub = _hub()
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with _answering(repository):
        url = hub.create_repo(repository, private=private, exist_ok=True)
        if revision:
            hub.create_branch(repository, branch=revision, exist_ok=True)
        there = hub.list_repo_files(repository, revision=revision)
        if others := [name for name in _artifacts(there) if name != made.name]:
            raise RequestError(
                f"{repository} holds another artifact, {others[0] or 'at its top'}",
                hint="a repository of its own, or a branch: --revision NAME",
            )
        gone = [name for name in there if name.startswith(f"{made.name}/") and name not in files]
        commit = hub.create_commit(
            repository,
            [
                *(CommitOperationAdd(name, blob) for name, blob in sorted(files.items())),
                *(CommitOperationDelete(name) for name in gone),
            ],
            commit_message=f"{made.name}, by edgekit {made.manifest.made_with['edgekit']}",
            revision=revision,
        )
    return Pushed(str(url), commit.oid, sorted(files), sum(map(len, files.values())))


def pull(repository: str, out: Path | None = None, *, revision: str | None = None) -> Pulled:
    """Fetch an artifact, check every file of it, and put it into its place in one step.

    repository  OWNER/NAME, or OWNER/NAME/FOLDER where it holds several artifacts
    out         its place; build/ and its own name where None
    revision    a branch, a tag or a commit

    Raises RequestError, HubError, ArtifactError (what came is not an artifact, or not whole), OutputError.
    """
    repository, inside = _named(repository)
    if out is not None:
        publishing.check_destination(out)
    hub = _hub()
    with _answering(repository):
        info = hub.model_info(repository, revision=revision)
        there = [file.rfilename for file in info.siblings or []]
    name = _chosen(repository, there, inside)
    place = out or Path("build", name or repository.partition("/")[2])
    with publishing.staging(place) as stage:

        def fetch(file: str) -> None:
            path = str(PurePosixPath(name, file))
            if path not in there:
                raise ArtifactError(f"{repository} lacks {path}", hint="push the artifact again")
            with _answering(repository):
                cached = hub.hf_hub_download(repository, path, revision=info.sha)
            shutil.copyfile(cached, stage / file)  # the hub's cache has links

        try:
            fetch("manifest.json")
            for file in read_manifest(stage).files:
                fetch(file)
            if str(PurePosixPath(name, SIGNATURE)) in there:
                fetch(SIGNATURE)
            manifest = artifact.load(stage).manifest
        except ArtifactError as error:
            raise ArtifactError(error.message.replace(str(stage), repository), hint=error.hint) from None
    return Pulled(Artifact(place, manifest), str(info.sha))


def _named(said: str) -> tuple[str, str]:
    """OWNER/NAME, and the folder behind it."""
    parts = said.removeprefix("https://huggingface.co/").strip("/").split("/", 2)
    repository = "/".join(parts[:2])
    if not REPOSITORY.fullmatch(repository):
        raise RequestError(
            f"{said!r} is no repository of the hub", hint="OWNER/NAME, as in anna/mobilenetv2-tflite-int8"
        )
    return repository, parts[2] if len(parts) > 2 else ""


def _artifacts(there: Sequence[str]) -> list[str]:
    """The folders with a manifest, "" for the repository itself."""
    folders = [name.removesuffix("manifest.json").rstrip("/") for name in there if Path(name).name == "manifest.json"]
    return sorted(folder for folder in folders if "/" not in folder)


def _chosen(repository: str, there: Sequence[str], inside: str) -> str:
    found = _artifacts(there)
    if inside in found:
        return inside
    if not found:
        raise ArtifactError(f"{repository} holds no artifact (no manifest.json)", hint="edgekit hub push makes one")
    if inside or len(found) > 1:
        what = f"no artifact {inside}" if inside else f"{len(found)} artifacts"
        listed = ", ".join("/".join(filter(None, (repository, name))) for name in found[:3])
        raise RequestError(f"{repository} holds {what}", hint=f"one of {listed}")
    return found[0]


def _hub() -> Any:
    """The hub's own client, which knows HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE."""
    with needs("hub"):
        import huggingface_hub

        return huggingface_hub.HfApi(library_name="edgekit")


@contextlib.contextmanager
def _answering(repository: str) -> Iterator[None]:
    """What the hub says against a request becomes a HubError. No address is quoted: one could hold a password."""
    from huggingface_hub import errors

    try:
        yield
    except EdgekitError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise HubError("the hub is switched off (HF_HUB_OFFLINE)", hint="unset HF_HUB_OFFLINE") from error
    except errors.HFValidationError as error:
        raise RequestError(f"{repository} cannot be a repository: {reason(error)}", hint="OWNER/NAME") from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repository} has no such revision", hint="another --revision, or none") from error
    except errors.LocalTokenNotFoundError as error:
        raise HubError("the hub wants to know who you are", hint=LOG_IN) from error
    except errors.HfHubHTTPError as error:
        code, said = error.response.status_code, getattr(error, "server_message", None) or "no reason given"
        if code == 404:
            raise HubError(f"the hub has no {repository}, or hides it", hint=f"check the name; {LOG_IN}") from error
        hint = LOG_IN if code in (401, 403) else "try again later"
        raise HubError(f"the hub answers {code} for {repository}: {said.splitlines()[0]}", hint=hint) from error
    except Exception as error:  # the hub's client raises many kinds, none of them ours to fix
        said = kind_and_reason(error.__cause__ or error)
        hint = "try again, finished parts are kept; or see HF_ENDPOINT"
        raise HubError(f"the hub is not reachable ({said})", hint=hint) from error
