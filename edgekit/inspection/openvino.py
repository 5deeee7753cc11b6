"""Reads OpenVINO IR: model.xml, and model.bin beside it. Needs no package.

Layers with multiply-adds are int8 where OpenVINO's CPU plugin makes them so: int8 weights, and activations behind a
FakeQuantize of 256 levels, which is what NNCF writes. For the others the precision of the answer stands.
"""

import math
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from edgekit import overflow
from edgekit.errors import ArtifactError
from edgekit.inspection import Inspection, Layer, Operators, Port, fitting, overflowing, tally

Element = ElementTree.Element
LAYERS_WITH_WEIGHTS = ("Convolution", "GroupConvolution", "MatMul")
UNPACKING = ("Convert", "FakeQuantize", "Multiply", "Reshape", "Subtract", "Transpose")  # what stands behind constants
MOVING = ("MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")  # what 8-bit activations pass through as they are
DEQUANTIZING = ("Convert", "Multiply", "Subtract")  # integers to reals by constants: what ONNX files are converted to
TYPES = {"f16": "float16", "fp16": "float16", "f32": "float32", "fp32": "float32", "f64": "float64", "fp64": "float64"}
TYPES |= {f"{kind[0]}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (4, 8, 16, 32, 64)}


def read(file: Path) -> Inspection:
    try:
        net = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, UnicodeError) as error:
        raise ArtifactError(f"{file} is damaged, or not OpenVINO IR: {error}") from error
    if net.tag != "net":
        raise ArtifactError(f"{file} is not OpenVINO IR")
    beside = file.with_suffix(".bin")
    if not beside.is_file():
        raise ArtifactError(
            f"{file} keeps its weights in {beside.name}, which is not there", hint=f"copy {beside.name}"
        )
    blob = beside.read_bytes()
    with fitting(file, beside):
        return _inspection(file, Graph(net, blob), len(blob))


def _inspection(file: Path, graph: "Graph", outside: int) -> Inspection:
    heavy = [layer for layer in graph.layers if layer.get("type") in LAYERS_WITH_WEIGHTS]
    integer = [layer for layer in heavy if graph.precision(layer) == "int8"]
    sizes = {_name(layer): graph.macs(layer) for layer in heavy}
    total = sum(size for size in sizes.values() if size is not None)
    known = total > 0 and None not in sizes.values()
    return Inspection(
        file.name,
        file.stat().st_size + outside,
        _operators(graph),
        sum(sizes[_name(layer)] or 0 for layer in integer) / total if known else None,
        tuple(_name(layer) for layer in heavy if integer and layer not in integer),
        overflowing((_name(layer), graph.rows_at_risk(layer)) for layer in integer) if integer else None,
        tuple(
            Layer(
                _name(layer),
                layer.get("type", ""),
                graph.precision(layer),
                sum(graph.bytes_behind(maker) for maker in graph.makers(layer)),
            )
            for layer in heavy
        ),
        tuple(_port(layer, "output/port") for layer in graph.layers if layer.get("type") == "Parameter"),
        tuple(_port(layer, "input/port") for layer in graph.layers if layer.get("type") == "Result"),
    )


def _port(layer: Element, end: str) -> Port:
    port = _inside(layer, end)
    return Port(_name(layer), _type(port.get("precision", "")), tuple(n if n >= 0 else None for n in _dims(port)))


def _operators(graph: "Graph") -> tuple[Operators, ...]:
    count: dict[tuple[str, str], int] = defaultdict(int)
    weights: dict[tuple[str, str], int] = defaultdict(int)
    for layer in graph.layers:
        if layer.get("type") in ("Const", "Parameter", "Result") or graph.constant(layer) is not None:
            continue
        key = (layer.get("type", ""), graph.precision(layer))
        count[key] += 1
        if key[1] != "conversion":
            weights[key] += sum(graph.bytes_behind(maker) for maker in graph.makers(layer))
    return tally(count, weights)


class Graph:
    """The layers of a net, who feeds them, and the constants behind them."""

    def __init__(self, net: Element, blob: bytes) -> None:
        self.layers = _inside(net, "layers").findall("layer")
        self.blob = blob
        by_id = {layer.get("id"): layer for layer in self.layers}
        place = {name: i for i, name in enumerate(by_id)}
        self._feeds: dict[tuple[str | None, int], Element] = {}
        for edge in _inside(net, "edges").findall("edge"):
            source, target = edge.get("from-layer"), edge.get("to-layer")
            if place[source] >= place[target]:  # a circle would be walked for ever
                raise ValueError(f"layer {source} feeds {target}, which stands before it")
            self._feeds[target, int(edge.get("to-port", ""))] = by_id[source]

    def makers(self, layer: Element) -> list[Element]:
        """What feeds a layer, by port."""
        ports = range(len(layer.findall("input/port")))
        return [self._feeds[layer.get("id"), port] for port in ports]

    def constant(self, layer: Element) -> Element | None:
        """The constant that a layer unpacks, or is; None for what depends on the image."""
        while layer.get("type") in UNPACKING:
            layer = self.makers(layer)[0]
        return layer if layer.get("type") == "Const" else None

    def bytes_behind(self, layer: Element) -> int:
        stored = self.constant(layer)
        return 0 if stored is None else int(_data(stored, "size"))

    def numbers(self, constant: Element) -> NDArray[np.generic]:
        dtype = np.dtype(_type(_data(constant, "element_type")))
        shape = [int(n) for n in _data(constant, "shape").split(",") if n.strip()]
        return np.frombuffer(self.blob, dtype, math.prod(shape), int(_data(constant, "offset"))).reshape(shape)

    def precision(self, layer: Element) -> str:
        if layer.get("type") == "FakeQuantize":
            return "conversion"
        computed = _type(_inside(layer, "output/port").get("precision", ""))
        stored = self.constant(self.makers(layer)[1]) if layer.get("type") in LAYERS_WITH_WEIGHTS else None
        if stored is None:
            return computed
        packed = _type(_data(stored, "element_type"))
        if packed == "int8" and self.multiplies_integers(layer):
            return "int8"
        return computed if packed == computed else f"{computed}, {packed} weights"

    def multiplies_integers(self, layer: Element) -> bool:
        """Whether a layer with int8 weights gets 8-bit activations."""
        maker = self.makers(layer)[0]
        while maker.get("type") in (*MOVING, *DEQUANTIZING):
            of_the_picture = [m for m in self.makers(maker) if self.constant(m) is None]
            if len(of_the_picture) != 1:
                return False
            (maker,) = of_the_picture
        return maker.get("type") == "FakeQuantize" and _data(maker, "levels") == "256"

    def rows_at_risk(self, layer: Element) -> NDArray[np.int8]:
        """The weights of an int8 layer, [out, K] in the order the kernel adds them; of depthwise convolutions none.

        Those have kernels of their own, which add in 32 bits.
        """
        stored = self.constant(self.makers(layer)[1])
        if stored is None:
            raise LookupError(f"{_name(layer)} has no weights")
        weights = self.numbers(stored).astype(np.int8, copy=False)
        if layer.get("type") == "MatMul":
            return overflow.matrix_rows(weights, transposed=_data(layer, "transpose_b") == "true")
        if (
            layer.get("type") == "GroupConvolution"
        ):  # [groups, out / groups, in / groups, *kernel]; may be stored flatter
            weights = weights.reshape(_dims(layer.findall("input/port")[1]))
            is_depthwise = weights.shape[1:3] == (1, 1)
            if is_depthwise:
                return np.zeros((0, 0), np.int8)
            return overflow.convolution_rows(weights.reshape(-1, *weights.shape[2:]))
        return overflow.convolution_rows(weights)

    def macs(self, layer: Element) -> int | None:
        """Multiply-adds for one image; None where a size is not known. Sizes that are open are -1."""
        answer = _dims(_inside(layer, "output/port"))
        weights = _dims(layer.findall("input/port")[1])
        if layer.get("type") == "MatMul":
            added = weights[-1:] if _data(layer, "transpose_b") == "true" else weights[-2:-1]
        else:
            added = weights[2 if layer.get("type") == "GroupConvolution" else 1 :]
        sizes = (abs(answer[0]), *answer[1:], *added)  # an open first size is the batch
        return math.prod(sizes) if min(sizes) > 0 else None


def _inside(element: Element, path: str) -> Element:
    found = element.find(path)
    if found is None:
        raise LookupError(f"{element.tag} {element.get('name', '')} has no {path}")
    return found


def _data(layer: Element, name: str) -> str:
    return _inside(layer, "data").attrib[name]


def _dims(port: Element) -> tuple[int, ...]:
    return tuple(int(dim.text or "") for dim in port.findall("dim"))


def _type(name: str) -> str:
    return TYPES.get(name.lower(), name.lower())


def _name(layer: Element) -> str:
    return str(layer.get("name") or layer.get("id"))
