"""A run of `edgekit train` that is stopped in the middle and goes on: the same numbers as one that was not."""

from contextlib import nullcontext

import msgspec
import pytest

from edgekit.models import trained
from edgekit.training import train


def check_goes_on(asked, folder, *, after, whole=None, save_every=1):
    """Stop after so many steps. whole: the folder of a run of the same settings that nobody stopped; None: it is made."""
    if whole is None:
        whole = folder / "whole"
        train(asked, whole)

    class Stop(Exception):
        pass

    def progress(total):
        ticks = iter(range(after))

        def tick():
            if next(ticks, None) is None:
                raise Stop

        return nullcontext(tick)

    asked = msgspec.structs.replace(asked, save_every=save_every)
    with pytest.raises(Stop):
        train(asked, folder / "killed", progress=progress)
    assert train(asked, folder / "killed", resume=True).test == trained.read(whole).test
    assert (folder / "killed" / trained.WEIGHTS).read_bytes() == (whole / trained.WEIGHTS).read_bytes()
