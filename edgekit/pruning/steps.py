"""`<out>.steps`: what `edgekit prune` has made on its way and what was asked for, so that a killed one goes on."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec.toml

from edgekit import reading, zoo
from edgekit.errors import RequestError
from edgekit.models import trained
from edgekit.models.trained import Card
from edgekit.places import output_errors, replacing
from edgekit.training.settings import differences

ASKED = "prune.toml"
OURS = re.compile(rf"(cut|tuned)-\d+|{re.escape(ASKED)}|\.{re.escape(ASKED)}\..*\.partial")
Asked = Mapping[str, Any]  # settings and goal, as plain values


class Steps:
    """cut-N: a run of no epochs, after the Nth cut; tuned-N: the same, fine-tuned."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out.with_name(f"{out.name}.steps")

    def cut(self, number: int) -> Path:
        return self.folder / f"cut-{number}"

    def tuned(self, number: int) -> Path:
        return self.folder / f"tuned-{number}"

    def check(self, model: str, *, resume: bool, fresh: bool) -> None:
        """Raises RequestError for a folder that holds something else, the model, or steps that nothing was said about."""
        if self.folder.resolve() in (Path(model).resolve(), *Path(model).resolve().parents):
            raise RequestError(f"{self.folder} is removed at the end, and {model} lies in it", hint="-o another/folder")
        names = self._names()
        if foreign := [name for name in names if not OURS.fullmatch(name)]:
            raise RequestError(
                f"{self.folder} holds something that edgekit prune did not make ({foreign[0]})",
                hint="-o another/folder",
            )
        if names and not resume and not fresh:
            raise RequestError(
                f"{self.folder} holds a prune that was cut short", hint="--resume goes on with it, --fresh starts over"
            )

    def begin(self, asked: Asked) -> None:
        """Anew, without what an earlier one has left."""
        self.remove()
        with output_errors():
            self.folder.mkdir(parents=True)
        with replacing(self.folder / ASKED) as partial:
            partial.write_bytes(msgspec.toml.encode(asked))

    def go_on(self, asked: Asked) -> Card | None:
        """The card where all is done. Raises RequestError where there is nothing to go on with, or for other settings."""
        if (self.folder / ASKED).is_file():
            _check_same(self.folder, _read_asked(self.folder / ASKED), asked)
            return None
        card = trained.read(self.out) if zoo.is_run(str(self.out)) else None
        if card is None or card.pruned is None or not card.finished:
            raise RequestError(f"there is no prune to go on with in {self.out}", hint="leave --resume out")
        did, made_from = card.pruned, ("model", "weights", "distill")  # of the last fine-tuning, in card.settings
        told = {k: v for k, v in card.settings.items() if k not in made_from}
        told |= {"model": did.model, "model_sha256": did.model_sha256, "counted": did.asked, "keep": did.keep}
        _check_same(self.out, told, {k: v for k, v in asked.items() if k in told})
        return card

    def remove(self) -> None:
        """What prune has made, and the folder where nothing else lies in it."""
        with output_errors():
            for name in self._names():
                if OURS.fullmatch(name):
                    path = self.folder / name
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            if self.folder.is_dir() and not self._names():
                self.folder.rmdir()

    def _names(self) -> list[str]:
        if self.folder.is_dir():
            return sorted(p.name for p in self.folder.iterdir())
        if self.folder.exists():
            raise RequestError(f"{self.folder} is a file, and the steps of pruning lie there", hint="-o another/folder")
        return []


def _check_same(where: Path, before: Asked, now: Asked) -> None:
    if changed := differences(dict(before), dict(now)):
        raise RequestError(
            f"{where} was begun with other settings: {'; '.join(changed)}",
            hint="the same ones, or --fresh to start over",
        )


def _read_asked(path: Path) -> Asked:
    """Raises RequestError for a file that is damaged."""
    try:
        return reading.toml(path, dict[str, Any])
    except reading.Malformed as error:
        raise RequestError(f"{path}: {error}", hint="--fresh starts over") from None
