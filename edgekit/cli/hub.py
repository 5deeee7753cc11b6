"""edgekit hub push, edgekit hub pull: artifacts on the Hugging Face hub."""

from pathlib import Path

import click

from edgekit.cli.output import Talk, common
from edgekit.cli.usage import Group


@click.group(cls=Group, short_help="Artifacts on the Hugging Face hub.")
def hub() -> None:
    """Publish an artifact on the Hugging Face hub, and fetch one from there.

    \b
    Examples:
      edgekit hub push build/mobilenetv2-tflite-int8 anna/mobilenetv2-tflite-int8
      edgekit hub pull anna/mobilenetv2-tflite-int8
    """


@hub.command(short_help="Publish an artifact with its papers.")
@click.argument("artifact")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Where the repository is made now: only its owner sees it.")
@click.option("--revision", metavar="BRANCH", help="Push to this branch.  [default: the main one]")
@click.option("--runs", metavar="FILE", help="Runs with the file's accuracy, as edgekit eval appends them.")
@common
def push(talk: Talk, artifact: str, repository: str, private: bool, revision: str | None, runs: str | None) -> int:
    """Publish ARTIFACT in a repository, with the model card, bill of materials and provenance of edgekit bundle.

    A repository, or a branch, holds one artifact; an older one of its name is replaced. An artifact whose golden images
    are your own is refused. Log in first: hf auth login, or HF_TOKEN.

    \b
    Examples:
      edgekit hub push build/mobilenetv2-tflite-int8 anna/mobilenetv2-tflite-int8
      edgekit hub push build/mine-tflite-int8 anna/mine --runs build/runs.jsonl
    """
    from edgekit.cli.bundle import accuracy
    from edgekit.hub import push as publish

    pushed = publish(artifact, repository, accuracy(talk, artifact, runs), private=private, revision=revision)
    document = {"url": pushed.url, "commit": pushed.commit, "bytes": pushed.bytes, "files": pushed.files}
    size = f"{len(pushed.files)} files, {pushed.bytes / 1e6:.2f} MB, commit {pushed.commit[:12]}"
    talk.result(f"{pushed.url}\n  {size}", document)
    talk.next(["edgekit", "hub", "pull", repository], timed=False)
    return 0


@hub.command(short_help="Fetch an artifact and check it.")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("-o", "--output", metavar="DIR", help="Where it goes.  [default: build/ and its name]")
@click.option("--revision", metavar="NAME", help="A branch, a tag or a commit.  [default: the main branch]")
@common
def pull(talk: Talk, repository: str, output: str | None, revision: str | None) -> int:
    """Fetch an artifact, check each of its files against its manifest, and put it into its place.

    OWNER/NAME/FOLDER names one of several.

    \b
    Examples:
      edgekit hub pull anna/mobilenetv2-tflite-int8
      edgekit hub pull anna/mobilenetv2 --revision tflite -o build/mobilenetv2
    """
    from edgekit.hub import pull as fetch

    pulled = fetch(repository, Path(output) if output else None, revision=revision)
    found = pulled.artifact
    document = {
        "folder": str(found.folder),
        "commit": pulled.commit,
        "target": found.target,
        "scheme": found.manifest.scheme,
    }
    talk.result(
        f"{found.folder}  {found.manifest.title} for {found.target}, {found.manifest.scheme}, commit {pulled.commit[:12]}",
        document,
    )
    talk.next(["edgekit", "verify", found.folder], timed=False)
    return 0
