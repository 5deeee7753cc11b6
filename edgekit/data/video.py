"""Clips out of videos: which frames a model sees, each fitted as an image.

A video is a file that PyAV decodes, or a folder of its frames (00001.jpg, ...), of which each is one step of the model's rate.

The moments are t0 + k / rate, with t0 the time of the first frame; at each one counts the frame that is shown then: the last
whose time has come. So a video of varying or of another rate than the model's is seen as it plays. A window is `frames` such
moments. Windows follow each other without a gap, the last ends with the video; of a long video WINDOWS spread evenly over it
are taken. Frames that cannot be decoded are skipped and counted; a phone's rotation and mirroring are applied.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from edgekit.data.files import SUFFIXES as PICTURES
from edgekit.data.files import below, is_video, suffixes
from edgekit.errors import DataError, UnreadableError, many
from edgekit.extras import needs
from edgekit.preprocess import MAX_DECODED, Pixels, Preprocess, fit, open_picture

SOUNDS = {".mp3", ".m4a", ".wav", ".ogg", ".flac", ".aac", ".opus"}
# what FFmpeg may take a file for: nothing that names other files (playlists), which it would open
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,mp3,wav,flac,aac"
HINT = "a video (.mp4, .mov, .avi, ...), or a folder of its frames: 00001.jpg, ..."
WINDOWS = 10  # of one video, at most
NEAR = 1e-4  # seconds: times in files are rounded

Timed = tuple[float, Any]  # seconds, and a frame that is decoded


@dataclass(frozen=True)
class Windows:
    """pixels: uint8 [windows, frames, height, width, channels]; size: of a frame, (width, height), upright; broken: frames that
    were skipped."""

    pixels: Pixels
    size: tuple[int, int]
    broken: int = 0


class _Seen(NamedTuple):
    """windows: of each frame what was made of it; the rest as `Windows` has it."""

    windows: list[list[Any]]
    size: tuple[int, int]
    broken: int


@dataclass(frozen=True, eq=False)
class Frame:
    """An image out of a video, upright and in RGB. seconds: since the video began."""

    video: Path
    seconds: float
    picture: Image.Image

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds, 2), 60)
        return f"{self.video} {minutes // 60:.0f}:{minutes % 60:02.0f}:{seconds:05.2f}"


@dataclass(frozen=True)
class Video:
    """A file or a folder of frames, or frames in memory, in RGB; name: what errors call it."""

    path: Path
    name: str
    frames: tuple[Image.Image, ...] = ()

    def windows(self, spec: Preprocess) -> Windows:
        """As a model sees it. Raises DataError for what cannot be read, or is shorter than a window.

        Memory holds one frame, and the windows that are answered.
        """
        seen = self._seen(spec, partial(fit, spec=spec), lambda moments: window_starts(moments, spec.frames))
        return Windows(np.stack([np.stack(window) for window in seen.windows]), seen.size, seen.broken)

    def drawn_window(self, spec: Preprocess, look: Callable[[Image.Image], Any], rng: np.random.Generator) -> list[Any]:
        """One window, drawn: what `look` makes of each of its frames, upright in RGB. Raises as `windows` does."""
        return self._seen(spec, look, lambda moments: [int(rng.integers(max(1, moments - spec.frames + 1)))]).windows[0]

    def _seen(
        self,
        spec: Preprocess,
        look: Callable[[Image.Image], Any],
        choose: Callable[[int], Sequence[int]],
        known: int | None = None,
    ) -> "_Seen":
        """choose: of so many moments, those with which windows begin; known: how many there are, once all frames were decoded."""
        frames = _Frames(self, spec.rate)
        moments = known or frames.moments
        starts = choose(moments)
        done: list[list[Any]] = []
        open_windows: dict[int, list[Any]] = {}
        count, last, looked, size = 0, None, None, (1, 1)
        for count, frame in enumerate(sampled(frames, spec.rate), 1):
            at = count - 1
            if at in starts:
                open_windows[at] = []
            if open_windows:
                if frame is not last:
                    last, (looked, size) = frame, self._looked(frames.picture(frame), look)
                for start, window in list(open_windows.items()):
                    window.append(looked)
                    if len(window) == spec.frames:
                        done.append(open_windows.pop(start))
            if not open_windows and max(starts) <= at < moments - 1:
                break
        if count < spec.frames:
            raise self._too_short(count, frames.broken, spec)
        if known is None and (len(done) < len(starts) or count > moments):  # some frames of the file cannot be decoded
            return self._seen(spec, look, choose, count)
        return _Seen(done, size, frames.broken)

    def pictures(self, rate: float, say: Callable[[str], None] = lambda line: None) -> Iterator[Frame]:
        """What is shown at each moment, `rate` of them a second; say: takes a line on frames that were skipped.

        Raises DataError for what cannot be read. Memory holds one frame.
        """
        frames, count = _Frames(self, rate), 0
        for count, frame in enumerate(sampled(frames, rate), 1):
            yield Frame(self.path, (count - 1) / rate, frames.picture(frame))
        if not count:
            raise UnreadableError(f"{self.name}: none of its frames can be read", hint="another video")
        if frames.broken:
            say(f"{self.name}: {many(frames.broken, 'broken frames')} skipped")

    def moments(self, rate: float) -> int:
        """How many images `pictures` gives, if all of them can be decoded. Raises DataError."""
        return _Frames(self, rate).moments

    def _looked(self, picture: Image.Image, look: Callable[[Image.Image], Any]) -> tuple[Any, tuple[int, int]]:
        try:
            return look(picture), picture.size
        except DataError as error:
            raise DataError(f"{self.name}: {error.message}") from None

    def _too_short(self, moments: int, broken: int, spec: Preprocess) -> DataError:
        if not moments:
            return UnreadableError(f"{self.name}: none of its frames can be read", hint="another video")
        lost = f" ({broken} frames are broken)" if broken else ""
        return DataError(
            f"{self.name} lasts {moments / spec.rate:.2g} s{lost}, and the model sees {spec.frames / spec.rate:.2g} s at once "
            f"({spec.frames} frames, {spec.rate:g} a second)",
            hint="a longer video",
        )


def open_video(path: Path, name: str) -> Video:
    """Raises DataError for what is no video and no folder of frames."""
    if path.is_dir():
        if not frame_files(path):  # also one of videos
            raise DataError(f"{name} is a folder without frames", hint=HINT)
    elif not path.exists():
        raise DataError(f"there is no video {name}")
    elif not path.is_file():
        raise DataError(f"{name} is a pipe or a device, not a video")
    elif path.suffix.lower() in PICTURES:
        raise DataError(f"{name} is an image, and the model takes clips", hint=HINT)
    return Video(path, name)


def frame_files(folder: Path) -> list[Path]:
    """The frames in a folder, in the order of the numbers in their names; none where videos lie: its images are others then."""
    known = suffixes()
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if any(is_video(path) and path.is_file() for path in inside):
        return []
    found = (path for path in inside if path.suffix.lower() in known)
    return sorted(found, key=lambda path: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", path.stem)])


def video_files(folder: Path) -> list[Path]:
    """Every video below a folder, in the order of their paths; where there is none, every folder in it that holds frames."""
    return films(folder) or frame_folders(folder)


def films(folder: Path) -> list[Path]:
    """Every file below a folder that is a video."""
    return [path for path in sorted(below(folder)) if is_video(path) and path.is_file()]


def frame_folders(folder: Path) -> list[Path]:
    """Every folder below one that holds frames."""
    return [path for path in sorted(below(folder)) if path.is_dir() and frame_files(path)]


def beside_films(folder: Path) -> tuple[str, ...]:
    """Images below a folder of videos, in a sentence: thumbnails, or what was taken out of them."""
    known = suffixes()
    count = sum(path.suffix.lower() in known for path in below(folder))
    return (f"left out, as they lie among videos: {many(count, 'images')}",) if count and films(folder) else ()


def read_videos(files: Sequence[Path], spec: Preprocess) -> Iterator[tuple[Path, Windows | DataError]]:
    """One at a time; what cannot be read comes as the error that says why."""
    for path in files:
        try:
            yield path, open_video(path, path.name).windows(spec)
        except DataError as error:
            yield path, error


def window_starts(moments: int, frames: int) -> list[int]:
    """The first moments of the windows that are looked at, of so many."""
    last = max(0, moments - frames)
    if moments <= WINDOWS * frames:
        return sorted({*range(0, last + 1, frames), last})
    return sorted({int(at) for at in np.linspace(0, last, WINDOWS)})


def _moments(seconds: float, rate: float) -> int:
    return max(1, math.ceil((seconds - NEAR) * rate))


class Shown(Protocol):
    """Frames in the order of their times."""

    @property
    def shown_for(self) -> float:
        """Seconds, of the last one."""

    def __iter__(self) -> Iterator[Timed]: ...


def sampled(frames: Shown, rate: float) -> Iterator[Any]:
    """The frame that is shown at each moment. The app's `Clip` takes the same of a camera (android_demo/core)."""
    first, shown, taken, time = 0.0, None, 0, 0.0
    for time, frame in frames:
        if shown is None:
            first = time
        while shown is not None and first + taken / rate < time - NEAR:
            yield shown
            taken += 1
        shown = frame
    while (
        shown is not None and first + taken / rate < time + frames.shown_for - NEAR
    ):  # the last is shown for a while too
        yield shown
        taken += 1


class _Frames:
    """The frames of a video with their times, each once; `broken`: how many could not be decoded, so far."""

    def __init__(self, video: Video, rate: float) -> None:
        self.video, self.rate, self.broken = video, rate, 0
        self.shown_for = 1 / rate  # of the last frame
        self.steps: Sequence[Path | Image.Image] = video.frames or (
            frame_files(video.path) if video.path.is_dir() else ()
        )

    @cached_property
    def moments(self) -> int:
        """How many there are, of the rate."""
        return len(self.steps) if self.steps else self._count(self.rate)

    @cached_property
    def _reformatter(self) -> Any:
        """One for all frames: each would make its own, with threads, which takes ten times as long as the frame."""
        from av.video.reformatter import VideoReformatter

        return VideoReformatter()

    def picture(self, frame: Any) -> Image.Image:
        """In RGB, upright."""
        if isinstance(frame, Image.Image):
            return frame
        pixels = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        return Image.fromarray(np.ascontiguousarray(_upright(pixels, frame.side_data.get("DISPLAYMATRIX"))))

    def __iter__(self) -> Iterator[Timed]:
        if self.steps:
            yield from self._pictures()
        else:
            yield from self._decoded()

    def _pictures(self) -> Iterator[Timed]:
        for number, step in enumerate(self.steps):
            try:
                yield number * self.shown_for, open_picture(step) if isinstance(step, Path) else step
            except DataError:
                self.broken += 1

    def _decoded(self) -> Iterator[Timed]:
        with _opened(self.video) as container:
            stream = _stream(container, self.video.name)
            usual = _usual(stream)
            time = -usual
            for packet in container.demux(stream):
                try:
                    found = packet.decode()
                except Exception:  # FFmpeg's errors of damaged packets are of many kinds
                    self.broken += 1
                    continue
                for frame in found:
                    time = time + usual if frame.time is None else float(frame.time)
                    if frame.is_corrupt:
                        self.broken += 1
                        continue
                    base = frame.time_base
                    self.shown_for = float(frame.duration * base) if frame.duration and base else usual
                    yield time, frame

    def _count(self, rate: float) -> int:
        """Of moments, by the times of packets, of which none is decoded: what a file says of its length may be that of its
        sound, or of the part that was cut off, and counts from zero where the video starts late."""
        first, end = math.inf, -math.inf
        with _opened(self.video) as container:
            stream = _stream(container, self.video.name)
            usual = _usual(stream)
            time = -usual
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    at = packet.dts if packet.pts is None else packet.pts
                    time = time + usual if at is None else float(at * packet.time_base)
                    first = min(first, time)
                    end = max(end, time + (float(packet.duration * packet.time_base) if packet.duration else usual))
        return _moments(end - first, rate) if end > first else 1


def _usual(stream: Any) -> float:
    """Seconds for which a frame is shown, where nothing says it."""
    return 1 / float(stream.average_rate or 30)


def _upright(pixels: Pixels, matrix: Any) -> Pixels:
    """Turned and mirrored as a display matrix says: nine numbers, (x, y, 1) times which is the place where a pixel is shown."""
    if matrix is None:
        return pixels
    along, across, _, back, down = np.frombuffer(matrix, np.int32).tolist()[:5]  # x to x and y, y to x and y
    if abs(across) + abs(back) > abs(along) + abs(down):
        pixels, along, down = pixels.swapaxes(0, 1), back, across
    return pixels[:: -1 if down < 0 else 1, :: -1 if along < 0 else 1]


def _opened(video: Video) -> Any:
    """A container, which closes itself. Raises DataError."""
    with needs("video"):
        import av
    try:
        return av.open(str(video.path.absolute()), options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})
    except (ValueError, OSError) as error:  # FFmpeg's are ValueErrors
        reason = getattr(error, "strerror", None) or type(error).__name__
        sound = "" if video.path.suffix.lower() not in SOUNDS else ", but a sound"
        raise UnreadableError(
            f"{video.name} is no video that can be read{sound} ({reason})", hint="another video"
        ) from None


def _stream(container: Any, name: str) -> Any:
    """The first that is a video; a cover is none. Raises DataError."""
    with needs("video"):
        from av.stream import Disposition
    stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
    if stream is None:
        what = "sound alone" if container.streams.audio else "no video"
        raise DataError(f"{name} holds {what}", hint="a file with a video in it")
    if stream.width * stream.height > MAX_DECODED:
        raise DataError(f"{name}: frames of {stream.width} x {stream.height} pixels are too large")
    stream.thread_type = "NONE"  # several videos are decoded at once
    return stream
