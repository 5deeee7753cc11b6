"""Weights of a YOLOX that was published as ONNX, where BatchNorm is a part of the convolutions already."""

from pathlib import Path

import torch
from torch import nn

from edgekit.errors import WeightsError, reason
from edgekit.extras import needs
from edgekit.models import networks
from edgekit.models.checkpoints import State, printable
from edgekit.models.yolox import EPS, YoloX

HEAD = "head."  # begins the names of the last layers, which the published files keep


def read_state(path: Path, net: nn.Module, size: tuple[int, int]) -> State:
    """The convolutions of a file under the names of `net`'s, to which they belong in the order in which both run.

    net  without numbers, on torch's device "meta"; it runs on an image of `size`
    A BatchNorm behind a convolution is given statistics that change nothing; training begins with settling.unfold.
    Raises WeightsError.
    """
    if not isinstance(net, YoloX):
        raise WeightsError(
            f"{path.name} is an ONNX file, and only those of YOLOX are read",
            hint="--weights FILE that torch.save wrote",
        )
    with needs("onnx"):
        import onnx
        from onnx import numpy_helper
    try:
        graph = onnx.load(path, load_external_data=False).graph
        held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    except Exception as error:  # protobuf's, and onnx's own
        raise WeightsError(f"{path}: not a whole ONNX file, {printable(reason(error))}", hint="copy it again") from None
    layers = [node for node in graph.node if node.op_type == "Conv"]
    names = _order(net, size)
    if len(names) != len(layers):
        raise WeightsError(
            f"{path.name} has {len(layers)} convolutions, the model {len(names)}", hint="the YOLOX that was exported"
        )
    state: State = {}
    for name, layer in zip(names, layers, strict=True):
        parts = [held.get(part) for part in layer.input[1:]]
        own = layer.input[1].removesuffix(".weight")
        if len(parts) != 2 or any(part is None for part in parts) or (own.startswith(HEAD) and own != name):
            raise WeightsError(
                f"{path.name}: the convolution {printable(own)} is not the model's {name}",
                hint="a YOLOX as its authors export it",
            )
        state |= _named(name, *parts)  # type: ignore[arg-type]
    return state


@torch.no_grad()
def _order(net: nn.Module, size: tuple[int, int]) -> list[str]:
    """The names of the convolutions as they run."""
    order: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d)
    ]
    net(torch.zeros(1, networks.channels(net), *size, device="meta"))
    for hook in hooks:
        hook.remove()
    return order


def _named(name: str, weight: torch.Tensor, bias: torch.Tensor) -> State:
    """A convolution of the file as the model's own, with its BatchNorm where it has one."""
    if not name.endswith(".conv"):
        return {f"{name}.weight": weight, f"{name}.bias": bias}
    norm, one = name.removesuffix("conv") + "bn", torch.ones_like(bias)
    return {
        f"{name}.weight": weight,
        f"{norm}.weight": one,
        f"{norm}.bias": bias,
        f"{norm}.running_mean": torch.zeros_like(bias),
        f"{norm}.running_var": one - EPS,
    }
