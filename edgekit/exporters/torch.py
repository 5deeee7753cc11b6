"""PyTorch to `.pt2`: the reference is an artifact too."""

import importlib.metadata
import io
from pathlib import Path

import torch

from edgekit.calibration import Pictures
from edgekit.errors import ExportError, reason
from edgekit.exporters import Exported, Say, answers, assigned, given_as
from edgekit.exporters.export_wrapper import ExportWrapper
from edgekit.models import LoadedModel
from edgekit.quiet import silenced
from edgekit.recipe import Recipe
from edgekit.tensors import Tensor

HOW_TO_LOAD = """\
```python
import torch
module = torch.export.load("model.pt2").module()
{answers} = module(torch.zeros({shape}, dtype=torch.{dtype}))
```
"""


class TorchExporter:
    target = "torch"
    schemes = frozenset({"fp32"})

    def export(self, model: LoadedModel, recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported:
        dtype = getattr(torch, recipe.input_type)
        shape = (1, *model.preprocess.shape)
        say("exporting with torch.export")
        wrapper = ExportWrapper(model.module, model.preprocess, recipe, traced_type=dtype).eval()
        try:
            with silenced():  # a tracer that fails prints its graph
                program = torch.export.export(wrapper, (torch.zeros(shape, dtype=dtype),))
        except Exception as error:  # whatever the tracer raises
            raise ExportError(f"torch.export cannot trace this model: {reason(error)}") from error
        _forget_sources(program)
        archive = io.BytesIO()  # torch's own writer aborts the process when the disk is full
        torch.export.save(program, archive)
        file = out / "model.pt2"
        file.write_bytes(archive.getbuffer())
        given = Tensor(
            "x",
            shape,
            recipe.input_type,
            given_as(model.preprocess, last=False),
            *((1.0, -128) if recipe.input_type == "int8" else (None, None)),
        )
        versions = {name: importlib.metadata.version(name) for name in ("torch", "timm")}
        outputs, _ = answers(model, recipe, model.outputs, 1)
        named = assigned(outputs).removesuffix(",")
        how = HOW_TO_LOAD.format(shape=list(shape), dtype=recipe.input_type, answers=named)
        return Exported(file, given, outputs, versions, {}, how)


def _forget_sources(program: torch.export.ExportedProgram) -> None:
    """Drop the lines of source that each operator came from: they tell paths and code of the machine it was made on."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
