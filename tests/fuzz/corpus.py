"""Cases by kind and number: each writes its files into an empty folder and says which command is to be run there."""

import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from PIL import Image

from edgekit import parity, recipe
from edgekit.artifact import Golden
from edgekit.manifest import UNSEALED, _seal, digest_of, file_record, read_manifest, save_manifest
from edgekit.tasks import Detection, Embedding, Raw, Segmentation, Task, name_of
from edgekit.tensors import Tensor
from fuzz.damage import change_object, changed_bytes, changed_document, changed_json, put

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass
class Case:
    """`counts`: inputs that one command reads. `refused`: a checksum or the content tells, so exit code 0 would be wrong."""

    command: list[str]
    refused: bool = False
    counts: int = 1


def artifacts(folder: Path) -> dict[str, Path]:
    """Whole artifacts of the newest schema: of four formats, by the suffix of their model; of the tasks besides
    classification, by their name. Needs runtimes, no torch."""
    made = {}
    for suffix, golden in ((".tflite", "tiny-tflite-int8"), (".onnx", "tiny-onnx-int8")):
        made[suffix] = Path(shutil.copytree(GOLDEN / golden, folder / suffix[1:]))
        save_manifest(made[suffix], read_manifest(made[suffix]))
    model = made[".onnx"] / "model.onnx"
    made[".ort"] = _of_onnx(made[".onnx"], folder / "ort", "onnx", {"model.ort": _ort(model)})
    made[".xml"] = _of_onnx(made[".onnx"], folder / "openvino", "openvino", _openvino(model))
    for task, graph in GRAPHS.items():
        made[name_of(task)] = _of_task(made[".onnx"], folder / name_of(task), task, graph)
    return made


GRAPHS = {  # what small files of the other tasks compute
    Segmentation(): "(float[1,3,32,32] image) => (float[1,3,8,8] scores) "
    "{ scores = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(image) }",
    Embedding(): "(float[1,3,32,32] image) => (float[1,3] embedding) "
    "{ all = GlobalAveragePool(image) embedding = Flatten(all) }",
    Detection(): "(float[1,3,32,32] image) => (float[1,64,4] boxes, float[1,64,3] scores) "
    "{ small = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(image) flat = Flatten<axis = 2>(small) "
    "shape = Constant<value = int64[3] {1, 3, 64}>() rows = Reshape(flat, shape) level = Sigmoid(rows) "
    "scores = Transpose<perm = [0, 2, 1]>(level) first = Constant<value = int64[1] {0}>() "
    "red = Gather<axis = 2>(scores, first) wide = Constant<value = float[1] {16}>() one = Mul(red, wide) "
    "two = Add(one, wide) boxes = Concat<axis = 2>(one, one, two, two) }",
    Raw(): "(float[1,3,32,32] image) => (float[1,3,1,1] mean, float[1,3,1,1] most) "
    "{ mean = GlobalAveragePool(image) most = GlobalMaxPool(image) }",
}


def _of_task(source: Path, place: Path, task: Task, graph: str) -> Path:
    import onnx
    import onnxruntime

    shutil.copytree(source, place)
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> g {graph}')
    onnx.save(model, place / "model.onnx")
    session, golden = onnxruntime.InferenceSession(place / "model.onnx"), Golden.load(place / "golden.npz", 1)
    answers = [session.run(None, {"image": x[None]}) for x in golden.tensors]
    golden = Golden(golden.images, golden.tensors, tuple(map(np.concatenate, zip(*answers, strict=True))))
    golden.save(place / "golden.npz")
    labels = ["road", "sky", "tree"] if isinstance(task, Segmentation | Detection) else []
    (place / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    manifest = read_manifest(source)
    layouts = {2: "NC", 3: "NAC", 4: "NCHW"}
    outputs = tuple(
        Tensor(o.name, tuple(o.shape), "float32", layouts[len(o.shape)], role=role, tolerance=tolerance)
        for o, role, tolerance in zip(
            session.get_outputs(),
            (*task.roles[: 2 if isinstance(task, Detection) else 1], "", ""),
            parity.tolerances(manifest.scheme, golden.answers),
            strict=False,
        )
    )
    proof = msgspec.structs.replace(manifest.proof, outputs=manifest.proof.outputs * len(outputs))
    calibration = manifest.calibration.sha256 if manifest.calibration else ""
    names = [name for name in manifest.files if labels or name != "labels.txt"]
    manifest = msgspec.structs.replace(
        manifest,
        task=task,
        outputs=outputs,
        labels=len(labels),
        proof=proof,
        recipe_digest=digest_of(manifest.recipe, manifest.weights.sha256, calibration, labels),
        files={name: file_record(place / name) for name in names},
    )
    save_manifest(place, manifest)
    return place


def _of_onnx(source: Path, place: Path, target: str, files: dict[str, bytes]) -> Path:
    shutil.copytree(source, place)
    (place / "model.onnx").unlink()
    for name, blob in files.items():
        (place / name).write_bytes(blob)
    manifest = read_manifest(source)
    asked = manifest.recipe | {"target": target}
    names = [*files, *(name for name in manifest.files if name != "model.onnx")]
    calibration = manifest.calibration.sha256 if manifest.calibration else ""
    labels = (place / "labels.txt").read_text().splitlines()
    manifest = msgspec.structs.replace(
        manifest,
        target=target,
        recipe=asked,
        recipe_digest=digest_of(asked, manifest.weights.sha256, calibration, labels),
        files={name: file_record(place / name) for name in names},
    )
    save_manifest(place, manifest)
    return place


def _ort(model: Path) -> bytes:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    place = model.with_name("x.ort")
    settings.optimized_model_filepath = str(place)
    settings.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    blob = place.read_bytes()
    place.unlink()
    return blob


def _openvino(model: Path) -> dict[str, bytes]:
    from edgekit.runtimes.openvino import core, openvino

    place = model.with_name("x.xml")
    openvino.save_model(core().read_model(str(model)), str(place), compress_to_fp16=False)
    found = {"model.xml": place.read_bytes(), "model.bin": place.with_suffix(".bin").read_bytes()}
    for path in (place, place.with_suffix(".bin")):
        path.unlink()
    return found


def reseal(folder: Path) -> None:
    """Checksums of what is there now, of the manifest too: only the content can tell."""
    path = folder / "manifest.json"
    try:
        document = json.loads(path.read_bytes())
        for name in document["files"]:
            if not (folder / name).is_file():  # /dev/zero has no end
                return
            record = file_record(folder / name)
            document["files"][name] = {"bytes": record.bytes, "sha256": record.sha256}
        document["checksum"] = UNSEALED
        blob = json.dumps(document, indent=2).encode()
        path.write_bytes(blob.replace(UNSEALED.encode(), _seal(blob, UNSEALED).encode()))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return  # what cannot be sealed again stays as it is


def _copy(bases: dict[str, Path], random: Random, suffix: str | None = None) -> Path:
    suffix = suffix or random.choice((".tflite", ".tflite", ".onnx"))
    return Path(shutil.copytree(bases[suffix], "a"))


def _picture(name: str = "p.png") -> str:
    Image.new("RGB", (40, 36), "green").save(name)
    return name


def _app() -> list[str]:
    place = Path("app/app/src/main/AndroidManifest.xml")
    place.parent.mkdir(parents=True)
    place.touch()
    return ["android", "add", "a", "--app", "app"]


def _look(random: Random) -> list[str]:
    """A command that opens the artifact `a`; those that start no process more often."""
    return random.choice(
        (["inspect", "a"], ["inspect", "a", "--json"], ["inspect", "a", "--layers", "-v"], ["verify", "a"], ["predict", "a", _picture()])
    )  # fmt: skip


def recipes(bases: dict[str, Path], random: Random) -> Case:
    whole = recipe.Recipe(
        model="mobilenetv2", target=random.choice(("tflite", "onnx", "openvino")), mean=(0.5, 0.5, 0.5)
    )
    whole = msgspec.structs.replace(whole, quantize=recipe.Quantize("int8", keep_float=("head",)), input_size=(64, 64))
    if random.random() < 0.4:
        blob = changed_bytes(recipe.dump(whole).encode(), random)
    else:
        document = changed_document(json.loads(json.dumps(recipe.full(whole))), random)
        try:
            blob = msgspec.toml.encode(_no_none(document))
        except (TypeError, ValueError, UnicodeError):
            blob = b"model = " + b"[" * random.choice((10, 100_000))
    put(Path("r.toml"), blob, random)
    return Case(["export", "r.toml", "--print-recipe"])


def _no_none(value):
    if isinstance(value, dict):
        return {k: _no_none(v) for k, v in value.items() if v is not None}
    return [_no_none(v) for v in value if v is not None] if isinstance(value, list) else value


def manifests(bases: dict[str, Path], random: Random, base: str | None = None) -> Case:
    folder = _copy(bases, random, base)
    path = folder / "manifest.json"
    before = path.read_bytes()
    blob = changed_json(json.loads(before), random)
    put(path, blob, random)
    sealed = random.random() < 0.5 and path.is_file() and not path.is_symlink()
    if sealed:
        reseal(folder)
    command = _app() if random.random() < 0.2 else _look(random)
    return Case(command, refused=not sealed and blob != before)


def tasks(bases: dict[str, Path], random: Random) -> Case:
    """Manifests and golden answers of what is no classifier."""
    return random.choice((manifests, manifests, golden))(
        bases, random, random.choice([name_of(task) for task in GRAPHS])
    )


def golden(bases: dict[str, Path], random: Random, base: str | None = None) -> Case:
    folder = _copy(bases, random, base)
    path = folder / "golden.npz"
    before = path.read_bytes()
    if random.random() < 0.5:
        blob = changed_bytes(before, random)
    else:
        with np.load(path) as z:
            arrays = dict(z)
        name = random.choice(list(arrays))
        arrays[name] = random.choice(
            (
                arrays[name][:0], arrays[name][..., :1], arrays[name].astype(np.float64), arrays[name].astype(np.complex64),
                arrays[name].T, np.zeros(()), np.full((2, 2), "x"), arrays[name].astype(">f4"), np.zeros((3, 1000, 1000), np.uint8),
            )
        )  # fmt: skip
        if random.random() < 0.2:
            del arrays[name]
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        blob = buffer.getvalue()
    put(path, blob, random)
    sealed = random.random() < 0.6
    if sealed:
        reseal(folder)
    return Case(
        random.choice((["verify", "a"], ["verify", "a"], ["inspect", "--compare", "a", "a"])),
        refused=not sealed and blob != before,
    )


def model(suffix: str) -> Callable[[dict[str, Path], Random], Case]:
    def models(bases: dict[str, Path], random: Random) -> Case:
        folder = _copy(bases, random, suffix)
        path = folder / (random.choice(("model.xml", "model.bin")) if suffix == ".xml" else f"model{suffix}")
        before = path.read_bytes()
        crafted = suffix == ".tflite" and random.random() < 0.6
        blob = _crafted(before, random) if crafted else changed_bytes(before, random)
        put(path, blob, random)
        looks = [
            ["inspect", "a"],
            ["inspect", "a", "--layers"],
            ["predict", "a", _picture()],
            ["verify", "a"],
            ["inspect", "a", "--kernels"],
        ]
        if suffix != ".ort":
            shutil.copytree(bases[suffix], "b")
            looks.append(["inspect", "--compare", "b", "a"])
        sealed = random.random() < 0.8
        if sealed:
            reseal(folder)
        if random.random() < 0.3 and not path.is_symlink():  # no artifact around it: a link that is named is followed
            name = "model.xml" if suffix == ".xml" else path.name
            return Case(["inspect", f"a/{name}", *random.choice(([], ["--kernels"], ["--json"]))])
        return Case(random.choice(looks), refused=not sealed and blob != before)

    return models


def _crafted(blob: bytes, random: Random) -> bytes:
    """A whole flatbuffer whose parts need not fit together."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    for _ in range(20):
        made = schema.ModelT.InitFromPackedBuf(blob, 0)
        for _ in range(random.choice((1, 1, 2))):
            change_object(made, random)
        builder = flatbuffers.Builder(1024)
        try:
            builder.Finish(made.Pack(builder), b"TFL3")
        except Exception:  # what cannot be packed is no file
            continue
        return bytes(builder.Output())
    return blob[:-1]


PICTURES = 20  # damaged ones at once: a command that opens a file takes most of the time


def pictures(bases: dict[str, Path], random: Random) -> Case:
    shutil.copytree(bases[".tflite"], "a")
    size = (random.randrange(1, 60), random.randrange(1, 60))
    picture = Image.frombytes("RGB", size, random.randbytes(3 * size[0] * size[1]))
    names = []
    for i in range(PICTURES):
        kind = random.choice(("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"))
        mode = {"PNG": ("RGB", "RGBA", "L", "P", "1", "LA"), "TIFF": ("RGB", "L", "CMYK", "I;16"), "GIF": ("P",)}.get(
            kind, ("RGB",)
        )
        buffer = io.BytesIO()
        chosen = random.choice(mode)
        made = picture.convert("L").convert("I").convert("I;16") if chosen == "I;16" else picture.convert(chosen)
        made.save(buffer, kind)
        blob = _huge(random) if random.random() < 0.1 else changed_bytes(buffer.getvalue(), random)
        name = random.choice((f"{i}.{kind.lower()}", f"{i}.png", f"{i}\x1b[2J.jpg", f"{i}caf\udce9.png"))
        put(Path(name), blob, random)
        names.append(name)
    return Case(["predict", "a", *names, *random.choice(([], ["--json"]))], counts=PICTURES)


def _huge(random: Random) -> bytes:
    """A PNG of a few bytes that claims many pixels."""
    width, height = random.choice(
        ((1, 178_000_000), (178_000_000, 1), (13_000, 13_000), (2**31 - 1, 2**31 - 1), (0, 5), (1, 120_000_000))
    )
    head = struct.pack(
        ">IIBBBBB", width, height, random.choice((1, 8, 16)), random.choice((0, 2, 3, 6)), 0, 0, random.choice((0, 1))
    )
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts
    )


RUN = {
    "kind": "latency", "session": "s", "made": "2026-01-01T00:00:00+00:00", "edgekit": "0", "runtime": "litert", "device": "local",
    "threads": 1, "batch": 1, "fed": "x", "facts": {"runtime": "litert 1", "threads": "1"}, "counts": [], "timed": True,
    "subject": {"name": "m", "path": "m", "target": "tflite", "digest": "d", "bytes": 10, "model": "m", "scheme": "fp32"},
    "host": {"cpu": "c", "cpu_class": "x86", "machine": "x86_64", "load": "0.1"},
    "launches": [{
        "imported": {"wall_ns": 5, "cpu_ns": 5}, "load": {"wall_ns": 5, "cpu_ns": 5}, "first": {"wall_ns": 5, "cpu_ns": 5},
        "wall_ns": [1000, 1100, 1200], "cpu_ns": [1000, 1100, 1200],
        "memory": {"before": 1, "after_import": 2, "after_load": 3, "after_first": 4, "anonymous": 1, "peak": 5},
    }] * 2,
}  # fmt: skip
EVALUATED = {
    "kind": "accuracy", "made": "2026-01-01T00:00:00+00:00", "edgekit": "0", "subject": RUN["subject"], "runtime": "litert 1",
    "device": "local", "cpu_class": "x86", "data": "d", "pictures": 100, "top1": {"hits": 90, "of": 100, "value": 0.9, "low": 0.8, "high": 0.95}, "top5": None,
}  # fmt: skip


def runs(bases: dict[str, Path], random: Random) -> Case:
    lines = []
    for _ in range(random.randrange(1, 6)):
        whole = random.choice((RUN, RUN, EVALUATED))
        blob = changed_json(whole, random) if random.random() < 0.7 else json.dumps(whole).encode()
        lines.append(blob.replace(b"\n", b" "))
    put(Path("runs.jsonl"), b"\n".join(lines), random)
    return Case(["report", "runs.jsonl", "-o", random.choice(("r.html", "r.md", "-"))])


def baselines(bases: dict[str, Path], random: Random) -> Case:
    folder = _copy(bases, random, ".tflite")
    record = file_record(folder / "model.tflite")
    whole = {
        "schema": 2, "name": "a", "digest": record.sha256, "bytes": record.bytes, "operators": {"CONV_2D int8": 3}, "int8_macs": 1.0,
        "sqnr_db": 40.0, "cpu_ms": 0.1, "memory_bytes": 10, "score": 1.0, "instructions": {"arm64": 5}, "host": {"cpu": "x"}, "source": None,
    }  # fmt: skip
    put(Path("base.json"), changed_json(whole, random), random)
    return Case(["gate", "a", "--baseline", "base.json", "--budget", "1"])


def labels(bases: dict[str, Path], random: Random) -> Case:
    shutil.copytree(bases[".tflite"], "a")
    Path("d").mkdir()
    for i in range(3):
        _picture(f"d/{i}.png")
    kind = random.choice(("csv", "json", "jsonl", "txt"))
    text = {
        "csv": "file,label\n0.png,0\n1.png,1\n2.png,2\n",
        "json": '{"0.png": 0, "1.png": 1, "2.png": [2, 3]}',
        "jsonl": '{"file": "0.png", "label": 0}\n{"file": "1.png", "label": 1}\n',
        "txt": "0.png 0\n1.png 1\n2.png 2\n",
    }[kind]
    put(Path(f"labels.{kind}"), changed_bytes(text.encode(), random), random)
    return Case(
        ["eval", "a", "--data", "d", "--labels", f"labels.{kind}", "--no-save", "--state", "state", "--workers", "1"]
    )


def records(bases: dict[str, Path], random: Random) -> Case:
    """Answers that an earlier eval kept: the file of the right key is made by a whole run first (see runner.warm)."""
    shutil.copytree(bases[".tflite"], "a")
    shutil.copytree(bases["eval"] / "d", "d", copy_function=shutil.copy2)
    shutil.copytree(bases["eval"] / "state", "state")
    (path,) = Path("state").glob("*.jsonl")
    head, *lines = path.read_bytes().splitlines()
    chosen = random.randrange(len(lines))
    lines[chosen] = changed_json(json.loads(lines[chosen]), random).replace(b"\n", b" ")
    if random.random() < 0.2:
        head = changed_bytes(head, random)
    put(path, b"\n".join((head, *lines)) + b"\n", random)
    return Case(
        [
            "eval",
            "a",
            "--data",
            "d",
            "--unlabelled",
            "--reference",
            "a",
            "--no-save",
            "--state",
            "state",
            "--workers",
            "1",
        ]
    )


def cards(bases: dict[str, Path], random: Random) -> Case:
    """A run of edgekit train."""
    folder = Path(shutil.copytree(GOLDEN / "run-tiny", "run"))
    path = random.choice([p for p in sorted(folder.iterdir()) if p.is_file()])
    put(path, changed_bytes(path.read_bytes(), random), random)
    return Case(["export", "run", "--target", "torch", "--dry-run"])


def checkpoints(bases: dict[str, Path], random: Random) -> Case:
    """Needs torch."""
    import nets
    import torch
    from safetensors.torch import save

    state = nets.tiny().state_dict()
    name = random.choice(list(state))
    match random.randrange(6):
        case 0:
            state[name] = state[name].to(
                random.choice((torch.int32, torch.complex64, torch.bool, torch.float64, torch.float16))
            )
        case 1:
            state[name] = random.choice(
                (None, "x", [1], {"a": state[name]}, state[name][None], state[name] * float("nan"))
            )
        case 2:
            state = random.choice(
                (
                    {"state_dict": state},
                    {"model": state, "epoch": 3},
                    {f"module.{k}": v for k, v in state.items()},
                    [state],
                )
            )
        case 3:
            state.pop(name)
    if random.random() < 0.4 and isinstance(state, dict) and all(isinstance(v, torch.Tensor) for v in state.values()):
        blob, suffix = save({k: v.contiguous() for k, v in state.items()}), "safetensors"
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        blob, suffix = buffer.getvalue(), "pth"
    put(Path(f"w.{suffix}"), changed_bytes(blob, random) if random.random() < 0.7 else blob, random)
    flags = ["--input-size", "32", "--weights", f"w.{suffix}", "-o", "out"]
    return Case(
        ["export", "py:nets:tiny", "--target", "torch", *flags, *random.choice(([], ["--dry-run"], ["--dry-run"]))]
    )


# kind -> how a case is made, how many there are in the whole, and whether it needs torch
KINDS = {
    "recipes": (recipes, 2400, False),
    "manifests": (manifests, 2800, False),
    "golden": (golden, 700, False),
    "tasks": (tasks, 600, False),
    "models-tflite": (model(".tflite"), 2600, False),
    "models-onnx": (model(".onnx"), 800, False),
    "models-ort": (model(".ort"), 400, False),
    "models-xml": (model(".xml"), 800, False),
    "pictures": (pictures, 110, False),
    "runs": (runs, 700, False),
    "baselines": (baselines, 300, False),
    "labels": (labels, 300, False),
    "records": (records, 120, False),
    "cards": (cards, 300, True),
    "checkpoints": (checkpoints, 1200, True),
}
