"""Videos: which frames a model sees, folders of frames, data sets of clips, and files that are no such thing."""

import csv
import json
import shutil
import struct
from fractions import Fraction

import numpy as np
import pytest
from conftest import GOLDEN_FILES, ROOT, ask_edgekit
from PIL import Image

from edgekit import artifact, calibration, prediction
from edgekit.data import open_clips
from edgekit.data.listed import listed
from edgekit.data.video import WINDOWS, open_video, sampled, video_files, window_starts
from edgekit.errors import DataError, RequestError
from edgekit.evaluation.opening import open_for
from edgekit.preprocess import Preprocess, fit
from edgekit.tasks import Classification, Embedding, Raw

CLIPS = GOLDEN_FILES / "clips-tflite-fp32"  # says whether a clip of 8 frames grows brighter or darker
PICTURES = GOLDEN_FILES / "tiny3-tflite-int8"
DETECTOR = GOLDEN_FILES / "tiny3-detection-tflite-fp32"
SPEC = Preprocess((24, 24), 1.0, "squash", frames=8, rate=8.0)


def frames(folder, shades):
    folder.mkdir(parents=True)
    for number, shade in enumerate(shades, 1):
        Image.new("RGB", (40, 30), (shade,) * 3).save(folder / f"{number}.png")  # 10 comes after 9
    return folder


@pytest.fixture(scope="module")
def ucf(tmp_path_factory):
    """Folders of frames, a folder per class: one of eleven is of the other class, and one too short."""
    root = tmp_path_factory.mktemp("ucf_like")
    for i in range(6):
        frames(root / "brighter" / f"v_g0{i}", range(40 + i, 40 + i + 12 * 12, 12))
        frames(root / "darker" / f"v_g0{i}", range(220 - i, 220 - i - 12 * 12, -12))
    shutil.rmtree(root / "darker" / "v_g05")
    frames(root / "darker" / "v_g05", range(60, 60 + 12 * 9, 12))
    frames(root / "darker" / "short", (5, 4, 3))
    return root


def test_moments_see_the_frame_that_is_shown_then():
    class Timed(list):
        shown_for = 0.5

    steady = Timed((i / 30, i) for i in range(30))
    assert list(sampled(steady, 10.0)) == [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, *[29] * 5]
    uneven = Timed([(5.0, "a"), (5.04, "b"), (5.5, "c"), (5.55, "d")])  # starts late, stands still, hurries
    assert list(sampled(uneven, 10.0)) == ["a", "b", "b", "b", "b", "c", "d", "d", "d", "d", "d"]
    assert list(sampled(Timed([(0.0, "a")]), 4.0)) == ["a", "a"]
    assert list(sampled(Timed(), 4.0)) == []


def test_windows_follow_each_other_and_end_with_the_video():
    assert window_starts(8, 8) == [0]
    assert window_starts(5, 8) == [0]
    assert window_starts(24, 8) == [0, 8, 16]
    assert window_starts(27, 8) == [0, 8, 16, 19]
    many = window_starts(1000, 8)
    assert (len(many), many[0], many[-1]) == (WINDOWS, 0, 992)


def test_frames_of_a_folder_are_fitted_as_images_in_the_order_of_their_numbers(tmp_path):
    folder = frames(tmp_path / "clip", range(10, 130, 10))
    seen = open_video(folder, "clip").windows(SPEC)
    assert seen.pixels.shape == (2, 8, 24, 24, 3)
    assert seen.pixels[:, :, 0, 0, 0].tolist() == [[*range(10, 90, 10)], [*range(50, 130, 10)]]
    with Image.open(folder / "11.png") as picture:
        assert np.array_equal(seen.pixels[1, 6], fit(picture.convert("RGB"), SPEC))
    (folder / "4.png").write_bytes(b"no image")
    seen = open_video(folder, "clip").windows(SPEC)
    assert seen.broken == 1
    assert seen.pixels[0, :, 0, 0, 0].tolist() == [10, 20, 30, 30, 50, 60, 70, 80]  # what was shown stays


def test_a_video_is_answered_by_the_mean_of_its_windows(tmp_path):
    rises = [*range(20, 220, 25), *range(219, 20, -25)]
    frames(tmp_path / "up_then_down", rises)
    said = ask_edgekit("predict", CLIPS, tmp_path / "up_then_down", "--json")
    shares = [c["probability"] for c in json.loads(said.stdout)["predictions"][0]["classes"]]
    assert shares == pytest.approx([0.5, 0.5], abs=0.01)  # one window is surely brighter, one surely darker


def test_means_of_windows_by_task():
    logits = np.array([[8.0, 0.0], [0.0, 8.0], [8.0, 0.0]], np.float32)
    task = Classification()
    shares = task.probabilities(logits).mean(0)
    assert task.probabilities(task.mean((logits,))[0])[0] == pytest.approx(shares, abs=1e-6)
    several = Classification(independent=True)
    assert several.probabilities(several.mean((logits,))[0])[0] == pytest.approx(
        several.probabilities(logits).mean(0), abs=1e-6
    )
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert Embedding(normalized=True).mean((vectors,))[0][0] == pytest.approx([0.5**0.5] * 2)
    assert Raw().mean((vectors,))[0].tolist() == [[0.5, 0.5]]
    assert task.mean((logits[:1],))[0] is not None


def test_eval_counts_videos(ucf, tmp_path):
    said = ask_edgekit("eval", CLIPS, "--data", ucf, "--state", tmp_path, "--json")
    found = json.loads(said.stdout)
    assert (found["pictures"], found["units"]) == (12, "videos")
    assert [u["picture"] for u in found["unreadable"]] == ["darker/short"]
    assert "lasts 0.38 s" in found["unreadable"][0]["why"]
    top1 = found["accuracies"][0]["top1"]
    assert (top1["hits"], top1["of"]) == (11, 12)
    assert top1["low"] < 11 / 12 < top1["high"]
    said = ask_edgekit("eval", CLIPS, "--data", ucf, "--state", tmp_path)
    assert "1 of 13 videos cannot be read" in said.stdout + said.stderr
    assert ["label", "named", "videos", "share"] in map(str.split, said.stdout.splitlines())
    assert "of 12 videos, and with" in " ".join(said.stdout.split())


def test_a_table_names_folders_of_frames_and_ucf_lists_name_a_split(ucf, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("brighter/v_g00,brighter\ndarker/v_g01,darker\ndarker/gone,darker\n")
    opened = artifact.load(CLIPS)
    data = open_for(opened, ucf, labels_file=table)
    assert [p.truth for p in data.read(data.positions)] == [(0,), (1,)]
    assert "1 of the 3 videos that labels.csv names are not there: left out" in data.notes
    whole = tmp_path / "ucf101"
    shutil.copytree(ucf, whole / "UCF-101")
    (whole / "ucfTrainTestlist").mkdir()
    (whole / "ucfTrainTestlist/testlist01.txt").write_text("brighter/gone\nbrighter/v_g01\ndarker/v_g01\n")
    (whole / "ucfTrainTestlist/trainlist01.txt").write_text("brighter/v_g02 1\ndarker/v_g02 2\nbrighter/v_g03 1\n")
    test = open_for(opened, whole)
    assert [p.name for p in test.read(test.positions)] == ["brighter/v_g01", "darker/v_g01"]
    assert len(open_for(opened, whole, split="train")) == 3
    with pytest.raises(DataError, match="has no split 'val'"):
        open_for(opened, whole, split="val")


def test_split_folders_and_videos_without_labels(tmp_path):
    for split in ("train", "val"):
        frames(tmp_path / split / "brighter" / "a", range(0, 80, 8))
    assert open_clips(tmp_path, ["brighter", "darker"]).what.startswith("val videos")
    loose = frames(tmp_path / "train" / "brighter" / "b", range(9)).parent
    assert not open_clips(loose, None).labelled
    assert len(video_files(tmp_path)) == 3
    with pytest.raises(RequestError, match="exclude each other"):
        open_clips(tmp_path, None, labels_file=tmp_path / "x.csv", unlabelled=True)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no videos in"):
        open_clips(tmp_path / "none", None)


def test_images_among_videos_are_no_frames(tmp_path):
    for name in ("a.mp4", "brighter/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"a video")
    thumbnails = frames(tmp_path / "darker" / "c", range(9))
    for name in ("poster.png", "brighter/poster.png"):
        shutil.copy(thumbnails / "1.png", tmp_path / name)
    data = open_clips(tmp_path, None)
    assert [p.name for p in data.read(data.positions)] == ["brighter/b.mp4"]
    assert data.notes == (
        "left out, as they lie among videos: 11 images",
        "1 of 2 videos lie in no class folder: left out",
    )
    found = listed([str(tmp_path)], clips=True)
    assert found.files == (tmp_path / "a.mp4", tmp_path / "brighter/b.mp4")
    assert found.notes == data.notes[:1]
    with pytest.raises(DataError, match="brighter is a folder without frames"):
        open_video(tmp_path / "brighter", "brighter")
    (tmp_path / "labels.csv").write_text("darker/c,1\nbrighter/b,0\n")  # what a table names is meant
    named = open_clips(tmp_path, None, labels_file=tmp_path / "labels.csv")
    assert [p.name for p in named.read(named.positions)] == ["darker/c", "brighter/b.mp4"]


def test_splits_of_videos_beside_an_empty_folder(tmp_path):
    frames(tmp_path / "train" / "brighter" / "a", range(9))
    frames(tmp_path / "val" / "darker" / "b", range(9))
    (tmp_path / "logs").mkdir()
    assert open_clips(tmp_path, ["brighter", "darker"]).what.startswith("val videos")
    frames(tmp_path / "valid" / "darker" / "c", range(9))
    with pytest.raises(DataError, match="are both of the split 'val'"):
        open_clips(tmp_path, None)


def test_an_image_for_a_model_of_clips_and_the_reverse(tmp_path, ucf):
    picture = ucf / "brighter/v_g00/1.png"
    said = ask_edgekit("predict", CLIPS, picture)
    assert (said.returncode, said.stderr.splitlines()[0]) == (
        2,
        f"error: {picture} is an image, and the model takes clips",
    )
    said = ask_edgekit("predict", CLIPS, ucf / "brighter/v_g00", "--frame-rate", "2")
    assert (said.returncode, "--frame-rate is for frames of videos for a model of images" in said.stderr) == (2, True)
    for rate in ("1e-9", "1e9"):
        assert "is not from 0.001 to 1000" in ask_edgekit("predict", PICTURES, picture, "--frame-rate", rate).stderr
    said = ask_edgekit("predict", PICTURES, picture, "--frame-rate", "2")
    assert (said.returncode, "--frame-rate is for videos, and none is named" in said.stderr) == (2, True)
    said = ask_edgekit("predict", CLIPS, tmp_path / "gone.mp4")
    assert "gone.mp4" in said.stderr
    said = ask_edgekit("predict", CLIPS, ucf / "darker/short")
    assert "short lasts 0.38 s, and the model sees 1 s at once (8 frames, 8 a second)" in said.stderr
    said = ask_edgekit("predict", CLIPS, ucf / "darker")  # a folder of videos is each of them
    assert said.stdout.count("darker") > 6
    assert "6 of 7 videos answered, 1 cannot be read" in said.stdout
    (tmp_path / "none").mkdir()
    assert "holds neither videos nor frames" in ask_edgekit("predict", CLIPS, tmp_path / "none").stderr


def test_clips_of_the_users_videos_calibrate(ucf, tmp_path):
    found = calibration.choose(str(ucf), 16, 0, SPEC, None, tmp_path)
    assert found.own
    assert len(found.calibration) == 16
    assert {clip.shape for clip in found.calibration} == {(8, 24, 24, 3)}
    assert len({clip.tobytes() for clip in found.calibration}) == 16  # two windows of each video
    assert found.unreadable[0].startswith("short lasts")
    assert calibration.describe(str(ucf), 16, None, moving=True) == f"up to 16 clips of 13 videos of {ucf}"
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds neither videos nor frames"):
        calibration.choose(str(tmp_path / "none"), 16, 0, SPEC, None, tmp_path)


def test_the_committed_artifact_of_schema_4_loads():
    assert json.loads((CLIPS / "manifest.json").read_text())["schema"] == 4
    opened = artifact.load(CLIPS)
    assert (opened.manifest.preprocess.frames, opened.manifest.preprocess.rate) == (8, 8.0)
    assert "takes one clip of 8 frames of 24x24, 8 a second" in (CLIPS / "README.md").read_text()
    assert [image.ndim for image in opened.golden().images] == [4] * 4


def test_other_verbs_take_videos_or_say_why_not(ucf, tmp_path):
    opened = artifact.load(CLIPS)
    pixels, lost = prediction.fitted(opened, ucf)
    assert (pixels.shape[1:], lost) == ((8, 24, 24, 3), "1 of 13 videos cannot be read")
    assert prediction.fitted(opened, None)[0].shape == (4, 8, 24, 24, 3)
    said = ask_edgekit("verify", CLIPS)
    assert "preprocessing  ok" in said.stdout
    shutil.copytree(ROOT / "android_demo", tmp_path / "app")
    said = ask_edgekit("android", "add", CLIPS, "--app", tmp_path / "app")
    assert said.returncode == 0, said.stderr


def test_python_takes_the_path_of_a_video(ucf):
    import edgekit

    with edgekit.load(CLIPS) as opened:
        assert opened.predict(ucf / "brighter/v_g00").label == "brighter"
        clip = np.stack([np.full((30, 40, 3), shade, np.uint8) for shade in range(40, 184, 12)])
        frames = tuple(map(Image.fromarray, clip))
        wanted = opened.predict(ucf / "brighter/v_g00")
        for said in (clip, tuple(clip), frames):
            found = opened.predict(said)
            assert list(found) == list(wanted)
            assert (found.source, found.opened().size) == (None, (40, 30))
        assert [p.label for p in opened.predict([clip, clip[::-1]])] == ["brighter", "darker"]
        with pytest.raises(RequestError, match=r"the artifact takes clips \(the path of a video.*a tuple of images"):
            opened.predict(clip[0])
        for nothing in (clip[:0], ()):
            with pytest.raises(DataError, match="a clip without frames"):
                opened.predict(nothing)
        with pytest.raises(DataError, match=r"the clip lasts 0\.38 s, and the model sees 1 s at once"):
            opened.predict(clip[:3])
        with pytest.raises(DataError, match="channels first"):
            opened.predict(clip.transpose(0, 3, 1, 2))


def written(path, shades, pts=None, rotation=0, codec="mpeg4", size=(40, 64), sound=0, marked=False):
    """A video of grey frames, 30 a second or at `pts` milliseconds, with so many seconds of silence; the upper half of each is
    black, and if `marked` the left quarter below it, too."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        track = container.add_stream("pcm_s16le", rate=8000) if sound else None
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, shade in enumerate(shades):
            pixels = np.full((*size, 3), shade, np.uint8)
            pixels[: size[0] // 2] = 0
            if marked:
                pixels[:, : size[1] // 4] = 0
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for _ in range(sound):
            second = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            second.sample_rate = 8000
            container.mux(track.encode(second))
        if track:
            container.mux(track.encode())
    return path


def lower(windows):
    return windows.pixels[:, :, 18, 12, 1].astype(int)


@pytest.mark.full
def test_a_video_is_sampled_by_time(tmp_path):
    seen = open_video(written(tmp_path / "a.mkv", range(20, 220, 5), codec="ffv1"), "a.mkv").windows(SPEC)
    wanted = [20 + 5 * int(30 * k / 8 + 1e-6) for k in range(11)]  # 40 frames are 1.33 s: 11 moments
    assert np.abs(lower(seen) - [wanted[:8], wanted[3:]]).max() <= 2
    times = [*range(0, 400, 40), *range(400, 1900, 150)]
    seen = open_video(written(tmp_path / "uneven.mkv", range(20, 220, 10), times, codec="ffv1"), "uneven.mkv").windows(
        SPEC
    )
    wanted = [20 + 10 * max(i for i, t in enumerate(times) if t <= 125 * k + 0.1) for k in range(8)]
    assert np.abs(lower(seen)[0] - wanted).max() <= 2


@pytest.mark.full
def test_windows_are_chosen_by_what_is_shown_and_not_by_what_a_file_says(tmp_path):
    shades, times = range(20, 220, 5), [*range(0, 4000, 100)]  # 4 s: 32 moments, 4 windows
    film = written(tmp_path / "film.mkv", shades, times, codec="ffv1")
    wanted = open_video(film, "film.mkv").windows(SPEC).pixels
    assert len(wanted) == 4
    late = written(tmp_path / "late.mkv", shades, [60_000 + t for t in times], codec="ffv1")
    assert np.array_equal(open_video(late, "late.mkv").windows(SPEC).pixels, wanted)
    sounding = written(tmp_path / "sounding.mkv", shades, times, codec="ffv1", sound=20)
    assert np.array_equal(open_video(sounding, "sounding.mkv").windows(SPEC).pixels, wanted)
    blob = film.read_bytes()
    film.write_bytes(blob[: len(blob) * 3 // 4])
    found = lower(open_video(film, "film.mkv").windows(SPEC))
    assert len(found) == 3
    assert found[-1, -1] == found.max() > 140  # the last ends with what is left


def test_windows_are_chosen_anew_where_frames_at_the_end_cannot_be_read(tmp_path):
    folder = frames(tmp_path / "clip", range(10, 230, 10))  # 22 of them
    for number in range(19, 23):
        (folder / f"{number}.png").write_bytes(b"no image")
    seen = open_video(folder, "clip").windows(SPEC)
    assert seen.broken == 4
    assert seen.pixels[:, 0, 0, 0, 0].tolist() == [10, 90, 110]  # the last ends with the 18th
    drawn = [_first_of_drawn(folder, seed) for seed in range(110)]
    assert set(drawn) == set(range(10, 120, 10))
    assert max(map(drawn.count, drawn)) < 25  # each about ten times


def _first_of_drawn(folder, seed):
    rng = np.random.default_rng(seed)
    return open_video(folder, folder.name).drawn_window(SPEC, lambda frame: frame.getpixel((0, 0))[0], rng)[0]


@pytest.mark.full
@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
        ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).swapaxes(0, 1)),
    ],
)
def test_a_mirrored_or_turned_video_is_shown_as_its_file_says(tmp_path, matrix, shown):
    """Of a .mp4 the matrix of its track; the frames themselves are the same."""
    plain = written(tmp_path / "plain.mp4", [200] * 10, marked=True)
    blob = bytearray(plain.read_bytes())
    at = blob.find(b"tkhd") + 44
    a, b, c, d = (65536 * number for number in matrix)
    blob[at : at + 20] = struct.pack(">5i", a, b, 0, c, d)
    (tmp_path / "turned.mp4").write_bytes(blob)
    still, found = (
        np.asarray(next(open_video(tmp_path / name, name).pictures(1.0)).picture)
        for name in ("plain.mp4", "turned.mp4")
    )
    assert np.array_equal(found, shown(still))


@pytest.mark.full
def test_a_rotated_video_is_seen_upright(tmp_path):
    spec = Preprocess((24, 24), 1.0, "squash", frames=8, rate=8.0)
    seen = open_video(written(tmp_path / "phone.mp4", [200] * 40, rotation=90), "phone.mp4").windows(spec)
    assert seen.size == (40, 64)
    left, right = seen.pixels[0, 0, 12, 4, 0], seen.pixels[0, 0, 12, 20, 0]
    assert left < 40 < 160 < right  # the black half, turned against the clock, lies left


@pytest.mark.full
def test_broken_frames_are_skipped_and_counted(tmp_path):
    path = written(tmp_path / "a.avi", range(20, 220, 2))
    blob = bytearray(path.read_bytes())
    starts = [at for at in range(len(blob) - 4) if blob[at : at + 4] == b"00dc"]
    for at in starts[20:23]:
        blob[at + 8 : at + 24] = bytes(16)
    path.write_bytes(blob)
    said = ask_edgekit("predict", CLIPS, path)
    assert said.returncode == 0
    assert "brighter" in said.stdout.splitlines()[1]
    assert "a.avi: " in said.stderr
    assert "broken frames skipped" in said.stderr


@pytest.mark.full
def test_a_model_of_images_answers_the_frames_of_a_video(tmp_path):
    import edgekit

    film = written(tmp_path / "film.mkv", range(20, 220, 2), codec="ffv1")  # 100 frames are 3.33 s
    Image.new("RGB", (64, 40), (90,) * 3).save(tmp_path / "still.png")
    said = ask_edgekit("predict", PICTURES, film)
    lines = said.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == [f"{film} 0:00:0{second}.00" for second in range(4)]
    assert lines[4] == "4 of 4 frames answered"
    table = tmp_path / "answers.csv"
    said = ask_edgekit("predict", PICTURES, film, tmp_path / "still.png", "--frame-rate", "2", "--csv", table, "--json")
    found = json.loads(said.stdout)["predictions"]
    assert [one.get("seconds") for one in found] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, None]
    assert {one["image"] for one in found} == {str(film), str(tmp_path / "still.png")}
    rows = list(csv.DictReader(table.open()))
    assert [row["seconds"] for row in rows] == ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0", ""]
    with edgekit.load(PICTURES) as model:
        frames = model.predict(film, frame_rate=2)
        assert [frame.seconds for frame in frames] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
        assert frames[3].source == film
        assert np.array_equal(model.predict(frames[3].opened()).found.probabilities, frames[3].found.probabilities)
        assert [c["probability"] for c in found[3]["classes"]] == pytest.approx([frames[3].score])


@pytest.mark.full
def test_frames_of_a_video_are_drawn_each_into_its_file(tmp_path):
    film = written(tmp_path / "film.mkv", range(20, 120, 2), codec="ffv1", size=(64, 96))
    said = ask_edgekit("predict", DETECTOR, film, "--frame-rate", "2", "--draw", tmp_path / "drawn")
    assert said.returncode == 0, said.stderr
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in drawn] == [f"film-00000{at:.2f}s.png" for at in (0, 0.5, 1, 1.5)]
    assert Image.open(drawn[0]).size == (96, 64)
    said = ask_edgekit("predict", DETECTOR, film, "--draw", tmp_path / "one.png")
    assert "one.png is one file for the frames of a video" in said.stderr
    said = ask_edgekit("predict", PICTURES, tmp_path / "gone.mp4")
    assert (said.returncode, "there is no video" in said.stderr) == (2, True)


@pytest.mark.full
def test_files_that_hold_no_video_are_told_apart(tmp_path):
    import av

    sound = tmp_path / "talk.m4a"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    text = tmp_path / "notes.mp4"
    text.write_text("no video\n")
    playlist = tmp_path / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://localhost:9/a.ts\n#EXT-X-ENDLIST\n")
    short = written(tmp_path / "short.mp4", range(10))
    for path, wanted in (
        (sound, "talk.m4a holds sound alone"),
        (text, "notes.mp4 is no video that can be read"),
        (playlist, "list.mp4 is no video that can be read"),
        (short, "short.mp4 lasts 0.38 s"),
    ):
        with pytest.raises(DataError, match=wanted):
            open_video(path, path.name).windows(SPEC)


@pytest.mark.full
def test_eval_of_video_files(tmp_path):
    for i in range(3):
        (tmp_path / "data/brighter").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/darker").mkdir(exist_ok=True)
        written(tmp_path / f"data/brighter/{i}.mp4", range(20, 220, 5))
        written(tmp_path / f"data/darker/{i}.avi", range(220, 20, -5))
    said = ask_edgekit("eval", CLIPS, "--data", tmp_path / "data", "--state", tmp_path / "state", "--json")
    assert json.loads(said.stdout)["accuracies"][0]["top1"]["hits"] == 6
