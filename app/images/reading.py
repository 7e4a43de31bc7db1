"""Reading pictures: a file that is no picture, or too large, is refused before it is decoded.

A stranger's picture comes as bytes or an open file, never as a path or an address that somebody
wrote, and is decoded in a process of its own (`reader`). A folder to train on is one's own: its
limits are wider, and a moving picture's first frame is taken. Both become the same pixels: upright
RGB, on white where they are transparent.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, get_args

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from app.errors import PictureError
from app.images.arrays import Pixels
from app.images.colours import Encoding, has_known_range
from app.images.headers import BEGINNING, PictureHeader

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
TRAINING_FORMATS: Final = (*FORMATS, "PPM")
MAX_BYTES: Final = 30_000_000
MAX_SIDE: Final = 20_000
MAX_PIXELS: Final = 50_000_000
MAX_TRAINING_PIXELS: Final = 64_000_000
"""A picture of more is refused before it is decoded; MAX_BYTES and MAX_SIDE are for strangers'."""

MAX_SCANS: Final = 100
"""Each scan of a progressive JPEG goes over all of its pixels; programs write about ten."""

UNREADABLE: Final = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow is known to raise on damaged files."""

Fit = Literal["crop", "squash"]
FITS: Final[tuple[Fit, ...]] = get_args(Fit)


@dataclass(frozen=True)
class Treatment:
    """How pictures are made into arrays.

    Attributes:
        sizes: The sides that are needed, ascending.
        channels: 1 (grey) or 3.
        fit: How a picture becomes square.
        min_side: A picture whose shorter side has fewer pixels is skipped.
    """

    sizes: tuple[int, ...]
    channels: int
    fit: Fit
    min_side: int


def decode(path: Path, treatment: Treatment) -> list[Pixels] | str:
    """Read the picture at each size, (S, S, C) uint8; or say in words why it can't be used."""

    def check(image: Image.Image) -> None:
        pixels = f"it has {image.width} x {image.height} pixels"
        if image.width * image.height > MAX_TRAINING_PIXELS:
            raise PictureError(f"{pixels}, more than {MAX_TRAINING_PIXELS:,}", "")
        if min(image.size) < treatment.min_side:
            raise PictureError(f"{pixels}, fewer than {treatment.min_side} a side", "")
        if not has_known_range(image):
            words = "its pixels are numbers of 32 bits, whose black and white nobody knows"
            raise PictureError(words, "")
        # A JPEG of twice the size needed or more is cheaper to decode in part.
        image.draft(None, (2 * treatment.sizes[-1],) * 2)

    try:
        # Given a path, Pillow would map a raw TIFF into memory, and get a rotated one wrong.
        with path.open("rb") as file:
            image = _read(file, TRAINING_FORMATS, check)
    except PictureError as refused:
        return refused.message
    except UNREADABLE as error:
        return f"it can't be read ({str(error).splitlines()[0] if str(error) else type(error)})"
    if treatment.channels == 1:
        image = image.convert("L")
    squares = (square(image, size, treatment.fit) for size in treatment.sizes)
    return [np.asarray(each).reshape(*each.size, -1) for each in squares]


def begins_as_picture(head: bytes | bytearray) -> bool:
    """Tell whether a file that begins with `head` may be a picture of one of the FORMATS."""
    return BEGINNING.match(head) is not None


def read_picture(
    file: bytes | BinaryIO, max_side: int = MAX_SIDE, needed_side: int | None = None
) -> Image.Image:
    """Read a picture as upright sRGB, laid on white where it is transparent.

    Args:
        file: A PNG, JPEG, WebP, GIF, BMP or TIFF of one picture.
        max_side: The most pixels it may be wide or high.
        needed_side: The pixels a side that are needed of it; a JPEG of twice as many or more is
            decoded in part, which is cheaper. None is all of them.

    Raises:
        PictureError: If it is no such picture, moves, is too large, or is damaged.
    """
    data = file if isinstance(file, bytes) else file.read(MAX_BYTES + 1)
    check_header(io.BytesIO(data), max_side)

    def check(image: Image.Image) -> None:
        _check(image, max_side)
        if needed_side is not None:
            image.draft(None, (2 * needed_side,) * 2)

    try:
        return _read(io.BytesIO(data), FORMATS, check)
    except UnidentifiedImageError as error:
        raise _no_picture() from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError("The picture has too many pixels.", "Save it smaller.") from error
    except UNREADABLE as error:
        raise PictureError(
            "The picture is damaged or incomplete.", "Open and save it again, or use another."
        ) from error


def check_header(file: BinaryIO, max_side: int = MAX_SIDE) -> None:
    """Refuse a picture by the size of its file and what its header says; nothing is decoded.

    Raises:
        PictureError: If it is too large, moves, or is none that can be read.
    """
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise PictureError(
            f"The file has more than {MAX_BYTES // 1_000_000} MB.", "Save the picture smaller."
        )
    file.seek(0)
    if not begins_as_picture(file.read(16)):
        raise _no_picture()
    header = PictureHeader.of(file)
    _check_size(header.width, header.height, max_side)
    if header.moves:
        raise _more_than_one()
    if header.scans > MAX_SCANS:
        raise PictureError(
            f"The JPEG goes over its pixels {header.scans:,} times.", "Save it as a plain JPEG."
        )


def square(image: Image.Image, size: int, how: Fit = "crop") -> Image.Image:
    """Make `image` `size` x `size` pixels: its middle ("crop") or all, distorted ("squash").

    Raises:
        PictureError: If `how` is neither.
    """
    if how not in FITS:
        raise PictureError(f"There is no way {how!r} to square.", "Choose crop or squash.")
    if how == "crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def resized(pictures: Pixels, side: int) -> Pixels:
    """Bring `pictures` (N, S, S, 3) to (N, `side`, `side`, 3) by Pillow's Lanczos filter."""
    return np.stack([np.asarray(square(Image.fromarray(one), side, "squash")) for one in pictures])


def _check(image: Image.Image, max_side: int) -> None:
    """Refuse a picture by its header, before a pixel is decoded."""
    _check_size(*image.size, max_side)
    # An MPO is a photograph with a second view or a depth map behind it; the first is meant.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise _more_than_one()
    if not has_known_range(image):
        raise PictureError(
            "The picture's values have no known range.", "Save it with 8 or 16 bits a channel."
        )


def _check_size(width: int, height: int, max_side: int) -> None:
    if max(width, height) > max_side or width * height > MAX_PIXELS:
        raise PictureError(
            f"The picture is {width:,} x {height:,} pixels.",
            f"Save it smaller: at most {max_side:,} a side and {MAX_PIXELS // 1_000_000} million.",
        )


def _no_picture() -> PictureError:
    return PictureError(
        "The file is no picture that can be read.", "Use a PNG, JPEG, WebP, GIF, BMP or TIFF."
    )


def _more_than_one() -> PictureError:
    return PictureError("The file has more than one picture.", "Save one of them by itself.")


def own_picture(path: Path) -> Image.Image:
    """Read a picture that the studio itself wrote, as RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def _read(
    file: BinaryIO, formats: tuple[str, ...], check: Callable[[Image.Image], None]
) -> Image.Image:
    """Read a picture as upright sRGB, decoded once `check` has let its header pass."""
    with Image.open(file, formats=formats) as image:
        check(image)
        encoding = Encoding.of(image)
        image.load()  # which turns a TIFF upright
        return encoding.to_srgb(ImageOps.exif_transpose(image))
