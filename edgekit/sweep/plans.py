"""The rows of a sweep for schedulers that are there already: each of them calls `edgekit sweep GRID --cell N -o OUT`."""

import json
import shlex
from collections.abc import Callable, Sequence

from edgekit.sweep.grid import Row

MATRIX = 256  # jobs of a GitHub Actions matrix at most


def as_json(rows: Sequence[Row], command: Sequence[str]) -> str:
    """A GitHub Actions matrix: `strategy: matrix: ${{ fromJSON(...) }}`. More rows than a matrix takes come several to a job."""
    size = -(-len(rows) // MATRIX)
    jobs = []
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        cells = f"{some[0].number}-{some[-1].number}" if len(some) > 1 else str(some[0].number)
        jobs.append({"cell": cells, "name": "; ".join(row.name for row in some)})
    return json.dumps({"include": jobs}, indent=2)


def as_slurm(rows: Sequence[Row], command: Sequence[str]) -> str:
    """For sbatch: an array, one row a task."""
    return f"""#!/bin/sh
#SBATCH --job-name=edgekit-sweep
#SBATCH --array=0-{len(rows) - 1}
#SBATCH --cpus-per-task=1
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
{shlex.join(command)} --cell "$SLURM_ARRAY_TASK_ID\""""


def as_make(rows: Sequence[Row], command: Sequence[str]) -> str:
    """A Makefile, for `make -j2 -k`: a row that is made already costs a look."""
    call = shlex.join(command).replace("$", "$$")
    names = "\n".join(f"# {row.number}: {row.name}" for row in rows)
    return f"""{names}
ROWS := $(shell seq 0 {len(rows) - 1})
.PHONY: all $(ROWS)
all: $(ROWS)
$(ROWS):
\t{call} --cell $@"""


PLANS: dict[str, Callable[[Sequence[Row], Sequence[str]], str]] = {
    "json": as_json,
    "slurm": as_slurm,
    "make": as_make,
}
