"""What an exporter, a runtime and a device must do: edgekit's own pass these checks, and a plugin's should.

    from edgekit.testing import check_exporter, check_runtime

    def test_executorch(tmp_path):
        for made in check_exporter("executorch", tmp_path):
            check_runtime("executorch", made)

Plugins are asked for by the names of their entry points. A check that fails raises an AssertionError which says what was
promised. It needs no test framework.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import parity, registry
from edgekit.artifact import Artifact
from edgekit.devices import Job, Memory, opened
from edgekit.errors import EdgekitError, UnsupportedError
from edgekit.recipe import SCHEMES, Quantize, Recipe, Scheme
from edgekit.runtimes import Options
from edgekit.tensors import Arrays

SIZE = (32, 48)  # pixels, height and width: what takes one for the other fails
CLASSES = 5


def check_exporter(target: str, folder: Path, schemes: Sequence[Scheme] = ()) -> Iterator[Artifact]:
    """Export a small network to `target`, twice in each scheme, and look at what came. Yields the artifacts.

    folder   an empty one, for the artifacts
    schemes  those to try; all that the exporter has where none are named

    Needs torch. Raises AssertionError, and what the exporter raises.
    """
    from edgekit.pipeline import export

    exporter = registry.exporter(target)
    _promise(exporter.target == target, f"the exporter of the entry point {target} calls its target {exporter.target}")
    unknown = set(exporter.schemes) - set(SCHEMES)
    _promise(bool(exporter.schemes) and not unknown, f"schemes are some of {', '.join(SCHEMES)}, not {sorted(unknown)}")
    held = [scheme for scheme in SCHEMES if scheme in exporter.schemes]
    for scheme in schemes or held:
        recipe = Recipe("conformance", target, quantize=Quantize(scheme), input_size=SIZE, samples=8)
        made, again = (export(recipe, folder / f"{scheme}{i}", module=network()) for i in ("", "-again"))
        _check_made(made, target, scheme)
        _check_same(made, again)
        yield made
    for scheme in (scheme for scheme in SCHEMES if scheme not in held):
        try:
            export(Recipe("conformance", target, quantize=Quantize(scheme)), folder / "refused", module=network())
        except UnsupportedError:
            continue
        raise AssertionError(f"{target} has no scheme {scheme}, and does not refuse it with an UnsupportedError")
    _promise(not (folder / "refused").exists(), "what is refused leaves nothing")


def network() -> Any:
    """A small convolutional network, always the same: float32 [n, 3, h, w] to [n, 5]."""
    import torch
    from torch import nn

    layers = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.Conv2d(8, 16, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)),
    )
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=drawn) / max(parameter[0].numel(), 1) ** 0.5)
    return layers.eval()


def check_runtime(name: str, made: Artifact) -> None:
    """Open an artifact in a runtime, and hold its answers against the golden ones. Raises AssertionError, and what the
    runtime raises."""
    runtime = registry.runtime(name)
    _promise(runtime.name == name, f"the runtime of the entry point {name} calls itself {runtime.name}")
    _promise(made.target in runtime.targets, f"{name} opens files for {sorted(runtime.targets)}, not for {made.target}")
    _promise(bool(runtime.version()), "a version is a text")
    with closing(runtime.open(made, Options())) as session, closing(runtime.open(made, Options())) as second:
        spec, given = session.input_spec(), made.manifest.input
        made.signature.check_input(spec.shape, spec.dtype)
        tensors = made.golden().tensors
        one, two = tensors[:1].copy(), tensors[1:2].copy()
        kept = one.copy()
        first = session.run(one)
        _promise(np.array_equal(one, kept), "run leaves the tensor that it is given as it was")
        _check_answers(made, first)
        held = [answer.copy() for answer in first]
        other = second.run(two)
        session.run(two)
        _promise(_equal(first, held), "an answer stays as it is when the next tensor runs: run returns copies")
        _promise(_equal(session.run(one), first), "the same tensor gets the same answer")
        _promise(_equal(session.run(two), other), "two sessions of a file answer alike")
        facts = session.facts()
        _promise(
            all(isinstance(said, str) for said in facts.values()) and "runtime" in facts,
            "facts are texts; one is `runtime`",
        )
        _promise(spec.dtype == given.dtype, f"the file takes {spec.dtype}, and its manifest says {given.dtype}")
    check_device("local", made, name)
    _check_damaged(name, made)


def check_device(which: str, made: Artifact, runtime: str, timeout: float = 600.0) -> None:
    """Run an artifact on a device, and hold its answers against the golden ones. Raises AssertionError, and what the
    device raises.

    which    as after `--on`
    timeout  seconds without an answer that mean a hang
    """
    device = registry.device(which)
    _promise(which in (device.name, device.name.partition(":")[0]), f"the device {which} calls itself {device.name}")
    _promise(isinstance(device.counts, bool) and isinstance(device.timed, bool), "`counts` and `timed` are yes or no")
    _promise(device.at_once >= 1, "a worker takes at least one image at once")
    _promise(bool(device.state()), "the state is a text")
    golden = made.golden()
    with opened(device, Job(str(made.folder), runtime), timeout) as worker:
        made.signature.check_input(worker.ready.input_spec.shape, worker.ready.input_spec.dtype)
        _promise("runtime" in worker.ready.facts, "a worker passes its session's facts on")
        answered = worker.answer(golden.tensors)
        _check_golden(made, answered)
        _promise(
            _equal(worker.answer(golden.tensors[:1]), [a[:1] for a in answered]), "one tensor is answered as several"
        )
        if device.timed:
            _promise(len(worker.infer(3).ns) == 3, "three inferences are three times")
        if device.counts:
            _promise(min(worker.count(2)) > 0, "instructions are counted")
        _promise(isinstance(worker.end(), Memory | None), "a worker ends, and tells its memory or None")
    worker.kill()  # again: it must not mind


def _check_made(made: Artifact, target: str, scheme: Scheme) -> None:
    m = made.manifest
    said = f"asked for {scheme} for {target}, and made {m.scheme} for {m.target}"
    _promise((m.target, m.scheme) == (target, scheme), said)
    _promise(
        m.outputs[0].shape[-1] == CLASSES and len(m.outputs) == 1, f"one output of {CLASSES} scores, not {m.outputs}"
    )
    _promise(len(m.made_with) > 1, "`versions` names the packages that made the file")
    _promise(m.proof.passed, f"the file answers like PyTorch: {parity.describe(m.proof, m.preprocess.units)}")
    for path in made.folder.iterdir():
        for place in (str(made.folder.parent), str(Path.home())):
            leaks = len(place) > 5 and place.encode() in path.read_bytes()  # not "/root" alone: too short to tell
            _promise(not leaks, f"{path.name} holds a path of this machine, {place}")


def _check_same(made: Artifact, again: Artifact) -> None:
    for name in made.manifest.files:
        same = (made.folder / name).read_bytes() == (again.folder / name).read_bytes()
        _promise(same, f"the same request gives the same bytes, and {name} differs")
    _promise(made.manifest == again.manifest, "the same request gives the same manifest")


def _check_answers(made: Artifact, answers: Arrays) -> None:
    outputs = made.manifest.outputs
    _promise(isinstance(answers, tuple) and len(answers) == len(outputs), f"run answers a tuple of {len(outputs)}")
    for answer, output in zip(answers, outputs, strict=True):
        said = f"{output.dtype} {list(output.shape)}"
        right = answer.dtype.name == output.dtype and answer.shape == tuple(output.shape)
        _promise(
            right, f"{output.name} is {said} by the manifest, and {answer.dtype} {list(answer.shape)} when it runs"
        )


def _check_golden(made: Artifact, answered: Arrays) -> None:
    values = made.thinned(made.decode(answered))
    for value, golden, output in zip(values, made.golden().answers, made.manifest.outputs, strict=True):
        farthest = float(np.abs(value - golden).max())
        _promise(
            farthest <= max(output.tolerance or 0.0, 1e-6),
            f"{output.name} is {farthest:.3g} from the golden answers, and {output.tolerance} is allowed",
        )


def _check_damaged(name: str, made: Artifact) -> None:
    """In a worker: a runtime may die of it, and the caller must not."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch, made.model_file.name)
        blob = made.model_file.read_bytes()
        file.write_bytes(blob[: len(blob) // 2])
        try:
            with opened(registry.device("local"), Job(str(file), name), 120.0):
                raise AssertionError(f"{name} opens half of a file")
        except EdgekitError as error:
            _promise(" hangs: " not in error.message, f"half of a file is refused, and {error.message}")


def _equal(a: Sequence[NDArray[Any]], b: Sequence[NDArray[Any]]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _promise(kept: bool, promise: str) -> None:
    if not kept:
        raise AssertionError(promise)
