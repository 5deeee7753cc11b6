"""Where a verdict goes besides the terminal: what CI systems and dashboards read."""

from dataclasses import dataclass
from pathlib import Path

from edgekit import places
from edgekit.gating import Verdict
from edgekit.gating.dashboards import benchmark_action, bmf
from edgekit.gating.rendering import junit, markdown


@dataclass(frozen=True)
class Outputs:
    """Files, by the flag that names them; None leaves one out. Markdown is appended, as $GITHUB_STEP_SUMMARY wants it."""

    markdown: str | None = None
    junit: str | None = None
    bmf: str | None = None
    benchmark_action: str | None = None

    def check(self) -> None:
        """Refuse a place that cannot be written, before anything runs. Raises RequestError, OutputError."""
        for name, place in vars(self).items():
            if place:
                places.check_file(Path(place), _hint(name))

    def write(self, verdict: Verdict) -> None:
        """Raises OutputError."""
        texts = {
            "markdown": markdown(verdict),
            "junit": junit([verdict]),
            "bmf": bmf(verdict),
            "benchmark_action": benchmark_action(verdict),
        }
        for name, place in vars(self).items():
            if place:
                with places.output_errors(_hint(name)):
                    Path(place).parent.mkdir(parents=True, exist_ok=True)
                _write(Path(place), texts[name], name)


def _write(place: Path, text: str, name: str) -> None:
    if name == "markdown":
        with places.output_errors(_hint(name)), place.open("a", encoding="utf-8") as file:
            file.write(text)
        return
    with places.replacing(place, _hint(name)) as partial:
        partial.write_text(text, "utf-8")


def _hint(name: str) -> str:
    return f"--{name.replace('_', '-')} another/file"
