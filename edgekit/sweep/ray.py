"""Rows of a sweep on a Ray cluster: that of RAY_ADDRESS or `ray start` on this machine, else one of its own for the time being.

A row is a task that runs its command in a process, as `local` does. Ray only says where: on nodes with this machine's CPU class, because what was
measured on another one is another row, and with the phone, where the row is about one. All nodes see the sweep's folder at the same path.

    ray start --address HEAD:6379 --labels cpu-class=x86-vnni --resources '{"adb:SERIAL": 1}'
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgekit.devices import commands, host
from edgekit.errors import DeviceError, reason
from edgekit.extras import needs
from edgekit.sweep.engines import SAID, Ended, Job

LABEL = "cpu-class"
TRIES = 3  # of a row whose worker dies
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 by itself: rows are timed, and on a busy machine they would wait for everybody
    "RAY_enable_metrics_collection": "0",  # with it a start on a busy machine ends in an abort (ray#65983)
}
Told = tuple[int, bytes, str]  # exit code, standard output, the end of the errors


class Ray:
    """workers: of a cluster of its own; one that is there has as many as it has CPUs. Raises MissingExtraError before rows are planned."""

    def __init__(self, workers: int = 1) -> None:
        with needs("ray"):
            import ray
        self.ray, self.workers = ray, workers

    def run(self, jobs: Sequence[Job], scratch: Path) -> Iterator[Ended]:
        ray = self.ray
        with _cluster(ray, self.workers):
            _check(ray, jobs)
            task = ray.remote(num_cpus=1, max_retries=TRIES - 1, label_selector={LABEL: host.cpu_class()})(_run)
            running = {task.options(resources=_wants(job)).remote(job.command): job for job in jobs}
            try:
                while running:
                    (ended,), _ = ray.wait(list(running), num_returns=1)
                    yield _ended(ray, running.pop(ended).number, ended)
            finally:
                for left in running:
                    with suppress(Exception):  # whatever a cluster says that is going away
                        ray.cancel(left, force=True)


def _run(command: Sequence[str]) -> Told:
    """In a worker. The command ends with it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        spent = commands.run(command, place)
        said = (place / "stderr").read_bytes()[-SAID:].decode(errors="replace").strip()
        return spent.exit_code, (place / "stdout").read_bytes(), said


def _ended(ray: Any, number: int, reference: Any) -> Ended:
    try:
        return Ended(number, *ray.get(reference))
    except ray.exceptions.RayError as error:  # its worker, or its node, died once more than it may
        first = str(error).strip().splitlines()[:1]
        return Ended(
            number, 1, b"", f"Ray gave it up: {''.join(first)}"
        )  # no signal: those are taken for want of memory


def _wants(job: Job) -> dict[str, float]:
    """A phone is one node's, and takes one row at a time."""
    return {job.device: 1.0} if job.device.startswith("adb") else {}


def _check(ray: Any, jobs: Sequence[Job]) -> None:
    """Refuse at once what Ray would wait for without a word. Raises DeviceError."""
    nodes, has = [node for node in ray.nodes() if node["Alive"]], ray.cluster_resources()
    kind = host.cpu_class()
    if not any(node.get("Labels", {}).get(LABEL) == kind for node in nodes):
        raise DeviceError(
            f"none of {len(nodes)} nodes of the Ray cluster has the label {LABEL}={kind}",
            hint=f"ray start --labels {LABEL}={kind}",
        )
    for job in jobs:
        for name in _wants(job):
            if name not in has:
                hint = f"ray start --resources '{{\"{name}\": 1}}' where it is plugged in"
                raise DeviceError(f"no node of the Ray cluster has {name}, which row {job.number} wants", hint=hint)


@contextmanager
def _cluster(ray: Any, workers: int) -> Iterator[None]:
    """That which is there, or one of this machine's, which is gone afterwards. Raises DeviceError."""
    for name, said in SETTINGS.items():
        os.environ.setdefault(name, said)
    there = os.environ.get("RAY_ADDRESS")
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        try:
            try:
                ray.init(address=there or "auto", log_to_driver=False)
            except ConnectionError as error:
                if there:
                    raise DeviceError(
                        f"no Ray at {there}: {reason(error)}", hint="ray start, or unset RAY_ADDRESS"
                    ) from None
                os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else a token is written to the home folder
                own = {"num_cpus": workers, "labels": {LABEL: host.cpu_class()}, "_temp_dir": folder}
                ray.init(address="local", include_dashboard=False, log_to_driver=False, **own)
        except (RuntimeError, ValueError) as error:  # a start that took too long; an address that is none
            raise DeviceError(f"Ray does not start: {reason(error)}", hint="--engine local") from None
        try:
            yield
        finally:
            with suppress(Exception):  # whatever it says that is already gone
                ray.shutdown()
