"""edgekit android new, add, list: the models that the Android app carries; edgekit android doctor: what is inside an APK or AAR."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.output import Talk, common, megabytes, table
from edgekit.cli.usage import Group

if TYPE_CHECKING:
    from edgekit.android.doctor import Fit
    from edgekit.android.package import Library, Package
    from edgekit.artifact import Artifact


@click.group(cls=Group, short_help="Models in the Android app; APKs examined.")
def android() -> None:
    """Put artifacts into the Android app, see what it carries, and what a store or a phone would object to.

    \b
    Examples:
      edgekit android add build/mobilenetv2-tflite-int8
      edgekit android list
      edgekit android doctor app-release.apk
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
    document |= {"needs": added.needs, "own_images": own}
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


@android.command(short_help="An app of your own, from this one.")
@click.argument("folder", metavar="DIR")
@click.argument("artifacts", nargs=-1, metavar="[ARTIFACT...]")
@click.option("--name", required=True, metavar="NAME", help="What the launcher shows.")
@click.option("--package", required=True, metavar="PACKAGE", help="Whose app it is: org.example.birds.")
@click.option("--icon", metavar="IMAGE", help="For the launcher, best a square PNG.  [default: edgekit's]")
@app_option
@common
def new(
    talk: Talk, folder: str, artifacts: tuple[str, ...], name: str, package: str, icon: str | None, app: str
) -> int:
    """Begin an app of your own in DIR, as a copy of edgekit's: with its name, package, icon and models.

    \b
    Examples:
      edgekit android new app build/a-tflite-int8 --name Birds --package org.birds
      edgekit android new birds --name Birds --package org.birds --icon bird.png
    """
    from edgekit.android.starting import new as begin

    picture = Path(icon) if icon else None
    made = begin(Path(folder), Path(app), name, package, picture, [Path(artifact) for artifact in artifacts])
    lines = f"{made}  open it in Android Studio; edgekit android add ARTIFACT --app {made} puts models in"
    talk.result(lines, {"folder": str(made), "name": name, "package": package, "artifacts": list(artifacts)})
    return 0


@android.command(short_help="What a store would object to in an APK.")
@click.argument("package", metavar="APK|AAR")
@common
def doctor(talk: Talk, package: str) -> int:
    """What stands in an APK or AAR: pages of 16 KB, CPUs, targetSdk, permissions, artifacts and whether the runtime inside
    is new enough for each.

    Ends with exit code 1 where Google Play refuses it, or where an artifact cannot run on the runtime inside.

    \b
    Examples:
      edgekit android doctor app-release.apk
      edgekit android doctor litert.aar --json
    """
    from edgekit.android import doctor as judge
    from edgekit.android.package import read

    found = read(Path(package))
    faults, notes = judge.findings(found), judge.notes(found)
    lines = [f"{found.path}  {megabytes(found.path.stat().st_size)}", table(_facts(found), indent="  ")]
    if found.libraries:
        lines.append(
            table(
                [_library(x, found.kind) for x in found.libraries],
                header=("library", "CPU", "linked for", "in the zip"),
                indent="  ",
            )
        )
    if found.artifacts:
        rows = [_artifact(fit) for fit in judge.fits(found)]
        lines.append(table(rows, header=("artifact", "model", "runtime inside", "new enough"), indent="  "))
    lines += [f"note: {note}" for note in notes]
    lines += [f"{'Google Play refuses' if f.play else 'does not run'}: {f.what}\n  try: {f.fix}" for f in faults]
    if not faults:
        lines.append("nothing found that stops it")
    talk.result("\n".join(lines), _diagnosis(found))
    return 1 if faults else 0


def _facts(found: "Package") -> list[tuple[str, str]]:
    from edgekit.android.doctor import telemetry

    target = "a preview's" if found.target_sdk is None else str(found.target_sdk)
    rows = [
        (found.kind, " ".join(filter(None, (found.name, found.version, "debuggable" if found.debuggable else "")))),
        ("minSdk", "not a number" if found.min_sdk is None else str(found.min_sdk)),
        ("targetSdk", target if found.kind == "APK" else "the app's"),
        ("CPUs", ", ".join(found.abis) or "any: no native libraries"),
        ("permissions", ", ".join(p.removeprefix("android.permission.") for p in found.permissions) or "none"),
        ("telemetry", telemetry(found)),
    ]
    return [row for row in rows if row[1]]


def _library(library: "Library", kind: str) -> tuple[str, ...]:
    from edgekit.android.doctor import PAGE, pages

    linked = pages(library.page) if library.bits else "no ELF file"
    if kind == "AAR":
        where = ""
    elif library.begins is None:
        where = "packed"
    else:
        where = "on a page of 16 KB" if library.begins % PAGE == 0 else "not on a page of 16 KB"
    return library.name, library.abi, linked, where


def _artifact(fit: "Fit") -> tuple[str, ...]:
    said = {True: "yes", None: "not known", False: "no"}[fit.new_enough]
    return fit.folder.removeprefix("assets/"), fit.model or "damaged", fit.runtime or "none", said


def _diagnosis(found: "Package") -> dict[str, Any]:
    import msgspec

    from edgekit.android import doctor as judge

    document: dict[str, Any] = {
        name: getattr(found, name)
        for name in ("kind", "name", "version", "min_sdk", "target_sdk", "debuggable", "permissions", "libraries")
    }
    document |= {"path": str(found.path), "abis": found.abis, "telemetry": judge.telemetry(found)}
    document["runtimes"] = [
        {"target": r.target, "abi": r.abi, "library": r.library, "name": str(r.version) if r.version else None}
        for r in found.runtimes
    ]
    document |= {"artifacts": judge.fits(found), "notes": judge.notes(found), "faults": judge.findings(found)}
    plain: dict[str, Any] = msgspec.to_builtins(document)
    return plain
