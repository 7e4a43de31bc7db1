"""Reading a person's picture: what is no picture is refused before it can cost anything.

A picture comes as bytes or an open file, never as a path or an address that somebody wrote.
"""

import io
from typing import BinaryIO, Final, Literal, get_args

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from app.errors import PictureError
from app.training.dataset import UNREADABLE

Fit = Literal["crop", "squash"]
FITS: Final[tuple[Fit, ...]] = get_args(Fit)

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_BYTES: Final = 30_000_000
MAX_SIDE: Final = 20_000
MAX_PIXELS: Final = 50_000_000


def read_picture(file: bytes | BinaryIO, max_side: int = MAX_SIDE) -> Image.Image:
    """A picture as RGB, upright, what is transparent laid on white.

    Args:
        file: A PNG, JPEG, WebP, GIF, BMP or TIFF of one picture.
        max_side: The most pixels it may be wide or high.

    Raises:
        PictureError: If it is no such picture, moves, is too large, or is damaged.
    """
    data = file if isinstance(file, bytes) else file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise PictureError(
            f"The file has more than {MAX_BYTES // 1_000_000} MB.", "Save the picture smaller."
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check(image, max_side)
            image.load()
            return _rgb(_upright(image))
    except UnidentifiedImageError as error:
        raise PictureError(
            "The file is no picture that can be read.", "Use a PNG, JPEG, WebP, GIF, BMP or TIFF."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError("The picture has too many pixels.", "Save it smaller.") from error
    except UNREADABLE as error:
        raise PictureError(
            "The picture is damaged or incomplete.", "Open and save it again, or use another."
        ) from error


def square(image: Image.Image, size: int, how: Fit = "crop") -> Image.Image:
    """`image` as `size` x `size` pixels: its middle ("crop") or all of it, distorted ("squash").

    Raises:
        PictureError: If `how` is neither.
    """
    match how:
        case "crop":
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            box = (left, top, left + side, top + side)
        case "squash":
            box = (0, 0, image.width, image.height)
        case _:
            raise PictureError(f"There is no way {how!r} to square.", "Choose crop or squash.")
    return image.resize((size, size), Image.Resampling.LANCZOS, box)


def _check(image: Image.Image, max_side: int) -> None:
    """Refuse by what the header says, before a pixel is decoded."""
    width, height = image.size
    if max(width, height) > max_side or width * height > MAX_PIXELS:
        raise PictureError(
            f"The picture is {width:,} x {height:,} pixels.",
            f"Save it smaller: at most {max_side:,} a side and {MAX_PIXELS // 1_000_000} million.",
        )
    # An MPO is a photograph with a second view or a depth map behind it; the first is meant.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise PictureError("The file has more than one picture.", "Save one of them by itself.")
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise PictureError(
            "The picture's values have no known range.", "Save it with 8 or 16 bits a channel."
        )


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        sixteen = np.asarray(image).astype(np.float64)
        return Image.fromarray((sixteen / 257).round().astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")
