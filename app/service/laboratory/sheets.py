"""Labelled sheets of pictures, in the house's paper and ink."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from app.service.pictures import INK, PAPER, Pixels, enlarge

FAINT: Final = (226, 219, 204)


def grid_sheet(
    rows: Sequence[Sequence[Pixels | None]],
    columns: Sequence[str],
    row_labels: Sequence[str],
    *,
    title: str,
    side: int = 96,
) -> Image.Image:
    """Pictures (H, W, 3) in rows and columns, a heading over each column, a label before each row.

    A cell that is None, because its picture hasn't come yet, is left as a faint square.
    """
    shape = next(cell for row in rows for cell in row if cell is not None)
    width, height = enlarge(shape, side).size
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
        draw.text((middle, head - letter), heading, fill=INK, font=small, anchor="mm")
    for row, (label, cells) in enumerate(zip(row_labels, rows, strict=True)):
        top = head + row * (height + gap)
        draw.text((margin - 1.5 * gap, top + height / 2), label, fill=INK, font=small, anchor="rm")
        for column, cell in enumerate(cells):
            left = margin + column * (width + gap)
            if cell is None:
                draw.rectangle((left, top, left + width - 1, top + height - 1), fill=FAINT)
            else:
                sheet.paste(enlarge(cell, side), (left, top))
    return sheet


def mix_label(mix: float, limit: int = 64) -> str:
    """A lambda as a fraction where it is one: 1/6, else three digits."""
    share = Fraction(mix).limit_denominator(limit)
    return str(share) if abs(float(share) - mix) < 1e-9 else f"{mix:.3g}"
