"""Weights out of a .tflite file, float or quantized, for a network whose layers run one after the other.

The layers of a file have no names that tell which is whose. In a network without branches of layers (MobileNet, EfficientNet,
VGG) they need none: those of the file belong to the network's in the order in which both run. Files with branches (ResNet's
shortcuts) are refused: their order is the converter's choice.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit.errors import WeightsError, reason
from edgekit.extras import needs
from edgekit.models import networks
from edgekit.models.checkpoints import State, printable

BEGINS = b"TFL3"  # from the fifth byte on
ORDER = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2), "FULLY_CONNECTED": (0, 1)}  # of axes, as torch's
Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class _Layer:
    """weight: as torch has it. same: strides, and pads as TensorFlow does; None where it does not stride."""

    weight: Numbers
    bias: Numbers | None
    same: bool | None


@dataclass(frozen=True)
class _Own:
    """A layer of the network, and the BatchNorm that reads it."""

    name: str
    layer: nn.Conv2d | nn.Linear
    norm: str = ""
    eps: float = 0.0


def read_state(path: Path, net: nn.Module, size: tuple[int, int]) -> tuple[State, str]:
    """The layers of a file under the names of `net`'s; and what is to be said of their numbers, or "".

    net  without numbers, on torch's device "meta"; it runs on an image of `size`. How many classes it scores is free.
    A BatchNorm behind a layer is given statistics that change nothing. Raises WeightsError.
    """
    layers, types = _layers(path)
    owns = _order(net, size)
    if len(layers) != len(owns):
        raise WeightsError(
            f"{path.name} has {len(layers)} layers with weights, the model {len(owns)}",
            hint="the model that the file was made of",
        )
    state: State = {}
    for number, (own, layer) in enumerate(zip(owns, layers, strict=True)):
        state |= _named(own, layer, f"{path.name}, layer {number + 1}", last=number == len(owns) - 1)
    note = ""
    if types - {"FLOAT32"}:
        what = " and ".join(sorted(t.lower() for t in types - {"FLOAT32"}))
        note = f"the weights of {path.name} were {what}, and what that rounding lost stays lost"
    return state, note


def _named(own: _Own, layer: _Layer, where: str, *, last: bool) -> State:
    weight, shape = layer.weight, tuple(own.layer.weight.shape)
    if isinstance(own.layer, nn.Linear) and weight.shape[2:] == (1, 1):  # a classifier is often a convolution there
        weight = weight[:, :, 0, 0]
    if weight.shape[last:] != shape[last:]:
        raise WeightsError(
            f"{where} has weights of {list(weight.shape)}, the model's {own.name} {list(shape)}",
            hint="the model that the file was made of: its name, and its width",
        )
    pads_so = type(own.layer).__name__ == "Conv2dSame"
    if layer.same is not None and layer.same != pads_so:
        sides = "right and below alone, as TensorFlow does" if layer.same else "on all sides, as PyTorch does"
        hint = "tf_mobilenetv2, or another name with tf_" if layer.same else "the name without tf_"
        raise WeightsError(f"{where} pads {sides}, and the model's {own.name} does not", hint=hint)
    bias = np.zeros(len(weight), np.float32) if layer.bias is None else layer.bias
    state = {f"{own.name}.weight": torch.from_numpy(weight.copy())}
    shift = torch.from_numpy(bias.reshape(-1).copy())
    if own.norm:
        state |= {
            f"{own.norm}.weight": torch.ones_like(shift),
            f"{own.norm}.bias": shift,
            f"{own.norm}.running_mean": torch.zeros_like(shift),
            f"{own.norm}.running_var": torch.ones_like(shift) - own.eps,
        }
        shift = torch.zeros_like(shift)
    if own.layer.bias is not None:
        state[f"{own.name}.bias"] = shift
    elif shift.any():
        raise WeightsError(f"{where} has a bias, and the model's {own.name} none", hint="the model that it was made of")
    return state


@torch.no_grad()
def _order(net: nn.Module, size: tuple[int, int]) -> list[_Own]:
    """The layers as they run, with their BatchNorms."""
    found: list[_Own] = []

    def ran(module: nn.Module, name: str) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            found.append(_Own(name, module))
        elif isinstance(module, nn.BatchNorm2d) and found and not found[-1].norm:
            found[-1] = _Own(found[-1].name, found[-1].layer, name, module.eps)

    hooks = [
        module.register_forward_hook(lambda module, given, answer, name=name: ran(module, name))
        for name, module in net.named_modules()
    ]
    net.eval()(torch.zeros(1, networks.channels(net), *size, device="meta"))
    for hook in hooks:
        hook.remove()
    return found


def _layers(path: Path) -> tuple[list[_Layer], set[str]]:
    """Of a file, in the order in which they run; and the types that their weights are stored as. Raises WeightsError."""
    with needs("run-tflite"):
        from ai_edge_litert import schema_py_generated as schema
    blob = path.read_bytes()
    if blob[4:8] != BEGINS:
        raise WeightsError(f"{path} is not a TFLite file", hint="--weights FILE")
    try:
        return _read(_File(schema, schema.ModelT.InitFromPackedBuf(blob, 0), blob), path)
    except WeightsError:
        raise
    except Exception as error:  # whatever damaged offsets lead to
        why = printable(reason(error))
        raise WeightsError(f"{path}: not a whole TFLite file, {why}", hint="copy it again") from None


def _read(file: "_File", path: Path) -> tuple[list[_Layer], set[str]]:
    layers: list[_Layer] = []
    types: set[str] = set()
    since = set(file.graph.inputs)  # what is made of the last layer's answer
    for operator in file.graph.operators:
        what = file.kind(operator)
        if what in ORDER and file.is_stored(operator.inputs[1]):
            if operator.inputs[0] not in since:
                raise WeightsError(
                    f"{path.name}: layer {len(layers) + 1} reads what lies before the layer in front of it, and which is "
                    "whose cannot be told",
                    hint="a network without branches, or a checkpoint of the model",
                )
            layers.append(file.layer(operator, what))
            types.add(file.type(operator.inputs[1]))
            since = set(operator.outputs)
        elif since & set(operator.inputs):
            since |= set(operator.outputs)
    return layers, types


class _File:
    def __init__(self, schema: Any, model: Any, blob: bytes) -> None:
        self.schema, self.model, self.blob = schema, model, blob
        self.graph = model.subgraphs[0]
        self.unpacked = {  # a constant that a DEQUANTIZE unpacks -> the constant as it is stored
            o.outputs[0]: o.inputs[0] for o in self.graph.operators if self.kind(o) == "DEQUANTIZE"
        }

    def kind(self, operator: Any) -> str:
        code = self.model.operatorCodes[operator.opcodeIndex]
        return self._word(self.schema.BuiltinOperator, max(code.builtinCode, code.deprecatedBuiltinCode))

    def type(self, index: int) -> str:
        return self._word(self.schema.TensorType, self._stored(index).type)

    def is_stored(self, index: int) -> bool:
        return len(self._bytes(index)) > 0

    def layer(self, operator: Any, what: str) -> _Layer:
        weight = self._numbers(operator.inputs[1]).transpose(ORDER[what])
        biased = len(operator.inputs) > 2 and operator.inputs[2] >= 0
        same = None
        if what != "FULLY_CONNECTED" and max(weight.shape[2:]) > 1:
            options = operator.builtinOptions
            strides = max(options.strideH, options.strideW) > 1
            padded = options.padding == self.schema.Padding.SAME or self._pads_more_behind(operator.inputs[0])
            same = padded if strides else None
        return _Layer(weight, self._numbers(operator.inputs[2]) if biased else None, same)

    def _pads_more_behind(self, index: int) -> bool:
        """Whether a tensor is another that was padded so on its right or below."""
        pad = next((o for o in self.graph.operators if index in o.outputs and self.kind(o) in ("PAD", "PADV2")), None)
        if pad is None:
            return False
        before, behind = self._numbers(pad.inputs[1]).T
        return bool((behind > before).any())

    def _numbers(self, index: int) -> Numbers:
        """Real numbers: integers times their scales."""
        tensor = self._stored(index)
        dtype = np.dtype(self.type(index).lower())
        stored = np.frombuffer(self._bytes(index), dtype).reshape(tensor.shape).astype(np.float64)
        grid = tensor.quantization
        if dtype.kind == "f" or grid is None or grid.scale is None:
            return stored.astype(np.float32)
        axis = [1] * stored.ndim
        if len(grid.scale) > 1:
            axis[grid.quantizedDimension] = -1
        zero = 0 if grid.zeroPoint is None else np.asarray(grid.zeroPoint).reshape(axis)
        real: Numbers = ((stored - zero) * np.asarray(grid.scale, np.float64).reshape(axis)).astype(np.float32)
        return real

    def _stored(self, index: int) -> Any:
        return self.graph.tensors[self.unpacked.get(index, index)]

    def _bytes(self, index: int) -> bytes:
        buffer = self.model.buffers[self._stored(index).buffer]
        if buffer.offset:  # behind the flatbuffer
            return self.blob[buffer.offset : buffer.offset + buffer.size]
        return b"" if buffer.data is None else bytes(buffer.data)

    @staticmethod
    def _word(names: Any, number: int) -> str:
        return next((k for k, v in vars(names).items() if v == number), "")
