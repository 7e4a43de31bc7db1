"""A header says what decoding would cost, and no decoder is asked."""

import io
import struct

import pytest
from PIL import Image

from app.images.headers import PictureHeader
from tests.images.test_reading import chunk, saved

FORMS: list[tuple[str, dict[str, object]]] = [
    ("png", {}),
    ("jpeg", {}),
    ("jpeg", {"progressive": True, "comment": b"before the size" * 99}),
    ("webp", {}),
    ("webp", {"lossless": True}),
    ("webp", {"icc_profile": b"an extended file"}),
    ("gif", {}),
    ("bmp", {}),
    ("tiff", {}),
    ("tiff", {"big_tiff": True, "compression": "tiff_lzw"}),
]


def header(data: bytes) -> PictureHeader:
    return PictureHeader.of(io.BytesIO(data))


def apng(side: int, pictures: int = 1) -> bytes:
    """A moving PNG of under 200 bytes, for whose canvas Pillow makes room as it opens the file."""
    frame = struct.pack(">IIIIIHHBB", 0, side, side, 0, 0, 1, 1, 1, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)),
            chunk(b"acTL", struct.pack(">II", pictures, 0)),
            chunk(b"fcTL", frame),
            chunk(b"IDAT", b""),
            chunk(b"IEND", b""),
        )
    )


@pytest.mark.parametrize(("form", "how"), FORMS)
def test_every_formats_size_is_found(form: str, how: dict[str, object]) -> None:
    found = header(saved(Image.new("RGB", (321, 123)), form, **how))
    assert (found.width, found.height, found.moves) == (321, 123, False)


def test_a_big_endian_tiff_and_an_old_bmp_are_understood() -> None:
    table = struct.pack(">H", 2)
    table += struct.pack(">HHIHH", 256, 3, 1, 321, 0) + struct.pack(">HHII", 257, 4, 1, 123)
    assert header(b"MM\0*" + struct.pack(">I", 8) + table) == PictureHeader(321, 123)
    old = b"BM" + bytes(12) + struct.pack("<IHH", 12, 321, 123)
    assert header(old) == PictureHeader(321, 123)
    upside_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 321, -123)
    assert header(upside_down) == PictureHeader(321, 123)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_file_that_says_that_it_moves_is_known(form: str) -> None:
    pair = [Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), (9, 9, 9))]
    assert header(saved(pair[0], form, save_all=True, append_images=pair[1:])).moves
    assert header(apng(8, pictures=2)).moves
    assert not header(apng(8)).moves


def test_a_jpegs_scans_are_counted() -> None:
    image = Image.effect_noise((400, 400), 80).convert("RGB")
    assert header(saved(image, "jpeg", quality=100)).scans == 1
    assert header(saved(image, "jpeg", quality=100, progressive=True)).scans == 10


@pytest.mark.parametrize(("form", "how"), FORMS)
def test_a_header_that_is_cut_off_says_nothing(form: str, how: dict[str, object]) -> None:
    whole = saved(Image.new("RGB", (321, 123)), form, **how)
    for length in range(40):
        found = header(whole[:length])
        assert (found.width, found.height) in ((0, 0), (321, 123))
