"""A Recipe says what to make of one model for one target: the file, or the flags that equal it."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Literal

import msgspec
import msgspec.toml

from edgekit import reading
from edgekit.errors import RecipeError, UnknownNameError, UnsupportedError, did_you_mean

Scheme = Literal["fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only"]
SCHEMES: tuple[Scheme, ...] = ("fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only")
OPSETS = range(18, 24)  # of ONNX: what torch.onnx writes and ONNX Runtime runs
Kind = Literal["logits", "probabilities", "log-probabilities"]  # of scores
TaskName = Literal["classification", "embedding", "segmentation", "detection", "raw"]
CropMode = Literal["center", "squash", "letterbox"]  # how an image becomes as large as the input (see preprocess.py)
InputType = Literal["auto", "uint8", "int8", "float32"]
LayoutName = Literal["mediapipe", "model-api", "ultralytics"]  # of a detector's answers (see layouts.py)
LAYOUT_TARGETS: dict[LayoutName, tuple[str, ...]] = {  # what each one's readers open
    "mediapipe": ("tflite",),
    "model-api": ("openvino", "onnx"),
    "ultralytics": ("tflite", "onnx", "openvino"),
}
MAX_FRAMES = 256  # of a clip
MIN_RATE, MAX_RATE = 0.001, 1000.0  # frames a second
MAX_SIDE = 4096  # pixels; a slip such as 224224 would ask for hundreds of GB


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fields that are checked when they are said, in Python as in a file. Paths may be pathlib's. Raises RecipeError."""

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            said = getattr(self, field.name)
            try:
                value = msgspec.convert(os.fspath(said) if isinstance(said, os.PathLike) else said, field.type)
            except msgspec.ValidationError as error:
                raise RecipeError(f"{field.name} is {said!r}: {error}", hint=_hint(field.name)) from None
            msgspec.structs.force_setattr(self, field.name, value)

    def __repr__(self) -> str:
        """What is not as it would be anyway."""
        fields = [(field, getattr(self, field.name)) for field in msgspec.structs.fields(self)]
        said = [f"{field.name}={value!r}" for field, value in fields if value != field.default]
        return f"{type(self).__name__}({', '.join(said)})"


def _hint(field: str) -> str:
    if field == "scheme":
        return f"schemes: {', '.join(SCHEMES)}"
    return (
        "input_size=(224, 224), height and width"
        if field == "input_size"
        else "help(edgekit.Recipe) says what it takes"
    )


class Quantize(Request, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How numbers are stored and computed.

    scheme       "int8" means the best one known for this model on this target; the resolved recipe names it.
    ranges       int8-static: activations' ranges, "mse" (clipped where that lowers the squared error) or "minmax".
    equalize     int8-static, and int8-dynamic embeddings for onnx: spread channels evenly over their tensors' ranges (see
                 exporters/equalizing.py, spreading.py).
    rounding     int8: how weights are rounded, "corrected" (against calibration images) or "nearest".
    int8_for     onnx, openvino: CPUs that int8 answers must be right on, "any" or "vnni" (x86 with VNNI, ARM; finer weights).
    granularity  int8-dynamic, linear layers: a scale per output "channel" or per "tensor" (older interpreters).
    keep_float   regular expressions on module paths (`head`, `blocks\\.0\\.`): layers that stay in float (exporters/keeping.py).
    """

    scheme: Scheme | Literal["int8"] = "fp32"
    ranges: Literal["mse", "minmax"] = "mse"
    equalize: bool = True
    rounding: Literal["corrected", "nearest"] = "corrected"
    int8_for: Literal["any", "vnni"] = "any"
    granularity: Literal["channel", "tensor"] = "channel"
    keep_float: tuple[str, ...] = ()


class Recipe(Request, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to make. Paths are as the user wrote them; they never reach a manifest.

    weights      auto, imagenet, package, bundled, random, or a file.
    calibration  "default", or a folder of images.
    golden       whose images travel with the file to prove copies: "public", none of yours; "own", four of yours.
    input        the file's input type; "auto" is uint8 for int8-static and for openvino, where it costs nothing, and
                 float32 otherwise.
    fold         True: the file takes raw RGB pixels 0..255 and normalises them itself; False: it takes normalised
                 floats. Unsaid: as is usual for the target, False for onnx, True for the others.
    dynamic_batch  onnx, openvino: any number of images at once instead of one.
    ort          onnx: write model.ort, ONNX Runtime's own format, which its builds for phones open, in place of model.onnx.
    opset        onnx: the version of the operator set; unsaid: what the exporter takes by itself.
    softmax      the file answers probabilities where the network answers logits.
    scores       what the network answers; "auto" finds it out from its operators and its answers.
    multi_label  its classes do not exclude each other: each is answered by itself, yes or no; also of one score.
    threshold    multi-label: the probability from which a label holds; unsaid: 0.5. detection: the score from which a box
                 is shown; unsaid: 0.3.
    task         what the answers mean; "auto" finds it out from the network and its answers, and says why.
    layout       detection: answer as the readers of other tools want it (see layouts.py): MediaPipe's ObjectDetector (tflite),
                 OpenVINO's Model API (openvino, onnx), or Ultralytics' tools (tflite, onnx, openvino).
    tokens       embedding: answer the vectors of the image's patches too.
    l2           embedding: vectors of length 1, so that their product is their cosine.
    channel_order  YOLOX with a file of weights: which colour of its images came first where these learned; unsaid: "bgr", as
                 in the published ones.
    frames, frame_rate   of a network that takes clips: how many frames it sees at once, and how many of them are a second.
    input_size, crop_pct, crop_mode, mean, std, channels, labels   for `py:` models and overrides: pixels (height, width), a
                 share of the image's side, how the image becomes that large (see preprocess.py), the 0..1 scale
                 (one number for each channel, or one for all), 3 for RGB or 1 for grey, a text file.
    """

    model: str
    target: str
    schema: Literal[1] = 1
    weights: str = "auto"
    quantize: Quantize = Quantize()
    calibration: str = "default"
    golden: Literal["public", "own"] = "public"
    samples: int = 128
    seed: int = 0
    input: InputType = "auto"
    fold: bool | None = None
    softmax: bool = False
    scores: Literal["auto"] | Kind = "auto"
    multi_label: bool = False
    threshold: float | None = None
    task: Literal["auto"] | TaskName = "auto"
    layout: LayoutName | None = None
    tokens: bool = False
    l2: bool = False
    frames: int | None = None
    frame_rate: float | None = None
    input_size: tuple[int, int] | None = None
    crop_pct: float | None = None
    crop_mode: CropMode | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: Literal[1, 3] | None = None
    channel_order: Literal["rgb", "bgr"] | None = None
    labels: str | None = None
    dynamic_batch: bool = False
    ort: bool = False
    opset: int | None = None

    @property
    def folds(self) -> bool:
        if self.fold is not None:
            return self.fold
        return self.target != "onnx" or self.input in ("uint8", "int8") or self.layout == "ultralytics"

    @property
    def unit(self) -> float:
        """What 1 means in the input of a file that folds, in levels of a pixel: readers of Ultralytics' files give 0..1."""
        return 255.0 if self.layout == "ultralytics" else 1.0

    @property
    def asks(self) -> Literal["auto"] | TaskName:
        """The task that was asked for, also by what means something for one alone."""
        return "embedding" if self.task == "auto" and (self.tokens or self.l2) else self.task

    @property
    def input_type(self) -> Literal["uint8", "int8", "float32"]:
        if self.input != "auto":
            return self.input
        pixels = self.folds and (self.quantize.scheme == "int8-static" or self.target == "openvino")
        return "uint8" if pixels and self.layout != "ultralytics" else "float32"

    @property
    def rounds_against_pictures(self) -> bool:
        """Whether weights are rounded against the calibration images: int8 with a scale per channel."""
        q = self.quantize
        return q.scheme.startswith("int8") and q.rounding == "corrected" and q.granularity == "channel"

    @property
    def equalizes(self) -> bool:
        return self.quantize.scheme == "int8-static" and self.quantize.equalize

    @property
    def calibrated(self) -> bool:
        """Whether the calibration images have a say in the file."""
        return self.quantize.scheme == "int8-static" or self.rounds_against_pictures

    @property
    def folder_name(self) -> str:
        """Named by the request: mobilenetv2-tflite-int8, yolox_nano-tflite-int8-mediapipe."""
        name = (
            self.model if self.model.startswith("smp:") else self.model.rstrip("/").rpartition("/")[2]
        )  # a run's folder
        model = re.sub(
            r"[^\w.-]+", "-", name.replace(".py:", ":").removeprefix("timm:").removeprefix("py:").removeprefix("smp:")
        )
        return "-".join(filter(None, [model, self.target, self.quantize.scheme, self.layout]))

    def digest(self) -> str:
        """sha256 of the canonical JSON of every field, defaults included."""
        return hashlib.sha256(msgspec.json.encode(full(self), order="sorted")).hexdigest()


def full(struct: msgspec.Struct) -> dict[str, Any]:
    """Every field of a struct as plain data, defaults included (msgspec would leave them out)."""
    plain = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return {k: full(v) if isinstance(v, msgspec.Struct) else v for k, v in plain.items()}


def check(recipe: Recipe) -> Recipe:
    """Refuse what cannot be meant, before anything expensive."""
    for name in ("model", "target", "weights", "calibration", "labels"):
        if getattr(recipe, name) == "":
            raise RecipeError(f"{name} is empty", hint="edgekit export --help says what it takes")
    if recipe.samples < 1:
        raise RecipeError(f"samples is {recipe.samples}", hint="at least 1; 64 to 512 are usual")
    if not recipe.folds and recipe.input in ("uint8", "int8"):
        raise RecipeError(
            f"--no-fold takes normalised floats, --input {recipe.input} raw pixels",
            hint="drop one of the two",
        )
    for flag, said, targets in (
        ("dynamic_batch", recipe.dynamic_batch, ("onnx", "openvino")),
        ("ort", recipe.ort, ("onnx",)),
        ("opset", recipe.opset is not None, ("onnx",)),
        ("int8_for", recipe.quantize.int8_for != "any", ("onnx", "openvino")),
    ):
        if said and recipe.target not in targets:
            raise RecipeError(f"{flag} means nothing for {recipe.target}", hint=f"--target {'|'.join(targets)}")
    if recipe.quantize.int8_for != "any" and recipe.quantize.scheme not in ("int8", "int8-static", "int8-dynamic"):
        raise RecipeError(
            f"int8_for means nothing for {recipe.quantize.scheme}: nothing is added up in 8 bits",
            hint="--int8, or drop it",
        )
    if recipe.target == "openvino" and recipe.input == "int8":
        raise RecipeError("input int8 means nothing for openvino: it takes pixels as they are", hint="--input uint8")
    _check_layout(recipe)
    if recipe.softmax and recipe.multi_label:
        raise RecipeError(
            "--softmax makes the classes exclude each other, and --multi-label says that they do not",
            hint="--multi-label alone: predict and the app make each score a probability",
        )
    if recipe.asks != "auto":
        check_task(recipe, recipe.asks)
    if recipe.threshold is not None and not 0 < recipe.threshold < 1:
        raise RecipeError(f"threshold is {recipe.threshold:g}", hint="a probability between 0 and 1, such as 0.5")
    if recipe.opset is not None and recipe.opset not in OPSETS:
        raise RecipeError(
            f"opset {recipe.opset} cannot be written", hint=f"--opset {OPSETS.start} to {OPSETS.stop - 1}"
        )
    if not 0 <= recipe.seed < 2**63:
        raise RecipeError(f"seed is {recipe.seed}", hint="a number from 0 to 2**63 - 1")
    if recipe.input_size and not 1 <= min(recipe.input_size) <= max(recipe.input_size) <= MAX_SIDE:
        height, width = recipe.input_size
        raise RecipeError(f"an input of {height}x{width} pixels", hint=f"sides of 1 to {MAX_SIDE}: --input-size 224")
    if recipe.crop_pct is not None and not 0.1 <= recipe.crop_pct <= 1:
        raise RecipeError(f"crop_pct is {recipe.crop_pct:g}", hint="from 0.1 to 1, which looks at all of an image")
    _check_colours(recipe)
    _check_clips(recipe)
    if recipe.quantize.keep_float and recipe.quantize.scheme == "fp32":
        raise RecipeError("keep_float has nothing to keep: scheme fp32 quantizes nothing", hint="drop it, or a scheme")
    if recipe.quantize.keep_float and recipe.quantize.scheme == "fp16" and recipe.target == "openvino":
        raise RecipeError(
            "keep_float means nothing for openvino's fp16: all weights are saved as halves", hint="drop it"
        )
    if recipe.quantize.granularity == "tensor" and recipe.quantize.scheme not in ("int8", "int8-dynamic"):
        raise RecipeError(
            f'granularity = "tensor" means nothing for {recipe.quantize.scheme}', hint='scheme = "int8-dynamic"'
        )
    for pattern in recipe.quantize.keep_float:
        if not pattern:
            raise RecipeError("keep_float: an empty pattern finds everything", hint="--keep-float head, or drop it")
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise RecipeError(
                f"keep_float: '{pattern}' is not a regular expression: {error}",
                hint=r"--keep-float 'blocks\.0\.', or a name alone",
            ) from None
    return recipe


def _check_layout(recipe: Recipe) -> None:
    """Refuse what the readers of another tool's layout do not open. Raises RecipeError."""
    if recipe.layout is None:
        return
    name, targets = recipe.layout, LAYOUT_TARGETS[recipe.layout]
    if recipe.target not in targets:
        raise RecipeError(
            f"--layout {name} means nothing for {recipe.target}: its readers open no such file",
            hint=f"--target {'|'.join(targets)}",
        )
    for flag, said in (
        ("--dynamic-batch", recipe.dynamic_batch),
        ("--ort", recipe.ort),
        ("--channels 1", recipe.channels == 1),
        ("--no-fold", name == "ultralytics" and recipe.fold is False),
        ("--input int8", recipe.input == "int8"),
        ("--input uint8", name == "ultralytics" and recipe.input == "uint8"),
    ):
        if said:
            takes = "floats 0..1, which the file normalises itself" if name == "ultralytics" else "one RGB image"
            raise RecipeError(
                f"{flag} means nothing for --layout {name}: its readers give {takes}", hint="drop one of the two"
            )


def _check_clips(recipe: Recipe) -> None:
    """Refuse frames that are no clip, and what means nothing for clips. Raises RecipeError."""
    if recipe.frames is not None and not 2 <= recipe.frames <= MAX_FRAMES:
        raise RecipeError(
            f"a clip of {recipe.frames} frames", hint=f"--frames 2 to {MAX_FRAMES}, as the network was trained"
        )
    if recipe.frame_rate is not None and not MIN_RATE <= recipe.frame_rate <= MAX_RATE:
        raise RecipeError(f"{recipe.frame_rate:g} frames a second", hint="--frame-rate 15, as the network was trained")
    if recipe.frames and recipe.dynamic_batch:
        raise RecipeError("--dynamic-batch means nothing for clips: a file takes one", hint="drop one of the two")


def _check_colours(recipe: Recipe) -> None:
    """Refuse what does not go together in channels, mean, std and crop. Raises RecipeError."""
    for name, said in (("mean", recipe.mean), ("std", recipe.std)):
        for value in said or ():
            _check_scale(name, value)
        fits = (1, recipe.channels or 3)
        if said is not None and len(said) not in fits:
            of = "1 channel" if recipe.channels == 1 else "3 channels"
            raise RecipeError(f"{name} has {len(said)} numbers, for {of}", hint="one number for each channel")
    if 0 in (recipe.std or ()):
        raise RecipeError("std is 0, and pixels are divided by it", hint="such as 0.229,0.224,0.225")
    if recipe.crop_mode == "letterbox" and recipe.crop_pct not in (None, 1):
        raise RecipeError("a letterbox shows the whole image, and crop_pct a share of it", hint="drop one of the two")


def in_channels(said: tuple[float, ...] | None, channels: int | None) -> tuple[float, ...] | None:
    """A mean or std for so many channels: three that were made of one number are that one of grey."""
    return said[:1] if said and channels == 1 and len(set(said)) == 1 else said


def one_scheme(int8: bool, fp16: bool, scheme: str | None) -> str | None:
    """The scheme that is asked for; it may be named twice, but not two. Raises RecipeError, UnknownNameError."""
    flags = {"--int8": "int8" if int8 else None, "--fp16": "fp16" if fp16 else None, f"--scheme {scheme}": scheme}
    named = {flag: name for flag, name in flags.items() if name is not None}
    if len(set(named.values())) > 1:
        raise RecipeError(f"{' and '.join(named)} name different schemes", hint="keep one of them")
    if scheme is not None and scheme not in (*SCHEMES, "int8"):
        raise UnknownNameError("scheme", scheme, (*SCHEMES, "int8"))
    return next(iter(named.values()), None)


def amended(base: Recipe, scheme: str | None = None, **changes: Any) -> Recipe:
    """The recipe with other fields, its own or of its `quantize`; None leaves one as it is. Raises RecipeError."""
    said = {name: value for name, value in (changes | {"scheme": scheme}).items() if value is not None}
    quantize = {name: said.pop(name) for name in Quantize.__struct_fields__ if name in said}
    recipe = msgspec.structs.replace(base, **said)
    recipe = msgspec.structs.replace(recipe, quantize=msgspec.structs.replace(recipe.quantize, **quantize))
    if "samples" in said and not recipe.quantize.scheme.startswith("int8"):
        raise RecipeError(
            f"--samples means nothing for {recipe.quantize.scheme}: nothing is calibrated", hint="--int8, or drop it"
        )
    return check(recipe)


MEANT_FOR: dict[str, tuple[TaskName, ...]] = {
    "labels": ("classification", "segmentation", "detection"),
    "scores": ("classification", "segmentation"),
    "softmax": ("classification",),
    "multi_label": ("classification",),
    "threshold": ("classification", "segmentation", "detection"),
    "layout": ("detection",),
    "tokens": ("embedding",),
    "l2": ("embedding",),
}


def meant(recipe: Recipe) -> dict[str, tuple[TaskName, ...]]:
    """The flags that are set and mean something for some tasks only: these tasks."""
    said = {name: tasks for name, tasks in MEANT_FOR.items() if getattr(recipe, name) not in (None, False, "auto")}
    return {f"--{name.replace('_', '-')}": tasks for name, tasks in said.items()}


def check_task(recipe: Recipe, task: TaskName) -> None:
    """Refuse what means nothing for a task. Raises RecipeError."""
    for flag, tasks in meant(recipe).items():
        if task not in tasks:
            hint = f"drop it, or --task {' or '.join(tasks)}"
            raise RecipeError(f"{flag} means nothing for the task {task}", hint=hint)


def _check_scale(name: str, value: float) -> None:
    """Refuse a mean or std that is not on the 0..1 scale."""
    if not 0 <= value <= 1:  # not a number is neither
        hint = "divide by 255" if 1 < value <= 255 else "numbers from 0 to 1, such as 0.485,0.456,0.406"
        raise RecipeError(f"{name} {value:g} is not on the 0..1 scale", hint=hint)


def check_scheme(recipe: Recipe, schemes: frozenset[str]) -> Recipe:
    """Refuse a scheme that the target cannot do."""
    scheme = recipe.quantize.scheme
    if scheme not in schemes and not (scheme == "int8" and any(s.startswith("int8") for s in schemes)):
        raise UnsupportedError(
            f"{recipe.target} cannot hold the scheme {scheme}",
            hint=f"--scheme {'|'.join(s for s in SCHEMES if s in schemes)}",
        )
    return recipe


def shipped() -> dict[str, Path]:
    """The recipes that come with edgekit, by name: beside the package in a checkout, inside it when installed."""
    here = Path(__file__).parent
    folder = here / "export_recipes" if (here / "export_recipes").is_dir() else here.parent / "export_recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(path: Path) -> Recipe:
    """Read a recipe from TOML; a bare name, with or without .toml, is also one that comes with edgekit. Raises RecipeError
    with the file, the line and the field."""
    if path.parent == Path() and not path.is_file():
        path = shipped().get(path.name.removesuffix(".toml"), path)
    try:
        return check(reading.toml(path, Recipe))
    except FileNotFoundError:
        near = did_you_mean(path.name.removesuffix(".toml"), shipped())
        raise RecipeError(f"there is no recipe {path}", hint=near or "edgekit list recipes") from None
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}", hint="edgekit list recipes") from None
    except reading.Malformed as error:
        near = did_you_mean(error.field, [*Recipe.__struct_fields__, *Quantize.__struct_fields__])
        known = f"schemes: {', '.join(SCHEMES)}" if "quantize.scheme" in str(error) else ""
        hint = near or known or "export_recipes/README.md has the grammar"
        raise RecipeError(error.of(path), hint=hint) from None


def dump(recipe: Recipe) -> str:
    """The recipe as TOML, defaults left out; `load` reads it back."""
    return msgspec.toml.encode(recipe).decode()
