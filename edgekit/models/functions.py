"""`py:package.module:function`: importing a function of the user's own, calling it, and saying what went wrong in it.

Modules are looked for in the current folder first, as Python does for a script. `py:path/nets.py:function` names a file.
"""

import importlib
import inspect
import sys
import sysconfig
import traceback
import urllib.error
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from edgekit.errors import MissingError, RequestError, kind_and_reason

EXAMPLE = "py:package.module:function"
EDGEKIT = str(Path(__file__).parents[1])
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def by_module(model: str) -> str:
    """`py:path/nets.py:build` as `py:nets:build`, imported from there: paths stay out of what is written down. Raises
    RequestError where another module of that name is imported already."""
    file, _, name = model.removeprefix("py:").rpartition(":")
    path = Path(file)
    if path.suffix != ".py":
        if "/" in file:
            raise RequestError(f"{file} is no file of Python code", hint=f"py:{file}.py:{name}, or {EXAMPLE}")
        return model
    if not path.is_file():
        raise MissingError(f"there is no file {file}", hint="py:path/to/nets.py:function")
    module = _import(path.stem, str(path.parent.resolve()))
    if module.__file__ is None or Path(module.__file__).resolve() != path.resolve():
        raise RequestError(f"another '{path.stem}' is imported: {module.__file__}", hint=f"another name for {file}")
    return f"py:{path.stem}:{name}"


def make(model: str, *, empty: bool = False) -> nn.Module:
    """Import `py:package.module:function` and call it. Raises RequestError, which names the user's line that failed.

    empty  its weights do not matter: torchvision's segmenters would fetch those of their backbone
    """
    module_name, _, name = by_module(model).removeprefix("py:").partition(":")
    if not module_name or not name:
        raise RequestError(f"{model} does not name a module and a function", hint=EXAMPLE)
    module = _import(module_name)
    function = getattr(module, name, None)
    if isinstance(function, nn.Module):
        raise RequestError(
            f"'{name}' in {module_name} is a model; py: takes a function", hint=f"def build(): return {name}"
        )
    if not callable(function):
        raise RequestError(f"{module_name} has no function '{name}'", hint=_functions(module))
    try:
        made = function(**({"weights_backbone": None} if empty and _fetches(function) else {}))
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        if isinstance(error, TypeError) and not _frames(error):  # no line of it ran: it wants arguments
            raise RequestError(
                f"{model} is called without arguments: {error}", hint="give its arguments defaults"
            ) from error
        raise _failed(model, error) from error
    if not isinstance(made, nn.Module):
        raise RequestError(
            f"{model} returned {type(made).__name__}, not a torch.nn.Module", hint="a function that returns the model"
        )
    return made.eval()


def _fetches(function: Callable[..., Any]) -> bool:
    try:
        return "weights_backbone" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # one that tells nothing of its arguments
        return False


def _import(name: str, folder: str = "") -> ModuleType:
    """folder: where it is looked for before all other places; the current one where nothing is said."""
    place = folder or str(Path.cwd())
    sys.path.insert(0, place)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None:
            raise _failed(f"importing {name}", error) from error
        if f"{name}.".startswith(f"{error.name}.") and not _frames(error):
            raise RequestError(f"there is no module '{error.name}' for py:{name}", hint=_where(error.name)) from None
        raise RequestError(
            f"importing {name} failed at {_place(error)}: there is no module '{error.name}'",
            hint="install the package that has it; a module of your own: start edgekit in its folder",
        ) from error
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise _failed(f"importing {name}", error) from error
    finally:
        sys.path.remove(place)
        if place not in sys.path:  # last: what is there must not come before what libraries import later
            sys.path.append(place)


def _where(missing: str) -> str:
    """How to name its file; or which package was found instead, where one of that name came first."""
    package = sys.modules.get(missing.rpartition(".")[0])
    if package is None:
        return f"start edgekit in the folder that holds {missing}, or name the file: py:path/to/{missing}.py:function"
    file = package.__file__ or next(iter(package.__path__))
    return f"'{package.__name__}' is {file}; if that is not yours, give yours another name"


def _functions(module: ModuleType) -> str:
    """The names that could have been meant."""
    own = [k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
    return f"{module.__file__} has {', '.join(own[:8]) or 'none'}"


def _failed(what: str, error: BaseException) -> RequestError:
    place = _place(error)
    fetched = isinstance(error, urllib.error.URLError)
    return RequestError(
        f"{what} failed{f' at {place}' if place else ''}: {kind_and_reason(error)}",
        hint="it fetches weights: --weights FILE, or --weights random"
        if fetched
        else "--debug shows the whole traceback",
    )


def _place(error: BaseException) -> str:
    """`nets.py:12`, the last line of the user's own that ran; of a library's where none was theirs."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno}"
    frames = _frames(error)
    own = [f for f in frames if not f.filename.startswith(LIBRARIES)]
    last = (own or frames)[-1:]
    return "".join(f"{_short(f.filename)}:{f.lineno}" for f in last)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The lines that ran outside edgekit and outside Python's import machinery."""
    machinery = ("<frozen ", EDGEKIT, importlib.__file__)
    return [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(machinery)]


def _short(file: str) -> str:
    """Seen from the folder where edgekit was started, where the file is below it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
