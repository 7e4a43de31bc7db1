"""A person's picture: read rightly, or refused with a reason before it costs anything."""

import io
import struct
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import PictureError
from app.images.headers import SCAN
from app.images.reading import (
    FITS,
    FORMATS,
    MAX_BYTES,
    MAX_SCANS,
    Fit,
    Treatment,
    begins_as_picture,
    decode,
    read_picture,
    square,
)


def saved(image: Image.Image, form: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def halves(left: int, right: int, size: tuple[int, int] = (8, 4)) -> Image.Image:
    image = Image.new("RGB", size, (left,) * 3)
    image.paste((right,) * 3, (size[0] // 2, 0, *size))
    return image


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG's chunk."""
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def png(
    size: tuple[int, int], bits: int, colours: int, data: bytes, transparent: bytes = b""
) -> bytes:
    """A PNG of one row, written by hand: `colours` is 0 for grey and 2 for RGB."""
    body = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colours, 0, 0, 0))
    body += chunk(b"tRNS", transparent) if transparent else b""
    body += chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def declared(width: int, height: int) -> bytes:
    """A tiny PNG whose header promises `width` x `height` pixels."""
    return png((width, height), 8, 2, b"")


def scanned(times: int) -> bytes:
    """A progressive JPEG that goes over its pixels so many times."""
    whole = saved(Image.effect_noise((64, 64), 80), "jpeg", progressive=True)
    parts = whole[:-2].split(SCAN)
    return SCAN.join([*parts, *parts[-1:] * (times + 1 - len(parts))]) + whole[-2:]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "bmp", "tiff", "gif"])
def test_common_formats_are_read(form: str) -> None:
    image = read_picture(saved(halves(40, 200), form))
    assert image.mode == "RGB"
    assert image.size == (8, 4)
    assert np.asarray(image)[0, 0, 0] == pytest.approx(40, abs=4)


def test_a_picture_is_known_by_its_beginning() -> None:
    for form in FORMATS:
        assert begins_as_picture(saved(halves(0, 255), form)[:16]), form
    for other in (b"", b"PK\x03\x04", b"a caption", b"RIFF1234WAVEfmt ", b"%PDF-1.4"):
        assert not begins_as_picture(other)


def test_a_jpeg_may_go_over_its_pixels_as_often_as_programs_write() -> None:
    assert read_picture(scanned(MAX_SCANS)).size == (64, 64)


def test_an_open_file_is_read_like_its_bytes() -> None:
    data = saved(halves(0, 255))
    assert read_picture(io.BytesIO(data)).tobytes() == read_picture(data).tobytes()


def test_what_is_transparent_is_laid_on_white() -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    assert np.asarray(read_picture(saved(image)))[0, :, 0].tolist() == [255, 127]


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((1, 0), 1)
    pixels = np.asarray(read_picture(saved(image, transparency=0)))
    assert pixels[0].tolist() == [[255, 255, 255], [10, 20, 30]]


def test_cmyk_becomes_rgb() -> None:
    data = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpeg", quality=100)
    red, green, blue = np.asarray(read_picture(data))[4, 4]
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_clipped(form: str) -> None:
    values = np.array([[0, 257 * 40, 65535]], np.uint16)
    pixels = np.asarray(read_picture(saved(Image.fromarray(values), form)))
    assert pixels[0, :, 0].tolist() == [0, 40, 255]


def test_a_photograph_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to show
    upright = read_picture(saved(halves(0, 255), "jpeg", exif=exif, quality=100))
    assert upright.size == (4, 8)
    pixels = np.asarray(upright)
    assert pixels[0, 0, 0] < 30
    assert pixels[7, 3, 0] > 225


FORMS = ("png", "jpeg", "tiff", "gif", "bmp", "webp")
MODES = ("L", "P", "RGB", "RGBA", "I;16")
NO_FILES = {("jpeg", "P"), ("jpeg", "RGBA"), ("jpeg", "I;16"), ("bmp", "I;16")}


@pytest.mark.parametrize(
    ("form", "mode"), [it for it in product(FORMS, MODES) if it not in NO_FILES]
)
def test_a_folder_shows_what_an_upload_shows(form: str, mode: str, tmp_path: Path) -> None:
    image = Image.effect_noise((21, 12), 90)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 250)
    elif mode == "RGBA":
        image = Image.merge("RGBA", [image, image, image, image.rotate(180)])
    else:
        image = image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(image, form, exif=exif)
    (tmp_path / "a").write_bytes(data)
    for fit in FITS:
        decoded = decode(tmp_path / "a", Treatment((12,), 3, fit, 12))
        assert not isinstance(decoded, str), decoded
        (ours,) = decoded
        assert np.array_equal(ours, np.asarray(square(read_picture(data), 12, fit)))


def test_one_pixel_fills_the_square() -> None:
    image = square(read_picture(saved(Image.new("RGB", (1, 1), (9, 99, 199)))), 16)
    assert image.size == (16, 16)
    assert np.unique(np.asarray(image).reshape(-1, 3), axis=0).tolist() == [[9, 99, 199]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
        (b"%PDF-1.4", "no picture"),
        (b"/etc/passwd", "no picture"),
        (saved(Image.effect_noise((64, 64), 80))[:900], "damaged"),
        (saved(Image.effect_noise((64, 64), 80), "jpeg")[:900], "damaged"),
        (declared(30_000, 1), "30,000 x 1 pixels"),
        (declared(9_000, 9_000), "9,000 x 9,000 pixels"),
        (declared(60_000, 60_000), "60,000 x 60,000 pixels"),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "tiff"), "no known range"),
        (b"\x89PNG" + bytes(MAX_BYTES), "30 MB"),
        (scanned(MAX_SCANS + 1), f"over its pixels {MAX_SCANS + 1} times"),
    ],
    ids=range(12),
)
def test_what_cannot_be_used_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        read_picture(data)


@pytest.mark.parametrize("form", ["gif", "webp", "png", "tiff"])
def test_moving_pictures_and_many_pages_are_refused(form: str) -> None:
    frames = [halves(0, 255), halves(255, 0)]
    with pytest.raises(PictureError, match="more than one"):
        read_picture(saved(frames[0], form, save_all=True, append_images=frames[1:]))


def test_of_a_photograph_with_a_second_view_the_first_is_read() -> None:
    views = [halves(255, 255), halves(0, 0)]
    data = saved(views[0], "mpo", save_all=True, append_images=views[1:])
    assert np.asarray(read_picture(data)).min() > 250


def test_an_endless_file_is_read_no_further_than_the_limit() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            self.taken += size
            return bytes(size)

    file = Endless()
    with pytest.raises(PictureError, match="30 MB"):
        read_picture(file)  # type: ignore[arg-type]
    assert file.taken == MAX_BYTES + 1


@pytest.mark.parametrize(("how", "edges"), [("crop", (100, 100)), ("squash", (0, 200))])
def test_crop_keeps_the_middle_and_squash_keeps_all(how: Fit, edges: tuple[int, int]) -> None:
    image = Image.new("RGB", (40, 20), (100, 100, 100))
    image.paste((0, 0, 0), (0, 0, 10, 20))
    image.paste((200, 200, 200), (30, 0, 40, 20))
    row = np.asarray(square(image, 20, how))[10, :, 0]
    assert (row[0], row[-1]) == pytest.approx(edges, abs=12)


def test_an_unknown_way_to_square_is_refused() -> None:
    with pytest.raises(PictureError, match="stretch"):
        square(halves(0, 1), 8, "stretch")  # type: ignore[arg-type]
