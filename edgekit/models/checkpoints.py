"""Reading a file of weights without running any code that is in it.

torch's unpickler of weights alone reads the file. What training leaves beside the tensors (settings, paths, times,
numpy's scalars) is known by name in DATA and DATA_OF, and is left out: a stand-in that keeps nothing takes the place of
each such class or function, so nothing of theirs is imported or called. A file that names anything else is refused.
"""

import pickle
import pickletools
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch

from edgekit.errors import WeightsError, reason

State = dict[str, torch.Tensor]

# Names of these modules are what tensors themselves are pickled with.
TENSORS = ("torch", "torch._utils", "torch._tensor", "torch.nn.parameter", "torch.storage", "collections", "_codecs")
EXTRA = "_extra_state"  # how the name of what torch.nn.Module.get_extra_state answers ends
AGAIN = "copy it again, or save it again"
STATE_ALONE = "save the state dict alone: safetensors.torch.save_file(model.state_dict(), ...)"


class _Nothing:
    """Stands for a piece of data that no weight is made of; takes whatever a pickle gives it, and forgets it."""

    def __new__(cls, *given: Any) -> "_Nothing":
        return super().__new__(cls)

    def __init__(self, *given: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# What data are pickled as, in Python itself and around torch.
DATA: dict[str, Any] = {
    "collections.defaultdict": lambda *given: {},
    "collections.deque": lambda *given: [],
    **dict.fromkeys(
        (
            *(f"{m}.{kind}" for m in ("pathlib", "pathlib._local") for kind in (
                "Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")),
            *(f"numpy.{core}.multiarray.{f}" for core in ("core", "_core") for f in ("scalar", "_reconstruct")),
            "numpy.dtype", "numpy.ndarray", "numpy.random._pickle.__randomstate_ctor",
            "numpy.random._pickle.__generator_ctor", "numpy.random._pickle.__bit_generator_ctor",
            "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "datetime.timezone",
            "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "types.SimpleNamespace", "typing.Any",
            *(f"builtins.{kind}" for kind in (
                "bool", "bytes", "dict", "float", "frozenset", "int", "list", "object", "range", "slice", "str", "tuple")),
            "torchvision.transforms.functional.InterpolationMode", "PIL.Image.Resampling",
            "mmengine.config.config.Config", "mmengine.config.config.ConfigDict",
        ),
        _Nothing,
    ),
}  # fmt: skip
# Modules and packages whose other classes are settings and records of a training: beginnings of names.
DATA_OF = (
    "argparse.", "numpy.dtypes.", "numpy.random.", "numpy.ma.core.", "torch.torch_version.", "packaging.version.",
    "omegaconf.", "yacs.config.", "addict.", "easydict.", "ml_collections.", "munch.", "mmengine.config.",
    "mmengine.logging.", "mmcv.utils.config.", "lightning.", "lightning_fabric.", "lightning_utilities.",
    "pytorch_lightning.",
)  # fmt: skip


def read_state(path: Path) -> State:
    """Every tensor of a checkpoint (safetensors, or what torch.save wrote), by its whole name.

    What lies in a dictionary has its name before its own: {"state_dict": {"conv.weight": ...}} holds
    `state_dict.conv.weight`. `matching` finds a module's among them. Names that end in `_extra_state` are no tensors.
    Raises WeightsError.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", hint="--weights FILE") from None
    if not head:
        raise WeightsError(f"{path}: not a checkpoint, the file is empty", hint=AGAIN)
    found, left_out = (_safetensors(path), False) if head[8:] == b"{" else _torch_file(path)
    state = _flat(found)
    if left_out and (extra := [n for n, v in state.items() if n.endswith(EXTRA) and not isinstance(v, torch.Tensor)]):
        raise WeightsError(f"{path}: {extra[0]} may hold objects that are not read", hint=STATE_ALONE)
    if not state:
        raise WeightsError(f"{path}: no state dict in it, but {_contents(found)}", hint=STATE_ALONE)
    return state


def _flat(found: Any) -> State:
    """Tensors of dictionaries in dictionaries and lists. Each of them once: a hostile file may nest one in another."""
    state: State = {}
    seen: set[int] = set()
    waiting = [("", found)]
    while waiting:
        name, value = waiting.pop()
        if name.endswith(EXTRA) or (isinstance(value, torch.Tensor) and not value.is_nested):
            state[name] = value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            inside = value.items() if isinstance(value, Mapping) else ((str(i), v) for i, v in enumerate(value))
            inner = [(f"{name}.{key}" if name else key, v) for key, v in inside if isinstance(key, str)]
            waiting += reversed(inner)
    state.pop("", None)  # one tensor alone
    return state


def _contents(found: Any) -> str:
    """`a dictionary of epoch, optimizer`"""
    if not isinstance(found, Mapping):
        return f"one {type(found).__name__}"
    names = [str(k) for k in found]
    return f"a dictionary of {', '.join(names[:5])}{', ...' * (len(names) > 5)}" if names else "an empty dictionary"


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # safetensors' own kind, and torch's
        cut = re.search("not fully covered|invalid header length", str(error))
        why = "the file is cut short" if cut else reason(error)
        raise WeightsError(f"{path}: not a whole checkpoint, {why}", hint=AGAIN) from None


def _torch_file(path: Path) -> tuple[Any, bool]:
    """What torch reads, and whether anything was left out."""
    names: list[str] = []
    try:
        _check_size(path)
        _check_sums(path)
        names = _imports(path)
        if "builtins.bytearray" in names:  # torch would make one of any size that a number in the file asks for
            raise WeightsError(f"{path}: holds a bytearray and was not opened", hint=STATE_ALONE)
        left_out = [(_stand_in(name), name) for name in names if name in DATA or name.startswith(DATA_OF)]
        known = torch.serialization.safe_globals([_Nothing, *left_out])
        # an open file: of a path, torch would look at the name
        with warnings.catch_warnings(), known, path.open("rb") as file:
            warnings.simplefilter("ignore")  # of pickle protocols and TorchScript, which are said below
            return torch.load(file, map_location="cpu", weights_only=True), bool(left_out)
    except WeightsError:
        raise
    except Exception as error:  # each format has its own kinds of damage
        raise _refusal(path, error, names) from None


def _stand_in(name: str) -> Any:
    """For a class of settings: a counter is the one thing that torch's unpickler both fills like a dictionary and
    gives attributes."""
    if name in DATA or name.startswith("numpy."):
        return DATA.get(name, _Nothing)
    return type(name, (), {"__new__": lambda cls, *given: Counter()})


def _refusal(path: Path, error: Exception, names: list[str]) -> WeightsError:
    """Why torch did not read a file, in plain words. Nothing in the file is run."""
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PK\3\4":
        members = {Path(member.filename).name for member in _members(path)}
        if not members:
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - 1024, 0))
                ends = b"PK\5\6" in file.read()  # how the end of a zip archive begins
            why = "its table of contents is damaged" if ends else "the file is cut short"
            return WeightsError(f"{path}: not a whole checkpoint, {why}", hint=AGAIN)
        if "constants.pkl" in members:
            return WeightsError(f"{path} is a TorchScript program, not a state dict", hint=STATE_ALONE)
        if "data.pkl" not in members:
            return WeightsError(f"{path}: not a checkpoint, but another zip archive", hint="--weights FILE")
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    unread = isinstance(error, pickle.UnpicklingError) or "magic number" in str(error)  # not damage: of another kind
    unknown = [named[1]] if named else [n for n in names if unread and n not in DATA and not n.startswith(DATA_OF)]
    if unknown:
        return _wants_to_run(path, unknown[0])
    if head[:1] != b"\x80" and head != b"PK\3\4":  # neither a pickle nor what torch.save writes
        return WeightsError(f"{path}: not a checkpoint", hint="a safetensors file, or a state dict by torch.save")
    if isinstance(error, EOFError) or "unexpected EOF" in str(error):
        return WeightsError(f"{path}: not a whole checkpoint, the file is cut short", hint=AGAIN)
    if isinstance(error, pickle.UnpicklingError):  # names nothing foreign: a protocol that torch does not read safely
        return WeightsError(f"{path}: a pickle of a kind that cannot be read without running it", hint=STATE_ALONE)
    return WeightsError(f"{path}: not a whole checkpoint, {printable(reason(error))}", hint=AGAIN)


def _wants_to_run(path: Path, name: str) -> WeightsError:
    return WeightsError(
        f"{path}: this pickle wants to run code ({printable(name)}) and was not opened", hint=STATE_ALONE
    )


def printable(said: str) -> str:
    """Words that a file's own bytes may be in, for a terminal."""
    return re.sub("[^ -~]", "?", said)[:200]


def _check_sums(path: Path) -> None:
    """Tensors with a wrong bit, which torch reads without a word. Raises WeightsError.

    Where every sum is wrong, none was written (torch.serialization.set_crc32_options).
    """
    members = [member for member in _members(path) if member.file_size]
    if not members:
        return
    with zipfile.ZipFile(path) as archive:
        wrong = [member.filename for member in members if not _sound(archive, member)]
    if wrong and len(wrong) < len(members):
        name = printable(wrong[0])
        raise WeightsError(f"{path}: not a whole checkpoint, the checksum of {name} is another", hint=AGAIN)


def _sound(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(member) as inside:
            while inside.read(1 << 20):
                pass
    except zipfile.BadZipFile:
        return False
    except Exception:  # what torch may read all the same, or will say
        return True
    return True


def _members(path: Path) -> list[zipfile.ZipInfo]:
    """Of a zip archive; none where it is damaged, or no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except Exception:  # zipfile raises many kinds at what is no zip archive
        return []


def _check_size(path: Path) -> None:
    """torch.save does not compress; what is compressed could fill the memory. Raises WeightsError."""
    there, unpacked = path.stat().st_size, sum(member.file_size for member in _members(path))
    if unpacked > 4 * there:
        raise WeightsError(
            f"{path}: {there:,} bytes that unpack to {unpacked:,}, which torch.save does not write", hint=AGAIN
        )


def _imports(path: Path) -> list[str]:
    """The names that the pickles in a file would import, but for those of tensors. Reads opcodes; never unpickles."""
    data = next((member for member in _members(path) if Path(member.filename).name == "data.pkl"), None)
    try:
        if data is None:
            with path.open("rb") as file:
                found = list(_globals(file))
        else:
            with zipfile.ZipFile(path) as archive, archive.open(data) as inside:
                found = list(_globals(inside))
    except Exception:  # of a damaged archive; torch says what is wrong
        return []
    names = dict.fromkeys(
        ".".join(NAME_MAPPING.get(name, (IMPORT_MAPPING.get(name[0], name[0]), name[1]))) for name in found
    )
    return [n for n in names if n in DATA or n.rpartition(".")[0] not in TENSORS]


def _globals(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """("posix", "system"), for every name in the pickles that follow one another in a file, up to what is no pickle."""
    while True:
        texts: list[str] = []
        memo: dict[int, str] = {}
        try:
            code: pickletools.OpcodeInfo
            value: Any
            for code, value, _ in pickletools.genops(file):
                if code.name in ("GLOBAL", "INST"):
                    module, _, name = value.partition(" ")
                    yield module, name
                elif code.name == "STACK_GLOBAL":  # from protocol 4: its module and its name are the last two texts
                    yield texts[-2], texts[-1]
                elif code.name == "MEMOIZE":
                    memo[len(memo)] = texts[-1] if texts else ""
                elif code.name.endswith("PUT"):
                    memo[value] = texts[-1] if texts else ""
                elif code.name.endswith("GET"):
                    texts.append(memo.get(value, ""))
                elif isinstance(value, str):
                    texts.append(value)
        except Exception:  # the end, or what is no pickle: pickletools raises many kinds
            return
