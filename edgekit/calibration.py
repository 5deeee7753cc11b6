"""Which images the quantizer and the proof see, in which order; and what is wrong with them.

Images are decoded once, one at a time, into a scratch file that is read back as often as needed, so memory does not
grow with their number. They are never random tensors.
"""

import hashlib
import importlib.util
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgekit.data import picture_files, read_pictures
from edgekit.data.files import unread
from edgekit.data.listed import videos_in
from edgekit.data.video import read_videos
from edgekit.errors import DataError, MissingExtraError, OutputError, UnreadableError, many
from edgekit.extras import EXTRAS
from edgekit.motion import moving_crop
from edgekit.preprocess import Pixels, Preprocess, fit, open_picture

PROOF_PICTURES = 32
MORE_PROOF = 128  # at most, where what is found on fewer judges nothing
FEW = 32
ACROSS = 16  # square images side by side in a contact sheet
SHEETS = {
    "fashion-mnist": "Fashion-MNIST training images",
    "unet_micro": "collages of Fashion-MNIST training images",
    "yolox_micro": "collages of Fashion-MNIST training images",
}
ADVICE = "your own {} calibrate better: --calibration DIR"

# Photographs (public domain or CC0, see each package's README) that come inside packages of the extra `pictures`.
PHOTOGRAPHS = {
    "skimage": (
        "data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg", "data/motorcycle_left.png",
        "data/hubble_deep_field.jpg", "data/retina.jpg", "data/ihc.png", "data/brick.png", "data/grass.png",
        "data/gravel.png", "data/camera.png",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """Fitted images in a scratch file, streamed: iterating yields uint8 [h, w, 3], or clips [t, h, w, 3], the same order every time."""

    source: str
    path: Path
    shape: tuple[int, ...]
    count: int
    sha256: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Pixels]:
        size = int(np.prod(self.shape))
        with self.path.open("rb") as f:
            for _ in range(self.count):
                yield np.frombuffer(f.read(size), np.uint8).reshape(self.shape)

    def array(self) -> NDArray[np.uint8]:
        """All of them at once, [n, h, w, 3]: for the few of a proof."""
        return np.stack(list(self))


@dataclass(frozen=True)
class Chosen:
    """
    own         they are the user's images, not ones that come with a package
    unreadable  which files of the user's were left out, and why: to be said, and not to be written down
    """

    calibration: Pictures
    proof: Pictures
    own: bool
    unreadable: tuple[str, ...] = ()


def few(pictures: int, units: str = "images") -> list[str]:
    """What is to be said of a set that is this small."""
    said = f"only one {units[:-1]} calibrates" if pictures == 1 else f"only {pictures} {units} calibrate"
    return [f"{said}; {FEW} is little, 128 is usual"] if pictures < FEW else []


class Linter:
    """Looks at each image as it passes and says at the end what is wrong with the set. units: what these are called."""

    def __init__(self, units: str = "images") -> None:
        self.units = units
        self.hashes: dict[bytes, int] = {}
        self.narrow = 0
        self.seen = 0
        self.classes: set[str] = set()

    def look(self, pixels: Pixels, folder: str) -> None:
        digest = hashlib.sha256(pixels.tobytes()).digest()
        self.hashes[digest] = self.hashes.get(digest, 0) + 1
        self.narrow += int(pixels.max()) - int(pixels.min()) < 32
        self.classes.add(folder)
        self.seen += 1

    def warnings(self, folders: int = 0) -> list[str]:
        """`folders`: how many class folders the whole set has."""
        found = few(self.seen, self.units)
        duplicates = self.seen - len(self.hashes)
        if duplicates:
            found.append(f"{duplicates} of {self.seen} {self.units} are copies of another")
        if self.narrow * 4 > self.seen:
            found.append(
                f"{self.narrow} of {self.seen} {self.units} span fewer than 32 of 256 grey levels: "
                "were they saved on a 0..1 scale?"
            )
        if folders == 1 or (folders > 1 and len(self.classes) == 1):
            found.append(f"all {self.units} come from one class folder")
        return found


def choose(
    calibration: str,
    samples: int,
    seed: int,
    spec: Preprocess,
    sheet: Path | None,
    scratch: Path,
    *,
    crowded: bool = False,
) -> Chosen:
    """The images for calibration and, apart from them where there are enough, for the proof.

    calibration  "default", or a folder
    sheet        contact sheet or folder that comes with the weights: what "default" means for them
    scratch      a folder for these images alone
    crowded      for a detector, whose proof counts things: up to MORE_PROOF images prove, where there are as many, and
                 photographs lie four in an image, as detectors are trained
    Raises DataError where no image can be read.
    """
    rng, proof = np.random.default_rng(seed), MORE_PROOF if crowded else PROOF_PICTURES
    if calibration != "default":
        return _from_folder(Path(calibration), samples, rng, spec, scratch, proof)
    _check_there(sheet)
    if sheet is not None and sheet.is_dir():
        return _from_folder(sheet, samples, rng, spec, scratch, proof)
    if sheet is not None:
        return _from_sheet(sheet, samples, spec, scratch)
    return _from_photographs(samples, rng, spec, scratch, proof, crowded=crowded)


def own(calibration: str, sheet: Path | None) -> bool:
    """Whether `choose` would take the user's images: a folder that is named, or that a run keeps."""
    return calibration != "default" or (sheet is not None and sheet.is_dir())


def _check_there(sheet: Path | None) -> None:
    """A run's own images may have been removed, as private ones are."""
    if sheet is not None and not sheet.exists():
        raise DataError(
            f"{sheet.parent} keeps no images of its training ({sheet.name}), to calibrate with and to prove the file with",
            hint="--calibration DIR, images like those that the model will see",
        )


def describe(calibration: str, samples: int, sheet: Path | None, *, crowded: bool = False, moving: bool = False) -> str:
    """What `choose` would take, without decoding anything. Raises the same errors for a missing or empty folder."""
    if calibration != "default":
        if moving:
            return f"up to {samples} clips of {len(videos_in(Path(calibration)))} videos of {calibration}"
        return f"{many(min(samples, len(picture_files(Path(calibration)))), 'images')} of {calibration}"
    _check_there(sheet)
    if sheet is not None and sheet.is_dir():
        there = len(videos_in(sheet) if moving else picture_files(sheet))
        return f"{min(samples, there)} training {'clips' if moving else 'images'} that come with the model"
    if sheet is not None:
        with Image.open(sheet) as picture:
            there = picture.height * ACROSS // picture.width * ACROSS - PROOF_PICTURES
        return f"{min(samples, there)} {SHEETS[sheet.stem]} that come with the model"
    return f"{samples} {_photographed(len(_photographs()), crowded=crowded, moving=moving)}"


def _photographed(photographs: int, *, crowded: bool, moving: bool = False) -> str:
    return f"{'collages' if crowded else 'moving crops' if moving else 'crops'} of {photographs} photographs of scikit-image and scikit-learn"


def _from_folder(
    folder: Path, samples: int, rng: np.random.Generator, spec: Preprocess, scratch: Path, most: int
) -> Chosen:
    files = videos_in(folder) if spec.is_clip else picture_files(folder)
    order = [files[i] for i in rng.permutation(len(files))]
    linter = Linter(spec.units)
    broken: list[str] = []

    def readable() -> Iterator[Pixels]:
        read = _clips(order, spec, samples + most) if spec.is_clip else read_pictures(order, spec)
        for path, pixels in read:
            if isinstance(pixels, DataError):
                broken.append(pixels.message)
            else:
                if linter.seen < samples:
                    linter.look(pixels, str(path.parent))
                yield pixels

    stream = readable()
    chosen = _spool(stream, samples, scratch / "calibration", folder.name)
    if not len(chosen):
        raise UnreadableError(
            f"none of the {len(files)} {spec.files} in {folder} can be read ({broken[0]})",
            hint=f"--calibration with a folder of {spec.files} that open, or leave it out",
        )
    proof = _spool(stream, most, scratch / "proof", f"other {spec.units} of {folder.name}")
    if len(proof) < min(PROOF_PICTURES, len(chosen)):  # too few are left over
        proof = _spool(_first(chosen, most), most, scratch / "the same", f"the calibration {spec.units}")
    warnings = [*unread(folder), *linter.warnings(len({f.parent for f in files if f.parent != folder}))]
    if broken:
        warnings.insert(0, f"skipped {len(broken)} of {len(files)} files")
    return Chosen(_with(chosen, warnings), proof, own=True, unreadable=tuple(broken))


def _clips(files: Sequence[Path], spec: Preprocess, wanted: int) -> Iterator[tuple[Path, Pixels | DataError]]:
    """Windows of videos, evenly spread over each, and no more of each than it takes for so many."""
    each = math.ceil(wanted / len(files))
    for path, found in read_videos(files, spec):
        if isinstance(found, DataError):
            yield path, found
            continue
        places = sorted({int(at) for at in np.linspace(0, len(found.pixels) - 1, min(each, len(found.pixels)))})
        yield from ((path, found.pixels[at]) for at in places)


def _from_sheet(sheet: Path, samples: int, spec: Preprocess, scratch: Path) -> Chosen:
    """Square images side by side; the last ones are kept for the proof."""
    with Image.open(sheet) as picture:
        whole = picture.convert("RGB")
    side, name = whole.width // ACROSS, SHEETS[sheet.stem]
    boxes = [(x, y, x + side, y + side) for y in range(0, whole.height, side) for x in range(0, whole.width, side)]
    pictures = [fit(whole.crop(box), spec) for box in boxes]
    rest = len(pictures) - PROOF_PICTURES
    calibration = _spool(iter(pictures[:rest]), samples, scratch / "calibration", name)
    proof = _spool(iter(pictures[rest:]), PROOF_PICTURES, scratch / "proof", f"other {name}")
    return Chosen(_with(calibration, _short(samples, len(calibration)) + few(len(calibration))), proof, own=False)


def _from_photographs(
    samples: int, rng: np.random.Generator, spec: Preprocess, scratch: Path, most: int, *, crowded: bool
) -> Chosen:
    photographs = [open_picture(p) for p in _photographs()]
    name = _photographed(len(photographs), crowded=crowded, moving=spec.is_clip)

    def made(count: int) -> Iterator[Pixels]:
        for i in range(count):
            turn = photographs[i % len(photographs)]
            if spec.is_clip:
                yield moving_crop(turn, spec, rng)
            else:
                yield fit(_collage(photographs, spec, rng) if crowded else random_crop(turn, rng), spec)

    calibration = _spool(made(samples), samples, scratch / "calibration", name)
    proof = _spool(made(most), most, scratch / "proof", f"other {name}")
    return Chosen(_with(calibration, [ADVICE.format(spec.units), *few(samples, spec.units)]), proof, own=False)


def random_crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A seeded square of 40 to 100 % of the shorter side, mirrored half of the time."""
    side = int(min(picture.size) * rng.uniform(0.4, 1.0))
    left, top = (int(rng.integers(0, extent - side + 1)) for extent in picture.size)
    crop = picture.crop((left, top, left + side, top + side))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _collage(photographs: Sequence[Image.Image], spec: Preprocess, rng: np.random.Generator) -> Image.Image:
    """Crops of four of them, round a seeded point near the middle of an image as large as the network's."""
    height, width = spec.input_size
    x, y = (int(rng.uniform(0.35, 0.65) * side) for side in (width, height))
    picture = Image.new("RGB", (width, height))
    corners = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    for which, (left, top, right, bottom) in zip(rng.permutation(len(photographs)), corners, strict=False):
        crop = random_crop(photographs[which], rng)
        picture.paste(ImageOps.fit(crop, (right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return picture


def _photographs() -> list[Path]:
    found = []
    for package, names in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)  # finds the folder without importing the package
        if spec is None or spec.origin is None:
            raise MissingExtraError(package, EXTRAS[package])
        found += [Path(spec.origin).parent / name for name in names]
    return [p for p in found if p.is_file()]


def scratch_folder() -> "tempfile.TemporaryDirectory[str]":
    with _scratch_errors():
        return tempfile.TemporaryDirectory(prefix="edgekit-")


@contextmanager
def _scratch_errors() -> Iterator[None]:
    """Temporary files are not where -o is: say what moves them."""
    try:
        yield
    except OSError as error:
        where = error.filename or tempfile.tempdir
        where = f" ({where})" if where else ""
        raise OutputError(
            f"cannot write temporary files: {error.strerror or error}{where}",
            hint="free some space there, or TMPDIR=/another/folder edgekit export ...",
        ) from None


def _first(pictures: Iterable[Pixels], count: int) -> Iterator[Pixels]:
    for _, pixels in zip(range(count), pictures, strict=False):
        yield pixels


def _spool(stream: Iterator[Pixels], count: int, path: Path, source: str) -> Pictures:
    """Write up to `count` images of a stream to a new scratch file."""
    digest, written = hashlib.sha256(), 0
    shape: tuple[int, ...] = (0, 0, 3)
    with _scratch_errors(), path.open("xb") as f:
        while written < count and (pixels := next(stream, None)) is not None:
            blob = pixels.tobytes()
            f.write(blob)
            digest.update(blob)
            written, shape = written + 1, pixels.shape
    return Pictures(source, path, shape, written, digest.hexdigest())


def _with(pictures: Pictures, warnings: list[str]) -> Pictures:
    return Pictures(
        pictures.source, pictures.path, pictures.shape, pictures.count, pictures.sha256, tuple(warnings)
    )  # fmt: skip


def _short(asked: int, found: int) -> list[str]:
    return [f"{many(found, 'images')} with the model; {asked} were asked for"] if found < asked else []
