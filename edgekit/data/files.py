"""Folders of images, read one at a time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit import reading
from edgekit.errors import DataError
from edgekit.harmless import harmless
from edgekit.preprocess import Pixels, Preprocess, formats, load_pixels
from edgekit_vision import install

VIDEOS = {
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp", ".3g2", ".wmv", ".flv", ".ogv", ".ts", ".mts",
}  # fmt: skip
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm",
}  # fmt: skip
OF_PHONES = {".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF", ".avif": "AVIF"}
# of cameras and of programs that draw
UNREAD = {
    ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".jxl", ".jp2", ".j2k",
    ".psd", ".svg", ".eps", ".tga", ".exr", ".hdr", ".xcf", ".ico",
}  # fmt: skip
PACKED = {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2"}
TRUTHS = {"annotations", "labels", "masks"}  # folders of a data set whose images lie beside them
BESIDE = {*TRUTHS, "images", "pictures", "jpegimages"}


def titled(folder: Path, parts: int = 1) -> str:
    """A folder in words that are kept and passed on: as it was typed, and the end alone of an absolute path."""
    return harmless(str(Path(*folder.parts[-parts:]) if folder.is_absolute() else folder))


def check_folder(folder: Path, hint: str) -> None:
    """Raises DataError for what is no folder: often it is a file that lies in the right one, or a packed one; and for one that
    cannot be listed."""
    if reading.is_file(folder):
        packed = folder.suffix in PACKED
        beside = folder.parent.parent if folder.parent.name.lower() in BESIDE else folder.parent
        raise DataError(
            f"{folder} is a file, and a folder is wanted",
            hint="unpack it, and name the folder" if packed else f"the folder that holds it and the images: {beside}",
        )
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", hint=hint)
    next(below(folder), None)


def check_labels(file: Path) -> None:
    """Raises DataError where there is no file of labels."""
    if not reading.is_file(file):
        raise DataError(f"there is no file {file}", hint="--data-labels with a file that is there")


def picture_files(folder: Path) -> list[Path]:
    """Every image below a folder, in the order of their paths. Raises DataError where there is none."""
    check_folder(folder, "a folder of .jpg, .png or .webp images")
    known = suffixes()
    files = sorted(path for path in below(folder) if path.suffix.lower() in known)
    if not files:
        said = unread(folder)
        hint = f"files ending in {', '.join(sorted(known))}"
        if any(map(is_video, below(folder))):
            raise DataError(
                f"{folder} holds videos, and images are wanted", hint="frames of them, as .jpg or .png files"
            )
        if said and not known.issuperset(OF_PHONES):
            hint = install("heic")
        elif folder.name.lower() in TRUTHS:
            hint = f"the folder that holds the images too: {folder.parent}"
        raise DataError(f"no images in {folder}{f': {said[0]}' if said else ''}", hint=hint)
    return files


def any_picture(folder: Path) -> bool:
    """Whether an image lies below a folder."""
    known = suffixes()
    return any(path.suffix.lower() in known for path in below(folder))


def suffixes() -> set[str]:
    """Of the images that can be read here."""
    return SUFFIXES | {suffix for suffix, kind in OF_PHONES.items() if kind in formats()}


def is_video(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in VIDEOS


def unread(folder: Path) -> tuple[str, ...]:
    """Images below a folder that are left out, in a sentence: `3 images cannot be read: 2 .heic, 1 .dng`."""
    other = (UNREAD | set(OF_PHONES)) - suffixes()
    count = Counter(suffix for path in below(folder) if (suffix := path.suffix.lower()) in other)
    if not count:
        return ()
    kinds = ", ".join(f"{number} {suffix}" for suffix, number in count.most_common())
    helps = f" ({install('heic')})" if any(suffix in OF_PHONES for suffix in count) else ""
    return (f"left out, as they cannot be read: {kinds}{helps}",)


def below(folder: Path) -> Iterator[Path]:
    """The files and folders in a folder and in those below it, but hidden ones. Raises DataError for a folder that cannot be
    listed: nobody would know what it held."""
    try:
        yield from reading.inside(folder, skip=lambda name: name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):  # what is not there holds nothing
        return
    except OSError as error:
        raise DataError(
            f"the folder {error.filename} cannot be read: {error.strerror}",
            hint="give yourself the right to read it, or move it elsewhere",
        ) from None


def read_pictures(files: Sequence[Path], spec: Preprocess) -> Iterator[tuple[Path, Pixels | DataError]]:
    """Decode and fit one image at a time; what cannot be read comes as the error that says why."""
    for path in files:
        try:
            yield path, load_pixels(path, spec)
        except DataError as error:
            yield path, error
