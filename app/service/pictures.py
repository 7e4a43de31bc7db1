"""From tensors to pictures: pixels, PNGs that carry their recipe, film strips, animations."""

import io
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from app.errors import RecipeError
from app.service.recipe import Document, Recipe

Pixels = NDArray[np.uint8]
AnimationFormat = Literal["gif", "webp"]

MAX_PNG_BYTES: Final = 20_000_000
MAX_PNG_PIXELS: Final = 16_000_000

NOISE_RANGE: Final = 3.0
"""Noise is shown from -3 to 3 standard deviations."""

PAPER: Final = (250, 247, 240)
INK: Final = (34, 48, 60)


def picture_pixels(x: Tensor) -> Pixels:
    """A picture (B, C, H, W) in [-1, 1] as (B, H, W, 3) uint8; what lies outside is clipped."""
    scaled = ((x / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    rgb = scaled.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()
    return np.asarray(rgb, dtype=np.uint8)


def noise_pixels(eps: Tensor) -> Pixels:
    """Noise (B, C, H, W) of unit variance as (B, H, W, 3) uint8, grey at 0."""
    return picture_pixels(eps / NOISE_RANGE)


def png_bytes(image: Image.Image, recipe: Document) -> bytes:
    """A PNG file with the recipe in its text."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Plein Air")
    info.add_itxt(recipe.png_key, recipe.to_json())
    buffer = io.BytesIO()
    image.save(buffer, "png", pnginfo=info)
    return buffer.getvalue()


def read_recipe(data: bytes) -> Recipe:
    """The recipe in a PNG file's text.

    Raises:
        RecipeError: If the file is no PNG, is too large, or has no usable recipe in it.
    """
    return Recipe.from_json(png_text(data, Recipe.png_key))


def png_text(data: bytes, key: str) -> str:
    """What a PNG file's text says under `key`.

    Raises:
        RecipeError: If the file is no PNG, is too large, or says nothing there.
    """
    hint = "Drop a PNG that was saved here; other programs may have removed its recipe."
    if len(data) > MAX_PNG_BYTES:
        raise RecipeError(f"The file has {len(data) / 1e6:.0f} MB.", hint)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MAX_PNG_PIXELS:
                raise RecipeError(f"The picture is {image.width} x {image.height} pixels.", hint)
            text = image.info.get(key)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise RecipeError("The file is no PNG that can be read.", hint) from error
    except Image.DecompressionBombError as error:
        raise RecipeError("The picture has too many pixels.", hint) from error
    if not isinstance(text, str):
        raise RecipeError("The picture has no recipe in it.", hint)
    return text


def enlarge(pixels: Pixels, side: int) -> Image.Image:
    """One picture (H, W, 3), smoothly enlarged to at least `side` pixels, by a whole factor."""
    image = Image.fromarray(pixels)
    factor = max(1, -(-side // max(image.size)))
    size = (image.width * factor, image.height * factor)
    return image if factor == 1 else image.resize(size, Image.Resampling.BICUBIC)


def film_strip(pictures: Sequence[Pixels], captions: Sequence[str], side: int = 128) -> Image.Image:
    """Pictures (H, W, 3) in a row from left to right, a caption under each."""
    tiles = [enlarge(picture, side) for picture in pictures]
    width, height = tiles[0].size
    gap, foot = max(4, width // 16), max(24, width // 5)
    size = (gap + len(tiles) * (width + gap), gap + height + foot)
    strip = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(size=foot * 0.55)
    for column, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left = gap + column * (width + gap)
        strip.paste(tile, (left, gap))
        middle = (left + width / 2, gap + height + foot / 2)
        draw.text(middle, caption, fill=INK, font=font, anchor="mm")
    return strip


def animation(
    pictures: Sequence[Pixels], form: AnimationFormat, *, side: int = 256, seconds: float = 6.0
) -> bytes:
    """Pictures (H, W, 3) one after the other, the last held for 2 s; a GIF or a WebP file."""
    frames = [enlarge(picture, side) for picture in pictures]
    # GIF counts in hundredths of a second, and browsers slow down anything under two of them.
    each = max(20, round(seconds * 100 / len(frames)) * 10)
    durations = [each] * (len(frames) - 1) + [2000]
    buffer = io.BytesIO()
    options = {"quality": 85, "method": 4} if form == "webp" else {"optimize": True}
    frames[0].save(
        buffer,
        form,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        **options,
    )
    return buffer.getvalue()


def evenly_spaced(count: int, total: int) -> tuple[int, ...]:
    """`count` of the indices [0, total), first and last among them; all where there are fewer."""
    if total <= count:
        return tuple(range(total))
    return tuple(round(i * (total - 1) / (count - 1)) for i in range(count))
