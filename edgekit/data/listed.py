"""The image files that a user names: files, folders, patterns, a list on standard input."""

import glob
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.files import check_folder, picture_files, unread
from edgekit.data.video import HINT, beside_films, films, frame_files, video_files
from edgekit.errors import DataError

URL = re.compile(r"^(https?|ftp|s3|gs|rtsp)://", re.IGNORECASE)
LIST = "-"  # paths, one a line, on standard input


@dataclass(frozen=True)
class Listed:
    """Files in the order in which they are named, each once; notes: what was left out, in sentences."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def listed(said: Iterable[str], lines: Callable[[], Iterable[str]] = lambda: (), *, clips: bool = False) -> Listed:
    """What words name: a file, every image below a folder, a pattern such as "holiday/**/*.jpg", "-" for one of these a line.

    lines  of standard input, asked for where "-" stands
    clips  videos are meant, and folders of their frames

    Raises DataError for a folder without images, a pattern that nothing matches, and what is no file: a URL, a camera.
    """
    files: dict[Path, None] = {}
    notes: list[str] = []
    for word in said:
        for name in filter(None, (line.rstrip("\r\n") for line in lines())) if word == LIST else (word,):
            for path in _paths(name):
                if path.is_dir() and clips:
                    files |= dict.fromkeys(videos_in(path))
                    notes += beside_films(path)
                elif path.is_dir():
                    files |= dict.fromkeys(picture_files(path))
                    notes += unread(path)
                else:
                    files[path] = None
    if not files:
        raise DataError(
            "no images are named on standard input", hint="find photos -name '*.jpg' | edgekit predict ARTIFACT -"
        )
    return Listed(tuple(files), tuple(notes))


def videos_in(folder: Path) -> Sequence[Path]:
    """Every video below a folder; where there is none, it is one of frames itself, or holds such. Raises DataError."""
    check_folder(folder, HINT)
    found = films(folder) or ([folder] if frame_files(folder) else video_files(folder))
    if not found:
        raise DataError(f"{folder} holds neither videos nor frames", hint=HINT)
    return found


def is_pattern(name: str) -> bool:
    """Whether a word stands for files that match it: brackets may also stand in a file's name."""
    return glob.has_magic(name) and not Path(name).exists()


def check_name(name: str) -> None:
    """Refuse what is known to be no file. Raises DataError."""
    if not name:
        raise DataError("an empty name is no image", hint="the path of one; is a variable empty?")
    if URL.match(name):
        raise DataError(f"{name} is on a network, and edgekit reads files", hint=f"download it first: curl -O {name}")
    if name.isdecimal() and not Path(name).exists():
        raise DataError(
            f"there is no image {name}, and cameras are not read",
            hint=f"record a video of it: ffmpeg -f v4l2 -i /dev/video{name} -t 10 film.mp4",
        )


def _paths(name: str) -> Sequence[Path]:
    """What one word stands for. Raises DataError."""
    check_name(name)
    if not is_pattern(name):
        return [Path(name)]
    found = sorted(glob.glob(name, recursive=True))
    if not found:
        raise DataError(f"nothing matches {name}", hint="an image file, or a folder of images")
    return list(map(Path, found))
