"""Keep native libraries from talking over edgekit."""

import contextlib
import io
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def silenced(log: Path | None = None) -> Iterator[None]:
    """Send what a library prints, from Python and from C++, to a file (or nowhere)."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed
            stream.flush()
    saved = [os.dup(1), os.dup(2)]
    with log.open("wb") if log else tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 1), os.dup2(sink.fileno(), 2)
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                yield
        except Exception:
            traceback.print_exc(file=said)
            raise
        finally:
            sink.write(said.getvalue().encode(errors="replace"))
            logging.disable(disabled)
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
