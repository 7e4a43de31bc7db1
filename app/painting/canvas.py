"""The picture that a recipe holds, to be painted over or in part anew: as text, and as tensors."""

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from app.diffusion.cascade import RATIO
from app.diffusion.inpainting import KnownPart
from app.errors import PictureError
from app.images.encoding import image_of, png_bytes
from app.images.pixels import to_unit
from app.images.reader import READERS
from app.images.reading import square
from app.models.files import ModelInfo
from app.painting.recipe import MAX_SOURCE, Recipe

MAX_SOURCE_SIDE: Final = 1024

UPLOAD_SIDE: Final = 256
"""The largest side, in pixels, at which an upload is kept; a laboratory fits it to its model."""

FEATHER: Final = 1
"""The pixels inside a mask's edge, at a model's side, that are mixed with the picture."""

SOFTENED: Final = 1.0
"""The radius in pixels, at a model's side, by which a sketch is softened."""

WHITE: Final = 128

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Canvas:
    """What a run starts from.

    Attributes:
        x_0: The picture, (1, C, h, w) in [-1, 1], at the model's side.
        known: What of it is kept; None without a mask.
        large: The same at four times that side, where the source has it.
    """

    x_0: Tensor
    known: KnownPart | None = None
    large: KnownPart | None = None

    @classmethod
    def of(cls, recipe: Recipe, info: ModelInfo) -> Self | None:
        """Read what `recipe` and the runs before it start from; None where that is noise.

        Raises:
            PictureError: If the source or the mask is no picture, of a size that doesn't fit, or
                the mask leaves nothing to paint, or nothing to keep.
        """
        root = recipe.root
        if root.source is None:
            return None
        image, mask = _read(root.source, root.mask)
        if image.width not in (info.size, RATIO * info.size):
            raise PictureError(
                f"The source has {image.width} pixels a side, and {info.id} paints {info.size}.",
                f"Bring it to {info.size} pixels, or to {RATIO * info.size} for a second stage.",
            )
        x_0 = _unit(square(image, info.size), info)
        if mask is None:
            return cls(x_0)
        hole = torch.from_numpy(mask)[None, None]
        if image.width == info.size:
            return cls(x_0, KnownPart.outside(x_0, hole, FEATHER))
        # A small pixel is kept where all of the large ones under it are.
        small = F.max_pool2d(hole.float(), RATIO).bool()
        large = KnownPart.outside(_unit(image, info), hole, RATIO * FEATHER)
        return cls(x_0, KnownPart.outside(x_0, small, FEATHER), large)


def side_of(info: ModelInfo, *, large: bool = False, masked: bool = False) -> int:
    """Return the side in pixels at which a recipe holds its picture.

    That is the model's, or four times that where a part of a `large` picture is painted anew.

    Raises:
        PictureError: If that is more than a recipe can hold.
    """
    side = info.size * (RATIO if large and masked else 1)
    if side > UPLOAD_SIDE:
        raise PictureError(
            f"A recipe holds pictures of up to {UPLOAD_SIDE} pixels, and this one needs {side:,}.",
            "Start from noise, or choose a smaller model.",
        )
    return side


def held(
    picture: Image.Image, mask: Image.Image | None, info: ModelInfo, *, sketch: bool = False
) -> dict[str, str | None]:
    """Return the fields by which a recipe holds a square `picture`, and a `mask` of its size.

    Raises:
        PictureError: If the picture is a `sketch` and blank, or the mask can't be used.
    """
    drawn = softened(picture, info) if sketch else picture
    return {"source": encoded(drawn), "mask": None if mask is None else encoded_mask(mask)}


def check_same_size(picture: tuple[int, int], mask: tuple[int, int]) -> None:
    """Check that a mask is as large as the picture that it is for, width and height.

    Raises:
        PictureError: If it isn't.
    """
    if picture != mask:
        raise PictureError(
            f"The mask has {mask[0]:,} x {mask[1]:,} pixels, its picture "
            f"{picture[0]:,} x {picture[1]:,}.",
            "Draw the mask at the picture's size.",
        )


def encoded(image: Image.Image) -> str:
    """Encode a square RGB picture as the text that travels in a recipe.

    Raises:
        PictureError: If `image` isn't square, or has too many pixels to travel in a recipe.
    """
    if image.width != image.height:
        raise PictureError("The picture isn't square.", "Crop or squash it first.")
    text = base64.b64encode(png_bytes(image.convert("RGB"), optimize=True)).decode()
    if len(text) > MAX_SOURCE:
        raise PictureError(
            f"The picture of {image.width} x {image.height} pixels is too large.",
            "Square it to at most 256 x 256.",
        )
    return text


def encoded_mask(image: Image.Image) -> str:
    """Encode a mask, white where a picture is painted anew, as the text that travels in a recipe.

    Raises:
        PictureError: If it leaves nothing to paint, or nothing to keep.
    """
    white = _white(image)
    _check_mask(white)
    return base64.b64encode(png_bytes(Image.fromarray(white), optimize=True)).decode()


def decoded(text: str) -> Image.Image:
    """Decode a source's pixels from the text that travels in a recipe.

    Raises:
        PictureError: If the pixels are damaged, or not square.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise PictureError("A source's pixels are damaged.", "Upload the picture again.") from error
    image = READERS.whole(data, MAX_SOURCE_SIDE)
    if image.width != image.height:
        raise PictureError("A source isn't square.", "Crop or squash the picture first.")
    return image


def surrounded(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Make room around a square `picture`, which becomes three quarters as large.

    Returns:
        canvas: As large as the picture was, the picture in its middle, its edge drawn out.
        mask: White where the room is.
    """
    side = picture.width
    small = square(picture.convert("RGB"), 3 * side // 4)
    before = (side - small.width) // 2
    rim = (before, side - small.width - before)
    canvas = np.pad(np.asarray(small), (rim, rim, (0, 0)), mode="edge")
    inside = np.zeros((small.width, small.width), bool)
    return image_of(canvas), Image.fromarray(np.pad(inside, rim, constant_values=True))


def softened(sketch: Image.Image, info: ModelInfo) -> Image.Image:
    """Soften the flat strokes of a square `sketch`, which are far from any painting's.

    Raises:
        PictureError: If the sketch is blank.
    """
    if not np.asarray(sketch.convert("RGB")).std((0, 1)).any():
        raise PictureError("The sketch is blank.", "Draw something first: a few strokes will do.")
    return sketch.filter(ImageFilter.GaussianBlur(SOFTENED * sketch.width / info.size))


@lru_cache(maxsize=4)
def _read(source: str, mask: str | None) -> tuple[Image.Image, Mask | None]:
    image = decoded(source)
    if mask is None:
        return image, None
    drawn = decoded(mask)
    check_same_size(image.size, drawn.size)
    white = _white(drawn)
    _check_mask(white)
    return image, white


def _unit(image: Image.Image, info: ModelInfo) -> Tensor:
    seen = image.convert("L").convert("RGB") if info.channels == 1 else image
    return to_unit(np.asarray(seen)[None], info.channels)


def _white(mask: Image.Image) -> Mask:
    return np.asarray(mask.convert("L")) >= WHITE


def _check_mask(white: Mask) -> None:
    if not white.any():
        raise PictureError(
            "The mask is empty: nothing would be painted anew.", "Draw over the part to change."
        )
    if white.all():
        raise PictureError(
            "The mask covers everything: nothing would be kept.",
            "Leave a part of the picture free, or start from the picture without a mask.",
        )
