"""Ask pip whether `pip install -c constraints.txt ".[EXTRAS]"` finds versions, for each Python: python resolving.py EXTRAS..."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")

# --python-version chooses wheels; markers like `python_version < "3.12"` would still be those of the Python that runs pip
PIP = """
import sys
from pip._vendor.packaging import markers
from pip._internal.cli.main import main
here, version = markers.default_environment(), sys.argv[1]
markers.default_environment = lambda: here | {"python_version": version, "python_full_version": version + ".0"}
sys.exit(main(sys.argv[2:]))
"""


def resolve(extras: str, python: str) -> str:
    """What is wrong; nothing where pip finds versions."""
    pip = [sys.executable, "-c", PIP, python, "--disable-pip-version-check", "install", "--quiet"]
    how = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--no-build-isolation", "--python-version", python]
    what = [
        "--target",
        str(ROOT / "build" / "nowhere"),
        "--constraint",
        str(ROOT / "constraints.txt"),
        f"{ROOT}[{extras}]",
    ]
    done = subprocess.run([*pip, *how, *what], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


if __name__ == "__main__":
    wrong = {(extras, python): resolve(extras, python) for extras in sys.argv[1:] for python in PYTHONS}
    for (extras, python), what in wrong.items():
        print(f"[{extras}] on Python {python}: {what or 'resolves'}", flush=True)
    sys.exit(any(wrong.values()))
