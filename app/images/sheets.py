"""Sheets of pictures: labelled contact sheets, film strips, frames side by side in one JPEG."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.images.arrays import Pixels
from app.images.encoding import enlarge
from app.images.pixels import joined, parted

PAPER: Final = (250, 247, 240)
INK: Final = (34, 48, 60)


def film_strip(pictures: Sequence[Pixels], captions: Sequence[str], side: int = 128) -> Image.Image:
    """Draw pictures (H, W, 3) in a row from left to right, a caption under each.

    The last may be larger than others by a whole factor; each gets its size.
    """
    side = max(enlarge(pictures[-1], side).size)
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


FAINT: Final = (226, 219, 204)

GRID_SIDE: Final = 96
"""The least side, in pixels, of a picture in a grid."""


def grid_sheet(
    rows: Sequence[Sequence[Pixels | None]],
    columns: Sequence[str],
    row_labels: Sequence[str],
    *,
    title: str,
) -> Image.Image:
    """Draw pictures (H, W, 3) in rows and columns, with headings over columns and row labels.

    A cell that is None, because its picture hasn't come yet, is left as a faint square. Headings
    that are wider than a picture are written smaller. Some pictures may be larger than others by a
    whole factor; each gets their size.
    """
    largest = max((cell for row in rows for cell in row if cell is not None), key=len)
    width, height = enlarge(largest, GRID_SIDE).size
    gap, letter = max(4, width // 16), max(11, width // 8)
    small, large = ImageFont.load_default(size=letter), ImageFont.load_default(size=letter * 1.3)
    margin = round(max(small.getlength(label) for label in row_labels)) + 3 * gap
    head = round(letter * 3.9) + 2 * gap
    size = (
        margin + len(columns) * (width + gap) + 2 * gap,
        head + len(rows) * (height + gap) + 2 * gap,
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((margin, 2 * gap), title, fill=INK, font=large, anchor="la")
    for column, heading in enumerate(columns):
        middle = margin + column * (width + gap) + width / 2
        fit = min(1.0, (width + gap / 2) / max(1.0, small.getlength(heading)))
        font = small if fit == 1 else ImageFont.load_default(size=letter * fit)
        draw.text((middle, head - letter), heading, fill=INK, font=font, anchor="mm")
    for row, (label, cells) in enumerate(zip(row_labels, rows, strict=True)):
        top = head + row * (height + gap)
        draw.text((margin - 1.5 * gap, top + height / 2), label, fill=INK, font=small, anchor="rm")
        for column, cell in enumerate(cells):
            left = margin + column * (width + gap)
            if cell is None:
                draw.rectangle((left, top, left + width - 1, top + height - 1), fill=FAINT)
            else:
                sheet.paste(enlarge(cell, width), (left, top))
    return sheet


def mix_label(mix: float) -> str:
    """Write a lambda as a fraction where it is one: 1/6, else three digits."""
    share = Fraction(mix).limit_denominator(64)
    return str(share) if abs(float(share) - mix) < 1e-9 else f"{mix:.3g}"


def tiled(pixels: Pixels, columns: int | None = None) -> Pixels:
    """Tile (N, H, W, C) row by row, then white; by default, as square as possible."""
    count = len(pixels)
    columns = columns or math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    cells = np.full((rows * columns, *pixels.shape[1:]), 255, np.uint8)
    cells[:count] = pixels
    return joined(cells.reshape(rows, columns, *pixels.shape[1:]))


def untiled(sheet: Pixels, count: int) -> Pixels:
    """Cut a sheet into the `count` pictures (N, H, W, C) that were `tiled`."""
    columns = math.ceil(math.sqrt(count))
    cells = parted(sheet, -(-count // columns), columns)
    return cells.reshape(-1, *cells.shape[2:])[:count]
