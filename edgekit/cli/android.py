"""edgekit android add, edgekit android list: the models that the Android app carries."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.output import Talk, common, megabytes, table
from edgekit.cli.usage import Group

if TYPE_CHECKING:
    from edgekit.artifact import Artifact


@click.group(cls=Group, short_help="The artifacts that the Android app carries.")
def android() -> None:
    """Put artifacts into the Android app, and see what it carries.

    \b
    Examples:
      edgekit android add build/mobilenetv2-tflite-int8
      edgekit android list
    """


def app_option(function: Any) -> Any:
    return click.option(
        "--app",
        default="android_demo",
        show_default=True,
        metavar="DIR",
        help="The app: the folder with settings.gradle.kts.",
    )(function)


@android.command(short_help="Copy an artifact into the app.")
@click.argument("artifact")
@app_option
@common
def add(talk: Talk, artifact: str, app: str) -> int:
    """Copy ARTIFACT into the app's assets, in place of one of its name.

    \b
    Examples:
      edgekit android add build/mobilenetv2-tflite-int8
      edgekit android add build/vit_tiny-onnx-int8 --app ~/src/android_demo
    """
    from edgekit.android import add as put

    added = put(Path(artifact), Path(app))
    if added.needs:
        talk.warn(f"this file needs {added.needs} or later on phones; with an older one the app refuses it")
    own = added.artifact.manifest.golden.own
    if own:
        talk.warn(
            f"golden.npz holds {added.artifact.manifest.golden.words}, in every app made from here too;"
            " edgekit export without --golden own takes others"
        )
    folder, replaced = added.artifact.folder, " (replaced)" if added.replaced else ""
    document = {"name": added.artifact.name, "folder": str(folder), "bytes": added.bytes, "replaced": added.replaced}
    document |= {"needs": added.needs, "own_pictures": own}
    talk.result(f"{folder}  {megabytes(added.bytes)}{replaced}", document)
    return 0


def _of(made: "Artifact") -> str:
    from edgekit.readme import answers

    return f"{made.manifest.labels} classes" if made.manifest.labels else answers(made.manifest)


@android.command("list", short_help="What the app carries.")
@app_option
@common
def list_(talk: Talk, app: str) -> int:
    """What the app carries.

    \b
    Examples:
      edgekit android list
      edgekit android list --app ~/src/android_demo --json
    """
    from edgekit.android import carried

    found = carried(Path(app))
    document = [
        {
            "name": a.name,
            "target": a.target,
            "scheme": a.manifest.scheme,
            "classes": a.manifest.labels,
            "bytes": a.model_bytes,
        }
        for a in found
    ]
    rows = [(a.name, a.target, a.manifest.scheme, _of(a), megabytes(a.model_bytes)) for a in found]
    talk.result(table(rows) if rows else "no models: edgekit android add ARTIFACT puts one in", document)
    return 0
