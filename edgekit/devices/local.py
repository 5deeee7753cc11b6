"""This machine: a fresh Python per opened file."""

import sys

from edgekit.devices import Job
from edgekit.devices.process import ProcessWorker
from edgekit.errors import UnknownNameError


class Local:
    name = "local"
    counts = False
    timed = True
    at_once = 8

    def __init__(self, which: str | None = None) -> None:
        if which:
            raise UnknownNameError("device", f"local:{which}", ["local"])

    def state(self) -> str:
        return "this machine"

    def start(self, job: Job, timeout: float) -> ProcessWorker:
        return ProcessWorker([sys.executable, "-P", "-m", "edgekit.devices.worker"], job, timeout=timeout)
