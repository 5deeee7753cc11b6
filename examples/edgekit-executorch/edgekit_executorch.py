"""ExecuTorch for edgekit: a target that writes `model.pte` for XNNPACK, and a runtime that opens it.

Two classes and two entry points (pyproject.toml) are the whole plugin; edgekit proves, measures and gates what they make
like a file of its own. int8 is ExecuTorch's: XNNPACKQuantizer of torchao's PT2E, a scale for each channel of the weights
(https://docs.pytorch.org/executorch/stable/quantization-overview.html).
"""

import contextlib
import importlib.metadata
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.calibration import Pictures
from edgekit.errors import ExportError, UnsupportedError, WorkerError
from edgekit.exporters import Exported, Say, answers, assigned
from edgekit.recipe import Recipe
from edgekit.runtimes import InputSpec, Options, sole
from edgekit.tensors import Arrays, Tensor

if TYPE_CHECKING:
    from edgekit.artifact import Model
    from edgekit.models import LoadedModel

HOW_TO_LOAD = """\
```python
import torch
from executorch.runtime import Runtime
method = Runtime.get().load_program("model.pte").load_method("forward")
{answers} = method.execute([torch.zeros({shape}, dtype=torch.{dtype})])
```
"""
VERSIONS = ("torch", "executorch", "torchao")


class ExecutorchExporter:
    target = "executorch"
    schemes = frozenset({"fp32", "int8-static", "int8-dynamic"})
    int8 = "int8-static"  # what --int8 takes, where edgekit's table of schemes knows nothing of this target

    def export(self, model: "LoadedModel", recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported:
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        from edgekit.exporters.export_wrapper import ExportWrapper
        from edgekit.exporters.preparing import prepare

        if recipe.quantize.keep_float:
            raise UnsupportedError("the executorch target cannot keep layers in float", hint="leave --keep-float out")
        dtype = getattr(torch, recipe.input_type)
        shape = (1, *model.preprocess.shape)
        prepared = prepare(model, recipe, calibration, say)  # edgekit's part of int8: equalised, weights on their grid
        wrapper = ExportWrapper(prepared.module, model.preprocess, recipe, traced_type=dtype).eval()
        example = (torch.zeros(shape, dtype=dtype),)
        say("exporting with torch.export, for XNNPACK")
        with silent():
            try:
                program = torch.export.export(wrapper, example)
                if recipe.quantize.scheme != "fp32":
                    program = torch.export.export(_quantized(program.module(), recipe, calibration), example)
                made = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
            except Exception as error:  # whatever the tracer, the quantizer and the compiler raise
                raise ExportError(f"ExecuTorch cannot take this model: {str(error).strip().splitlines()[0]}") from error
        file = out / "model.pte"
        file.write_bytes(made.buffer)
        offset = (1.0, -128) if recipe.input_type == "int8" else (None, None)
        outputs, _ = answers(model, recipe, model.outputs, 1)
        how = HOW_TO_LOAD.format(
            answers=assigned(outputs).removesuffix(","), shape=list(shape), dtype=recipe.input_type
        )
        versions = {name: importlib.metadata.version(name) for name in VERSIONS}
        return Exported(
            file, Tensor("x", shape, recipe.input_type, "NCHW", *offset), outputs, versions, {}, how, prepared.notes
        )


def _quantized(graph: Any, recipe: Recipe, calibration: Pictures) -> Any:
    """The traced network with XNNPACK's int8 operators marked, its ranges those of the calibration images."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    dynamic = recipe.quantize.scheme == "int8-dynamic"
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
    prepared = prepare_pt2e(graph, XNNPACKQuantizer().set_global(config))
    for pixels in calibration:
        x = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).int()
        prepared((x - 128 if recipe.input_type == "int8" else x).to(getattr(torch, recipe.input_type)))
    return convert_pt2e(prepared)


class ExecutorchSession:
    def __init__(self, model: "Model", options: Options) -> None:
        if options.interpreter is not None:
            raise UnsupportedError("--interpreter chooses who runs a .tflite file", hint="leave it out for .pte")
        if options.profile:
            raise UnsupportedError("this plugin cannot time operators", hint="leave --profile out")
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime, Verification

        portable_lib._unsafe_reset_threadpool(options.threads)  # "unsafe" while something runs, and nothing does yet
        self._torch = torch
        try:
            program = Runtime.get().load_program(model.model_file, verification=Verification.InternalConsistency)
            self._method = program.load_method("forward")
        except Exception as error:
            raise WorkerError(f"ExecuTorch cannot open {model.model_file}: {error}") from error
        meta = self._method.metadata
        given = sole([meta.input_tensor_meta(i) for i in range(meta.num_inputs())], "input", model.model_file)
        self._spec = InputSpec(tuple(given.sizes()), DTYPES[given.dtype()])

    def input_spec(self) -> InputSpec:
        return self._spec

    def run(self, tensor: NDArray[Any]) -> Arrays:
        given = self._torch.from_numpy(np.ascontiguousarray(tensor))
        return tuple(answer.numpy().copy() for answer in self._method.execute([given]))

    def facts(self) -> dict[str, str]:
        return {"runtime": f"executorch {importlib.metadata.version('executorch')}", "delegate": "XNNPACK"}

    def close(self) -> None:
        del self._method


DTYPES = {0: "uint8", 1: "int8", 6: "float32"}  # ScalarType of ExecuTorch's runtime


class ExecutorchRuntime:
    name = "executorch"
    targets = frozenset({"executorch"})
    suffixes = frozenset({".pte"})

    def __init__(self) -> None:
        import executorch  # noqa: F401  a runtime that cannot be imported is none

    def version(self) -> str:
        return importlib.metadata.version("executorch")

    def open(self, artifact: "Model", options: Options = Options()) -> ExecutorchSession:
        return ExecutorchSession(artifact, options)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without the warnings of a tracer that nobody here can mend."""
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        yield
