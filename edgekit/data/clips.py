"""Data sets of videos: a folder per class, UCF101's lists, or a table of labels beside videos or folders of frames.

ApplyLipstick/v_ApplyLipstick_g01_c01.avi, ...          a folder per class
test/ApplyLipstick/..., train/..., val/...              the same, split
UCF-101/CLASS/v_....avi, ucfTrainTestlist/testlist01.txt  UCF101 as it is published; its lists keep the clips of one group,
                                                        which were cut from one film, together
00001/00001.jpg, ... and --labels FILE                  folders of frames (Jester, Something-Something)
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgekit import reading
from edgekit.data.dataset import Content, DataSet, Opener, Source
from edgekit.data.files import VIDEOS, check_folder, titled
from edgekit.data.folders import LARGEST, METADATA, stamp
from edgekit.data.opening import taken
from edgekit.data.splits import split_folders
from edgekit.data.tables import read_table
from edgekit.data.video import beside_films, films, frame_files, frame_folders, open_video, video_files
from edgekit.errors import DataError, RequestError, many
from edgekit.harmless import harmless
from edgekit.manifest import TrainedOn

LISTS = "ucfTrainTestlist"
HINT = f"a folder per class with videos ({', '.join(sorted(VIDEOS))}) or folders of frames; or --labels FILE"


def open_clips(
    folder: Path,
    labels: Sequence[str] | None,
    *,
    labels_file: Path | None = None,
    split: str | None = None,
    unlabelled: bool = False,
    trained: TrainedOn | None = None,
) -> DataSet:
    """As `open_data`, of videos. Raises DataError, RequestError."""
    if labels_file and unlabelled:
        raise RequestError("--unlabelled and --labels exclude each other", hint="keep one of them")
    check_folder(folder, "--data with a folder of videos")
    there = splits_in(folder, labels_file, unlabelled=unlabelled)
    return taken(there, folder, labels, split=split, unlabelled=unlabelled, trained=trained)


def splits_in(
    folder: Path, labels_file: Path | None = None, *, unlabelled: bool = False
) -> dict[str, Callable[[], Source]]:
    """The parts that a folder holds, each to be opened; "" for one that is not split. Raises DataError."""
    if labels_file:
        return {"": partial(_with_table, folder, labels_file)}
    lists = folder / LISTS if (folder / LISTS).is_dir() else folder
    ucf = {name: lists / f"{name}list01.txt" for name in ("test", "train") if (lists / f"{name}list01.txt").is_file()}
    if ucf and not unlabelled:
        return {name: partial(_with_list, folder, name, file) for name, file in ucf.items()}
    if roots := split_folders(folder, video_files):
        return {name: partial(_source, root, name, unlabelled=unlabelled) for name, root in roots.items()}
    return {"": partial(_source, folder, unlabelled=unlabelled)}


def _source(folder: Path, split: str = "", *, unlabelled: bool) -> Source:
    """Class folders, a metadata file, or videos without labels."""
    if not unlabelled and (table := next((folder / m for m in METADATA if (folder / m).is_file()), None)):
        return _with_table(folder, table)
    files = [path.relative_to(folder) for path in _videos(folder)]
    of = f"{split} videos of {titled(folder, 2 if split else 1)}".strip()
    classified = [path for path in files if len(path.parts) > 1]
    notes = beside_films(folder)
    if unlabelled or not classified:
        return _of_files(f"{of} (not labelled)", folder, files, None, notes)
    if lost := len(files) - len(classified):
        notes += (f"{lost} of {len(files)} videos lie in no class folder: left out",)
    names = [(harmless(path.parts[0]),) for path in classified]
    return _of_files(f"{of} ({many(len(set(names)), 'class folders')})", folder, classified, names, notes)


def _videos(folder: Path) -> list[Path]:
    """Raises DataError where there is none."""
    found = video_files(folder)
    if not found:
        raise DataError(f"no videos in {folder}", hint=HINT)
    return found


def _with_list(folder: Path, split: str, file: Path) -> Source:
    """UCF101's: `Class/v_Class_g01_c01.avi`, in lists of what is trained on with the number of the class."""
    named = [line.split()[0] for line in _text(file).splitlines() if line.strip()]
    roots = (folder, folder / "UCF-101")
    root, there = max(
        ((r, [Path(name) for name in named if (r / name).exists()]) for r in roots), key=lambda at: len(at[1])
    )
    if not there:
        raise DataError(
            f"none of the {len(named)} videos that {file} names is in {folder}", hint="the videos beside the lists"
        )
    lost = len(named) - len(there)
    notes = (f"{lost} of the {len(named)} videos that {file.name} names are not there: left out",) if lost else ()
    what = f"{split} videos of {titled(folder)} ({file.name})"
    return _of_files(what, root, there, [(harmless(path.parts[0]),) for path in there], notes)


def _with_table(folder: Path, table: Path) -> Source:
    """The videos that a table of labels names, with or without the end of their names. Raises DataError."""
    rows = read_table(table)
    there = [path.relative_to(folder) for path in (*films(folder), *frame_folders(folder))]
    known = {str(path): path for path in there}
    known |= {str(path.with_suffix("")): path for path in there}
    found = [(known[name], classes) for name, classes in rows.items() if name in known]
    if not found:
        raise DataError(
            f"none of the {len(rows)} videos that {table} names is in {folder} (the first is {next(iter(rows))})",
            hint="names are paths below the --data folder",
        )
    lost = len(rows) - len(found)
    notes = (f"{lost} of the {len(rows)} videos that {table.name} names are not there: left out",) if lost else ()
    files, names = [path for path, _ in found], [classes for _, classes in found]
    return _of_files(f"videos of {titled(folder)} (labels of {harmless(table.name)})", folder, files, names, notes)


def _text(file: Path) -> str:
    try:
        return reading.text(file)
    except (OSError, reading.Malformed) as error:
        raise DataError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _of_files(
    what: str, folder: Path, files: Sequence[Path], names: Sequence[tuple[str, ...]] | None, notes: tuple[str, ...] = ()
) -> Source:
    def read(positions: Sequence[int]) -> Iterator[tuple[str, Opener, Content]]:
        for position in positions:
            path, name = folder / files[position], harmless(files[position].as_posix())
            opener: Any = partial(open_video, path, name)
            yield name, opener, partial(_content, path)

    films = [_film(path) for path in files]
    groups = films if all(films) else None
    return Source(what, stamp(folder, files, names), names, len(files), read, notes, units="videos", groups=groups)


def _film(path: Path) -> str:
    """`v_Archery_g01` of UCF101's v_Archery_g01_c03; "" where the name does not say it."""
    found = re.match(r"(.+_g\d+)_c\d+$", path.stem)
    return found[1] if found else ""


def _content(path: Path) -> bytes:
    """As it is on disk; of a folder all its frames."""
    return b"".join(reading.blob(p, LARGEST) for p in (frame_files(path) if path.is_dir() else [path]))
