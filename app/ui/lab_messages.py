"""What is said to the laboratories' instruments; assets/lab_*.js reads it.

Timesteps are the paper's.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from PIL import Image

from app.service.laboratory.forward import ForwardMaterial
from app.service.laboratory.schedules import ScheduleCurves
from app.ui.messages import Message
from app.ui.sheets import Pixels, data_uri

MAX_LINES: Final = 150
"""Points of a schedule's curve: a plot is 300 pixels wide."""


@dataclass(frozen=True)
class Thumb:
    """A picture to choose, and what it is called."""

    src: str
    name: str


@dataclass(frozen=True)
class Pictures(Message):
    """A picker's pictures and which are chosen: one, a pair (A, B), or many in their order.

    `key` names the choice; `slot` is the one of a pair that the next picture replaces.
    """

    kind: ClassVar[str] = "pictures"
    mode: str
    pictures: tuple[Thumb, ...]
    chosen: tuple[int, ...]
    key: str
    slot: int = 0


@dataclass(frozen=True)
class Material(Message):
    """Enough to draw x_t at every t: x_0 as a PNG, eps as float16, alpha_bar from 0 to T."""

    kind: ClassVar[str] = "material"
    src: str
    eps: str
    alpha_bar: tuple[float, ...]

    @classmethod
    def of(cls, material: ForwardMaterial) -> "Material":
        """As a page takes it."""
        return cls(
            src=png_uri(material.pixels),
            eps=base64.b64encode(material.eps.astype("<f2").tobytes()).decode(),
            alpha_bar=tuple(float(f"{value:.6g}") for value in material.alpha_bar),
        )


@dataclass(frozen=True)
class Curves:
    """One schedule's curves, and L_T of the picture under it."""

    label: str
    t: tuple[int, ...]
    beta: tuple[float, ...]
    alpha_bar: tuple[float, ...]
    log_snr: tuple[float, ...]
    prior_bpd: float


@dataclass(frozen=True)
class Schedules(Message):
    """Schedules side by side."""

    kind: ClassVar[str] = "schedules"
    curves: tuple[Curves, ...]

    @classmethod
    def of(cls, found: Sequence[ScheduleCurves]) -> "Schedules":
        """Thinned to what a plot can show."""
        return cls(tuple(_thinned(curves) for curves in found))


def _thinned(curves: ScheduleCurves) -> Curves:
    last = len(curves.t) - 1
    at = sorted({round(i * last / (MAX_LINES - 1)) for i in range(MAX_LINES)})

    def some(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(f"{values[i]:.5g}") for i in at)

    return Curves(
        label=curves.label,
        t=tuple(curves.t[i] for i in at),
        beta=some(curves.beta),
        alpha_bar=some(curves.alpha_bar),
        log_snr=some(curves.log_snr),
        prior_bpd=curves.prior_bpd,
    )


@dataclass(frozen=True)
class Empty(Message):
    """A plate without its pictures yet; captions are HTML written here."""

    kind: ClassVar[str] = "empty"
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Plate(Message):
    """A few pictures in a row on one sheet, a caption under each, and a table.

    Attributes:
        about: What a test or a screen reader knows it by.
        sheet: The pictures from left to right, a PNG.
        tile: A picture's width and height.
        captions: HTML, written by this program and by nobody else.
        table: Its head and its rows, HTML likewise.
    """

    kind: ClassVar[str] = "plate"
    about: str
    sheet: str
    tile: tuple[int, int]
    captions: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]


def plate(
    about: str,
    pictures: Sequence[Pixels],
    captions: Sequence[str],
    table: Sequence[Sequence[str]],
) -> Plate:
    """A Plate of pictures (H, W, 3)."""
    height, width = pictures[0].shape[:2]
    return Plate(
        about=about,
        sheet=png_uri(np.concatenate(list(pictures), axis=1)),
        tile=(width, height),
        captions=tuple(captions),
        table=tuple(tuple(row) for row in table),
    )


def png_uri(pixels: Pixels) -> str:
    """A picture (H, W, 3) as a PNG data-URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return data_uri(buffer.getvalue(), "image/png")


def jpeg_uri(pixels: Pixels, quality: int = 85) -> str:
    """A picture (H, W, 3) as a JPEG data-URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=quality, subsampling=0)
    return data_uri(buffer.getvalue(), "image/jpeg")
