import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgekit import preprocess
from edgekit.errors import DataError
from edgekit.preprocess import (
    MAX_DECODED,
    Preprocess,
    decode_picture,
    fit,
    load_pixels,
    normalise,
    open_picture,
    resize,
    yuv_to_rgb,
)

KERNELS = {
    "lanczos": (3.0, lambda x: np.where((x >= -3) & (x < 3), np.sinc(x) * np.sinc(x / 3), 0)),
    "bilinear": (1.0, lambda x: np.maximum(0, 1 - abs(x))),
    "bicubic": (
        2.0,
        lambda x: np.where(
            abs(x) < 1,
            (1.5 * abs(x) - 2.5) * x * x + 1,
            np.where(abs(x) < 2, (((abs(x) - 5) * abs(x) + 8) * abs(x) - 4) * -0.5, 0),
        ),
    ),
}


def resize_axis(pixels, n, name):
    """Step 3 of preprocess.py along the first axis, in integers."""
    support, kernel = KERNELS[name]
    m = len(pixels)
    scale = m / n
    f = max(scale, 1.0)
    out = np.empty((n, *pixels.shape[1:]), np.uint8)
    for i in range(n):
        c = (i + 0.5) * scale
        first = max(int(c - support * f + 0.5), 0)
        last = min(int(c + support * f + 0.5), m)
        weights = kernel((np.arange(first, last) - c + 0.5) * (1.0 / f))
        weights = weights / weights.sum()
        fixed = np.where(weights < 0, np.ceil(weights * 2**22 - 0.5), np.floor(weights * 2**22 + 0.5)).astype(np.int64)
        total = np.tensordot(fixed, pixels[first:last].astype(np.int64), 1)
        out[i] = ((total + 2**21) >> 22).clip(0, 255)
    return out


def by_the_book(pixels, width, height, name):
    """Horizontally first, then vertically."""
    if width != pixels.shape[1]:
        pixels = resize_axis(pixels.swapaxes(0, 1), width, name).swapaxes(0, 1)
    return resize_axis(pixels, height, name) if height != pixels.shape[0] else pixels


@settings(max_examples=100)
@given(
    st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 2**32 - 1),
)
def test_the_resize_is_the_written_definition_to_the_last_bit(name, w, h, width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    made = np.asarray(resize(Image.fromarray(pixels), (width, height), name))
    np.testing.assert_array_equal(by_the_book(pixels, width, height, name), made)


def test_a_camera_frame_has_the_colours_of_a_jpeg(tmp_path):
    """The same values of Y, Cb, Cr, decoded by libjpeg and by the written definition."""
    blocks = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    path = tmp_path / "flat.jpg"
    Image.fromarray(blocks, "YCbCr").save(path, quality=100, subsampling=0)
    with Image.open(path) as raw:
        raw.draft("YCbCr", None)
        y, u, v = np.moveaxis(np.asarray(raw), -1, 0)
    assert len(np.unique(np.stack([y, u, v]).reshape(3, -1), axis=1).T) > 4000
    even = (slice(None, None, 2), slice(None, None, 2))
    with Image.open(path) as picture:
        np.testing.assert_array_equal(yuv_to_rgb(y, u[even], v[even]), np.asarray(picture))


def test_a_camera_frame_of_odd_size_and_its_extremes():
    grey = np.full((2, 2), 128, np.uint8)
    y = np.arange(9, dtype=np.uint8).reshape(3, 3)
    np.testing.assert_array_equal(yuv_to_rgb(y, grey, grey), np.stack([y] * 3, -1))
    assert yuv_to_rgb(y, grey, np.full((2, 2), 255, np.uint8))[0, 0].tolist() == [178, 0, 0]


@pytest.mark.parametrize(("w", "h"), [(320, 240), (240, 321), (37, 500), (224, 224), (20, 20)])
def test_fit_gives_the_input_size(w, h):
    spec = Preprocess((224, 224))
    pixels = fit(Image.new("RGB", (w, h), "red"), spec)
    assert pixels.shape == (224, 224, 3)
    assert (pixels == [255, 0, 0]).all()


def test_fit_crops_the_centre():
    picture = Image.new("RGB", (100, 50), "black")
    picture.paste((255, 255, 255), (40, 0, 60, 50))
    row = fit(picture, Preprocess((50, 50), crop_pct=1.0))[25, :, 0]
    assert row[15:35].all()
    assert not row[:14].any()


def test_squash_keeps_the_whole_image():
    picture = Image.new("RGB", (100, 50), "black")
    picture.paste((255, 255, 255), (0, 0, 50, 50))
    pixels = fit(picture, Preprocess((40, 40), crop_pct=1.0, crop_mode="squash"))
    assert pixels[:, :18].all()
    assert not pixels[:, 22:].any()


def test_an_input_that_is_not_square_is_covered():
    assert fit(Image.new("RGB", (333, 100)), Preprocess((96, 192))).shape == (96, 192, 3)


def test_normalise_is_float32_subtract_then_divide():
    spec = Preprocess((1, 1), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    pixels = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    mean = (np.array(spec.mean) * 255).astype(np.float32)
    std = (np.array(spec.std) * 255).astype(np.float32)
    np.testing.assert_array_equal(normalise(pixels, spec), (pixels.astype(np.float32) - mean) / std)


def test_exif_orientation_is_applied(tmp_path):
    picture = Image.new("RGB", (60, 40), "black")
    picture.paste((255, 0, 0), (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90 degrees
    picture.save(tmp_path / "turned.png", exif=exif)
    seen = open_picture(tmp_path / "turned.png")
    assert seen.size == (40, 60)
    assert seen.getpixel((20, 5)) == (255, 0, 0)


def test_colour_modes_become_rgb(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "alpha.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / "cmyk.jpg")
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    Image.fromarray(np.full((8, 8), 77 * 256 + 200, np.uint16)).save(tmp_path / "grey16.png")
    Image.new("P", (8, 8)).save(tmp_path / "palette.gif", transparency=0)
    expected = {"alpha.png": 255, "cmyk.jpg": 0, "grey.png": 77, "grey16.png": 77, "palette.gif": 255}
    for name, value in expected.items():
        pixel = open_picture(tmp_path / name).getpixel((4, 4))
        assert pixel == (value,) * 3, name


def test_grey_of_which_no_number_is_known_to_be_white_is_refused(tmp_path):
    grey = np.linspace(0, 1, 64).reshape(8, 8)
    for name, array in {
        "floats": grey.astype(np.float32),
        "integers of 32 bits": (255 * grey).astype(np.int32),
    }.items():
        Image.fromarray(array).save(tmp_path / "grey.tif")
        for refused in (
            lambda: open_picture(tmp_path / "grey.tif"),
            lambda a=array: decode_picture(Image.fromarray(a), "it"),
        ):
            with pytest.raises(DataError, match=f": grey in {name}, and nothing says which is white") as caught:
                refused()
            assert caught.value.hint == "save it with 8 or 16 bits a pixel"


def test_grey_of_16_bits_is_told_from_32(tmp_path):
    Image.fromarray(np.full((8, 8), 77 * 256 + 200, np.uint16)).save(tmp_path / "grey.tif")
    (tmp_path / "grey.pgm").write_bytes(b"P5 8 8 65535\n" + bytes([77, 200]) * 64)  # which Pillow opens as 32 bits
    for name in ("grey.tif", "grey.pgm"):
        assert open_picture(tmp_path / name).getpixel((4, 4)) == (77,) * 3
        assert decode_picture(Image.open(tmp_path / name), name).getpixel((4, 4)) == (77,) * 3


def test_a_damaged_heic_is_called_so_where_heic_can_be_read(tmp_path, monkeypatch):
    (tmp_path / "cut.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0")
    monkeypatch.setattr(preprocess, "formats", lambda: ("PNG",))
    with pytest.raises(DataError, match="a HEIC image, which needs pillow-heif"):
        open_picture(tmp_path / "cut.heic")
    monkeypatch.setattr(preprocess, "formats", lambda: ("PNG", "HEIF"))
    monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])
    with pytest.raises(DataError, match=r"^cut\.heic: a damaged HEIC image$"):
        open_picture(tmp_path / "cut.heic")


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert open_picture(tmp_path / "moving.webp").getpixel((4, 4)) == (255, 0, 0)


def test_what_is_not_a_whole_image_is_refused_in_one_line(tmp_path):
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "truncated.png").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").touch()
    for name in ("truncated.png", "text.jpg", "empty.jpg", "missing.jpg"):
        with pytest.raises(DataError, match=name.partition(".")[0]) as caught:
            load_pixels(tmp_path / name, Preprocess((32, 32)))
        assert "\n" not in caught.value.message


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (20000, 20000)).save(tmp_path / "huge.png")
        Image.new("1", (11400, 11400)).save(tmp_path / "larger.png")
    for name in ("huge.png", "larger.png"):  # beyond Pillow's own limit, and between ours and it
        with pytest.raises(
            DataError, match=rf"^{name}: too large \(more than 128 megapixels, or of too many rows\)(?: [(]|$)"
        ):
            open_picture(tmp_path / name)
    assert MAX_DECODED < 11400**2 < 2 * Image.MAX_IMAGE_PIXELS < 20000**2


@pytest.mark.parametrize("size", [(1, 5000), (30000, 2)])
@pytest.mark.parametrize("input_size", [(224, 224), (192, 224)])
def test_an_image_too_long_and_narrow_to_resize_is_refused(tmp_path, size, input_size):
    Image.new("RGB", size).save(tmp_path / "thin.png")
    with pytest.raises(
        DataError, match=r"^thin\.png: \d+ x \d+ pixels is too long and narrow for an input of \d+ x 224(?: [(]|$)"
    ):
        load_pixels(tmp_path / "thin.png", Preprocess(input_size))
    assert load_pixels(tmp_path / "thin.png", Preprocess(input_size, crop_mode="squash")).shape == (*input_size, 3)


def test_a_panorama_is_not_too_long(tmp_path):
    Image.new("RGB", (20000, 200), "red").save(tmp_path / "wide.png")
    assert (load_pixels(tmp_path / "wide.png", Preprocess((224, 224))) == [255, 0, 0]).all()


def test_what_is_not_a_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe\.jpg is a pipe or a device"):
        open_picture(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="is a folder, not an image file"):
        open_picture(tmp_path)


@pytest.mark.parametrize("error", [RuntimeError("Failed to decode frame 0: Truncated data"), IndexError()])
def test_whatever_a_decoder_raises_is_said_in_one_line(tmp_path, monkeypatch, error):
    def broken(path, formats):
        raise error

    (tmp_path / "broken.avif").touch()
    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(
        DataError, match=r"^broken\.avif: (Failed to decode frame 0: Truncated data|IndexError)(?: [(]|$)"
    ):
        open_picture(tmp_path / "broken.avif")
