"""The numbers of a file become the colours that a viewer shows, and nothing else stays of it."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.images.reading import Treatment, decode, read_picture
from tests.images import profiles
from tests.images.test_reading import png, saved

P3 = profiles.display_p3()


def one(mode: str, colour: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (16, 16), colour)


def first(data: bytes) -> list[int]:
    """The first pixel of a file, as it is read."""
    return [int(level) for level in np.asarray(read_picture(data))[0, 0]]


def row(data: bytes) -> list[int]:
    """The red of each pixel of the first row."""
    return [int(level) for level in np.asarray(read_picture(data))[0, :, 0]]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff"])
def test_colours_of_display_p3_become_those_of_srgb(form: str) -> None:
    how: dict[str, object] = {"lossless": True} if form == "webp" else {}
    data = saved(one("RGB", (200, 100, 90)), form, icc_profile=P3, **how)
    assert first(data) == pytest.approx([216, 93, 84], abs=2)


def test_a_folder_to_train_on_is_read_by_the_profile_too(tmp_path: Path) -> None:
    data = saved(one("RGB", (200, 100, 90)), "jpeg", icc_profile=P3, quality=100)
    (tmp_path / "a.jpg").write_bytes(data)
    decoded = decode(tmp_path / "a.jpg", Treatment((4,), 3, "crop", 1))
    assert not isinstance(decoded, str), decoded
    assert decoded[0][0, 0].tolist() == pytest.approx([216, 93, 84], abs=2)


def test_a_palette_and_what_is_transparent_have_the_profiles_colours() -> None:
    palette = one("RGB", (200, 100, 90)).quantize(2)
    assert first(saved(palette, icc_profile=P3)) == pytest.approx([216, 93, 84], abs=2)
    half = np.array([216, 93, 84]) / 2 + 127.5
    layer = one("RGBA", (200, 100, 90, 128))
    assert first(saved(layer, icc_profile=P3)) == pytest.approx(half, abs=2)


def test_pictures_in_srgb_keep_their_levels() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    levels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    image = Image.fromarray(levels)
    assert np.array_equal(np.asarray(read_picture(saved(image, icc_profile=own))), levels)
    grey = image.convert("L")
    read = read_picture(saved(grey, icc_profile=own))
    assert np.array_equal(np.asarray(read)[..., 0], np.asarray(grey))


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_is_read_by_a_grey_profile(mode: str) -> None:
    linear = profiles.grey(1.0)
    # sRGB's curve at a light of 50 / 255, whose level is 122.
    image = one("L", 50).convert(mode)
    assert first(saved(image, icc_profile=linear)) == pytest.approx([122] * 3, abs=1)
    sixteen = Image.fromarray(np.full((16, 16), 50 * 257, np.uint16))
    assert first(saved(sixteen, icc_profile=linear)) == pytest.approx([122] * 3, abs=1)


@pytest.mark.parametrize("form", ["jpeg", "tiff"])
def test_inks_are_read_by_the_profile_of_their_press(form: str) -> None:
    def seen(*inks: int) -> list[int]:
        how: dict[str, object] = {"quality": 100} if form == "jpeg" else {}
        return first(saved(one("CMYK", inks), form, icc_profile=profiles.cmyk(), **how))

    assert seen(0, 0, 0, 0) == pytest.approx([255] * 3, abs=3)
    assert max(seen(0, 0, 0, 255)) < 8
    # LAB 55, -37, -50 as sRGB; without the profile cyan would be 0, 255, 255.
    assert seen(255, 0, 0, 0) == pytest.approx([0, 150, 218], abs=6)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", P3[:200]),
        ("RGB", b"no profile"),
        ("RGB", P3[:300] + bytes(len(P3) - 300)),
        ("RGB", profiles.cmyk()),
        ("RGB", profiles.grey(1.0)),
        ("L", profiles.cmyk()),
        ("CMYK", P3),
    ],
)
def test_a_profile_that_can_not_be_meant_is_as_none(mode: str, profile: bytes) -> None:
    colours: dict[str, int | tuple[int, ...]] = {
        "L": 50,
        "RGB": (200, 100, 90),
        "CMYK": (20, 120, 130, 10),
    }
    image = one(mode, colours[mode])
    assert first(saved(image, "tiff", icc_profile=profile)) == first(saved(image, "tiff"))


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_nothing_that_the_file_said_stays_with_the_picture(mode: str) -> None:
    image = one("RGB", (200, 100, 90)).convert(mode)
    read = read_picture(saved(image, icc_profile=P3, dpi=(300, 300)))
    assert read.info == {}
    assert b"iCCP" not in saved(read)


@pytest.mark.parametrize(
    ("bits", "data", "transparent"),
    [
        (1, bytes([0b01000000]), 1),
        (2, bytes([0b00010000]), 1),
        (4, bytes([0x05]), 5),
        (8, bytes([0, 5]), 5),
        (16, struct.pack(">HH", 0, 5), 5),
        (16, struct.pack(">HH", 0, 40_000), 40_000),
    ],
)
def test_a_transparent_grey_is_white_whatever_its_bits(
    bits: int, data: bytes, transparent: int
) -> None:
    file = png((2, 1), bits, 0, b"\0" + data, struct.pack(">H", transparent))
    assert row(file) == [0, 255]


def test_a_black_that_is_transparent_is_white_and_other_greys_stay() -> None:
    data = struct.pack(">3H", 0, 40 * 257, 65535)
    assert row(png((3, 1), 16, 0, b"\0" + data, struct.pack(">H", 0))) == [255, 40, 255]


@pytest.mark.parametrize(("bits", "each"), [(8, "B"), (16, "H")])
def test_a_transparent_colour_is_white_whatever_its_bits(bits: int, each: str) -> None:
    factor = 257 if bits == 16 else 1
    clear, other = [10 * factor, 20 * factor, 30 * factor], [40 * factor] * 3
    data = b"\0" + struct.pack(f">6{each}", *clear, *other)
    assert row(png((2, 1), bits, 2, data, struct.pack(">3H", *clear))) == [255, 40]


def tiff(bits: int, zero_is_white: bool, data: bytes, width: int, packed: bool = False) -> bytes:
    """A grey TIFF of one row, written by hand, plain or deflated."""
    data = zlib.compress(data) if packed else data
    way = (259, 8 if packed else 1)
    shape = ((256, width), (257, 1), (258, bits), way, (262, int(not zero_is_white)))
    entries = [*shape, (273, 8), (277, 1), (278, 1), (279, len(data))]
    table = struct.pack("<H", len(entries))
    table += b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + table + bytes(4)


@pytest.mark.parametrize("packed", [False, True])
def test_twelve_bits_reach_from_black_to_white(packed: bool) -> None:
    data = bytes([0x00, 0x08, 0x00, 0xFF, 0xF0, 0x00])
    assert row(tiff(12, False, data, 4, packed)) == [0, 128, 255, 0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("bits", "each"), [(8, "B"), (16, "H")])
def test_a_tiff_whose_zero_is_white_is_no_negative(bits: int, each: str, packed: bool) -> None:
    data = struct.pack(f"<2{each}", 0, 2**bits - 1)
    assert row(tiff(bits, True, data, 2, packed)) == [255, 0]
    assert row(tiff(bits, False, data, 2, packed)) == [0, 255]


@pytest.mark.parametrize("form", ["png", "tiff", "webp"])
@pytest.mark.parametrize("mode", ["I;16", "P", "LA", "RGBA", "RGB"])
def test_a_picture_in_several_bands_is_as_in_one(
    form: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = Image.effect_noise((31, 23), 90)
    how: dict[str, object] = {"lossless": True} if form == "webp" else {}
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 250)
    else:
        image = Image.merge("RGBA", [grey, grey.rotate(90), grey, grey.rotate(180)]).convert(mode)
    how |= {"transparency": 3} if (form, mode) == ("png", "P") else {"icc_profile": P3}
    try:
        data = saved(image, form, **how)
    except OSError:
        pytest.skip("there is no such file")
    whole = read_picture(data)
    monkeypatch.setattr("app.images.colours.BAND", 100)
    assert read_picture(data).tobytes() == whole.tobytes()


@pytest.mark.parametrize("largest", [255, 4095, 65535])
def test_a_folders_pgm_may_have_up_to_sixteen_bits(largest: int, tmp_path: Path) -> None:
    levels = np.array([0, largest // 2, largest], "u1" if largest == 255 else ">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 %d\n" % largest + levels.tobytes())
    decoded = decode(tmp_path / "a.pgm", Treatment((3,), 1, "squash", 1))
    assert not isinstance(decoded, str), decoded
    assert decoded[0][0, :, 0].tolist() == pytest.approx([0, 127, 255], abs=1)
