"""What a command shows on a terminal of a given width."""

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ

STEERING = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


def shown(*arguments, columns=80, cwd=None, env=None, code="from edgekit.cli import main; main()"):
    """Exit code, and all that is written to a terminal: stdout and stderr in their order, colours too."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    surroundings = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=surroundings | {"TERM": "xterm-256color"} | (env or {}),
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # its end, on Linux
            break
        if not part:
            break
        found += part
    os.close(ours)
    return child.wait(), found.decode("utf-8", "replace").replace("\r\n", "\n")


def lines(text):
    """What stood in a line at some time, without colours: a bar of progress writes over its line."""
    return re.split(r"[\r\n]+", STEERING.sub("", text))
