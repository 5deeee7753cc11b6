"""The worker: `python -m edgekit.devices.worker` opens one file and does what its standard input says.

It holds the only stopwatch of edgekit. Standard output is the channel of replies: what a native library prints there
goes to standard error instead.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import numpy as np
from numpy.random import default_rng  # here, or its 2 MB would count as memory of a file that is fed noise

from edgekit import artifact, registry
from edgekit.artifact import Artifact, Model
from edgekit.devices import (
    Answer,
    Count,
    Counts,
    End,
    Failure,
    Infer,
    Job,
    Memory,
    Operators,
    Phase,
    Profile,
    Ready,
    Reply,
    Request,
    Samples,
    Tensors,
    counting,
    host,
    pack,
    packed,
    unpack,
)
from edgekit.devices.clock import cpu_clock
from edgekit.errors import EdgekitError, RequestError, UnsupportedError
from edgekit.runtimes import InputSpec, Runtime, Session
from edgekit.tensors import Array, Arrays

T = TypeVar("T")


def main() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    host.die_first()

    def reply(message: Reply, payload: bytes = b"") -> None:
        replies.write(msgspec.json.encode(message) + b"\n" + payload)
        replies.flush()

    try:
        serve(sys.stdin.buffer, reply)
    except EdgekitError as error:
        reply(Failure.of(error))
        sys.exit(error.exit_code)


def serve(requests: BinaryIO, reply: Callable[..., None]) -> None:
    job = msgspec.convert(json.loads(requests.readline()), Job)
    used = [host.memory()]
    runtime, imported = timed(lambda: _import(job))
    used.append(host.memory())
    model = artifact.open_model(Path(job.model), getattr(runtime, "suffixes", ()))
    session, load = timed(lambda: runtime.open(model, job.options))
    used.append(host.memory())
    spec = session.input_spec()
    if isinstance(model, Artifact) and model.target in runtime.targets:  # the yardstick takes anything
        model.signature.check_input(spec.shape, spec.dtype)
    tensor, source = feed(model, spec, job)
    _, first = timed(lambda: session.run(tensor))
    used.append(host.memory())
    gc.disable()
    conditions = host.conditions() | {"cpu_clock": cpu_clock().words}
    reply(Ready(imported, load, first, spec, session.facts(), conditions, source, cpu_clock().step))
    while line := requests.readline():
        request: Request = msgspec.json.decode(line, type=Request)
        tensors = tensor
        if isinstance(request, Answer):
            (tensors,) = unpack([request.tensor], requests.read(request.tensor.size))
        try:
            reply(*answer(session, request, tensors, used, job.batch))
        except EdgekitError as error:
            reply(Failure.of(error))
        if isinstance(request, End):
            break
    session.close()


def answer(
    session: Session,
    request: Request,
    tensors: Array,
    used: list[host.Resident | None],
    batch: int | None = None,
) -> tuple[Reply] | tuple[Reply, bytes]:
    def run() -> Arrays:
        return session.run(tensors)

    match request:
        case Infer(times):
            return (infer(run, times),)
        case Count(times):
            return (Counts(counting.count(run, times)),)
        case Profile(times):
            return (profile(session, run, times),)
        case End():
            return (End(_memory(used)),)
        case Answer():
            of_file = session.input_spec().shape[0]
            step = of_file if of_file > 0 else batch or 1  # -1: open
            batches = [session.run(tensors[i : i + step]) for i in range(0, len(tensors), step)]
            answers = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
            return Tensors(tuple(map(packed, answers))), pack(answers)


def timed(call: Callable[[], T]) -> tuple[T, Phase]:
    read = cpu_clock().read
    wall, cpu = time.perf_counter_ns(), read()
    result = call()
    cpu_ns = read() - cpu
    return result, Phase(time.perf_counter_ns() - wall, cpu_ns)


def infer(run: Callable[[], object], times: int) -> Samples:
    """CPU time is the whole process's: runtimes compute on threads of their own."""
    before = host.involuntary_switches()
    phases = [timed(run)[1] for _ in range(times)]
    return Samples(tuple(p.wall_ns for p in phases), tuple(p.ns for p in phases), host.involuntary_switches() - before)


def profile(session: Session, run: Callable[[], object], times: int) -> Operators:
    tell = getattr(session, "profile", None)
    if tell is None:
        name = session.facts()["runtime"]
        raise UnsupportedError(f"{name} does not tell the time of single operators", hint="leave --profile out")
    for _ in range(times):
        run()
    return Operators(tuple(tell()))


def feed(model: Model, spec: InputSpec, job: Job) -> tuple[Array, str]:
    """What the timed inferences run on: an artifact's first golden image, or noise; and which it is.

    Raises RequestError for a batch that the file does not take, UnsupportedError for sizes that it leaves open.
    """
    sizes = spec.shape[1:]
    if -1 in sizes:
        raise UnsupportedError(f"{model.name} leaves the size of its input open: {spec.shape}", hint="fix it at export")
    batch = job.batch or (1 if spec.shape[0] == -1 else spec.shape[0])
    if spec.shape[0] not in (-1, batch):
        raise RequestError(
            f"{model.name} takes {spec.shape[0]} images at once, not {batch}", hint="edgekit export --dynamic-batch"
        )
    if isinstance(model, Artifact):
        return np.repeat(model.golden().tensors[:1], batch, axis=0), "the artifact's first golden image"
    noise = default_rng(job.seed).standard_normal((batch, *sizes))
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return noise.astype(dtype), f"N(0, 1), seed {job.seed}"
    limits = np.iinfo(dtype)
    if spec.scale:
        noise, said = noise / spec.scale + (spec.zero_point or 0), "N(0, 1) in the file's own scale"
    else:  # bytes of an image
        noise, said = noise * 64 + 128 + (limits.min if limits.max == 127 else 0), "N(128, 64)"
    return np.rint(noise).clip(limits.min, limits.max).astype(dtype), f"{said}, seed {job.seed}"


def _import(job: Job) -> Runtime:
    runtime = registry.runtime(job.runtime)
    if hasattr(runtime, "imports"):
        runtime.imports(job.options)
    return runtime


def _memory(used: list[host.Resident | None]) -> Memory | None:
    peak = host.memory()
    before, imported, loaded, first = used
    if not (peak and before and imported and loaded and first):
        return None
    return Memory(before.total, imported.total, loaded.total, first.total, first.anonymous, peak.peak)


if __name__ == "__main__":
    main()
