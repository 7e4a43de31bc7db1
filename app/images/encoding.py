"""Pictures as files: PNGs that carry their recipe, JPEGs, animations, data URIs."""

import base64
import io
import zlib
from collections.abc import Sequence
from typing import BinaryIO, Final, Literal

from PIL import Image, PngImagePlugin

from app.documents import Document
from app.errors import RecipeError
from app.images.arrays import Pixels
from app.images.headers import PNG, png_chunks

Picture = Pixels | Image.Image
AnimationFormat = Literal["gif", "webp"]

MAX_TEXT: Final = 8_000_000
"""The bytes of a PNG's text that are read: twice the longest document."""

_TEXTS: Final = (b"iTXt", b"tEXt", b"zTXt")
"""The chunks of a PNG that hold text."""


def image_of(picture: Picture) -> Image.Image:
    """Turn pixels (H, W, 3), or grey ones (H, W, 1), into Pillow's image."""
    if isinstance(picture, Image.Image):
        return picture
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def png_bytes(picture: Picture, recipe: Document | None = None, *, optimize: bool = False) -> bytes:
    """Encode a PNG file, with the recipe in its text if there is one."""
    info = None
    if recipe is not None:
        info = PngImagePlugin.PngInfo()
        info.add_text("Software", "Plein Air")
        info.add_itxt(recipe.png_key, recipe.to_json())
    buffer = io.BytesIO()
    image_of(picture).save(buffer, "png", pnginfo=info, optimize=optimize)
    return buffer.getvalue()


def jpeg_bytes(picture: Picture, quality: int = 85) -> bytes:
    """Encode a JPEG file, 4:4:4, of the pixels alone: an image's comment isn't passed on."""
    buffer = io.BytesIO()
    # Without optimize: Pillow's buffer is too small for optimised noise ("Suspension not allowed").
    image_of(picture).save(buffer, "jpeg", quality=quality, subsampling=0, comment=None)
    return buffer.getvalue()


def png_text(file: bytes | BinaryIO, key: str) -> str:
    """Read the text of a PNG file under `key` from the file's chunks; no pixel is decoded.

    Raises:
        RecipeError: If the file is no PNG, or has no such text.
    """
    hint = "Drop a PNG that was saved here; other programs may have removed its recipe."
    stream = io.BytesIO(file) if isinstance(file, bytes) else file
    stream.seek(0)
    if stream.read(len(PNG)) != PNG:
        raise RecipeError("The file is no PNG that can be read.", hint)
    start = key.encode("latin-1") + b"\0"
    for name, length in png_chunks(stream):
        left = length - len(start)
        if name in _TEXTS and left >= 0 and stream.read(len(start)) == start:
            body = stream.read(min(left, MAX_TEXT))
            try:
                return _text(name, body)
            except (ValueError, IndexError, zlib.error) as error:
                raise RecipeError("The picture's recipe is damaged.", hint) from error
    raise RecipeError("The picture has no recipe in it.", hint)


def _text(kind: bytes, body: bytes) -> str:
    """Decode what stands behind the keyword in a PNG's chunk of text of any `kind`."""
    if kind == b"tEXt":
        return body.decode("latin-1")
    if kind == b"zTXt":
        return _inflated(body[1:]).decode("latin-1")
    packed, (_, _, text) = body[0], body[2:].split(b"\0", 2)
    return (_inflated(text) if packed else text).decode()


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, MAX_TEXT)


def enlarge(pixels: Pixels, side: int) -> Image.Image:
    """Enlarge one picture (H, W, 3) smoothly to at least `side` pixels, by a whole factor."""
    image = image_of(pixels)
    factor = max(1, -(-side // max(image.size)))
    size = (image.width * factor, image.height * factor)
    return image if factor == 1 else image.resize(size, Image.Resampling.BICUBIC)


def animation(
    pictures: Sequence[Pixels], form: AnimationFormat, *, side: int = 256, seconds: float = 6.0
) -> bytes:
    """Encode pictures (H, W, 3) as an animated GIF or WebP file; the last is held for 2 s.

    The last may be larger than others by a whole factor; each gets its size.
    """
    side = max(enlarge(pictures[-1], side).size)
    frames = [enlarge(picture, side) for picture in pictures]
    if form == "gif":
        frames = [_indexed(frame) for frame in frames]
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


def _indexed(image: Image.Image) -> Image.Image:
    """Reduce to 256 colours, chosen from few pixels: a tenth of the time that all pixels take."""
    few = image.resize((64, 64), Image.Resampling.NEAREST)
    colours = few.quantize(256, Image.Quantize.MEDIANCUT)
    return image.quantize(palette=colours, dither=Image.Dither.NONE)


def data_uri(data: bytes, media_type: str) -> str:
    """Write bytes as a data-URI: `data_uri(png, "image/png")`."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def png_uri(picture: Picture) -> str:
    """Write a picture as a PNG data-URI."""
    return data_uri(png_bytes(picture), "image/png")


def jpeg_uri(picture: Picture, quality: int = 85) -> str:
    """Write a picture as a JPEG data-URI."""
    return data_uri(jpeg_bytes(picture, quality), "image/jpeg")
