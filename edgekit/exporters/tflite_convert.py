"""litert-torch, kept apart because importing it takes ten seconds."""

import re
from collections.abc import Sequence
from pathlib import Path

import litert_torch
import torch
from litert_torch._convert import core
from litert_torch.backend import inline_consts
from litert_torch.backend.debuginfo import _build

from edgekit.errors import ExportError
from edgekit.exporters import tflite_graph
from edgekit.exporters.diagnose import diagnose
from edgekit.quiet import silenced

NO_KERNEL = re.compile(r"failed to legalize operation '(?:\w+\.)?([\w.]+)'")


def convert(
    module: torch.nn.Module, dtype: torch.dtype, shape: tuple[int, ...], log: Path, *, last: Sequence[int] = ()
) -> bytes:
    """NHWC, because apps hold NHWC pixels; the speed is that of NCHW. Raises ExportError with the converter's log.

    shape: channels, height, width; of clips channels, frames, height, width. last: positions of the answers [n, c, h, w] that become [n, h, w, c].
    The file is made in memory: the converter's own writer ends the process when the disk is full.
    """
    with silenced(log):
        try:
            channel_last = litert_torch.to_channel_last_io(module, args=[0], outputs=list(last)).eval()
            return bytes(
                litert_torch.convert(channel_last, (torch.zeros(1, *shape[1:], shape[0], dtype=dtype),)).model_content()
            )
        except Exception as error:  # whatever the converter and its passes raise
            why = diagnose(error, module, torch.zeros(1, *shape, dtype=dtype))
            hint = ""
            if "failed to legalize" in str(error):  # an operator that TFLite has not; the rest is a dump of the graph
                kinds = ", ".join(sorted(set(NO_KERNEL.findall(str(error)))))
                why, hint = f"TFLite has no operator for {kinds or 'a part of it'} as it is here", "--target onnx"
            raise ExportError(f"litert-torch cannot convert this model: {why}", hint=hint) from error
        finally:
            _held.clear()


def _hierarchy(node: torch.fx.Node) -> str:
    """The modules that an operator stands in, `torch.nn...Sequential_blocks/heads/torch.nn...Conv2d_0;`.

    litert-torch's own forgets what is never called itself: of a ModuleList `heads` it leaves `Conv2d_0`.
    """
    steps, above = [], ""
    for path, kind in node.meta.get("nn_module_stack", {}).values():
        *lists, name = path.removeprefix(f"{above}.").split(".")
        called = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        steps += [*lists, f"{called}_{name}" if name else called]
        above = path
    return "/".join(steps) + ";"


_build._get_hierarchy = _hierarchy


_passes = core._run_convert_passes


def _readied(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    tflite_graph.ready(program)
    made: torch.export.ExportedProgram = _passes(program)
    return made


core._run_convert_passes = _readied


_held: list[torch.Tensor] = []
_told_apart = inline_consts._ConstantFingerprint.from_tensor


def _fingerprint(constant: torch.Tensor) -> inline_consts._ConstantFingerprint:
    """litert-torch knows a constant again by its address. One that is not contiguous (channels last; a part of another) it
    copies first, and frees the copy: the next copy may lie there, and get the first one's numbers. So copies are held."""
    _held.append(constant)
    return _told_apart(constant)


inline_consts._ConstantFingerprint.from_tensor = _fingerprint
