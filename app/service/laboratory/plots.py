"""Small plots drawn with Pillow, in the house's colours: axes, lines, bands of error."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from app.service.pictures import INK, PAPER

Colour = tuple[int, int, int]
Point = tuple[float, float]

QUIET: Final = (102, 114, 124)
RULE: Final = (226, 219, 203)
SERIES: Final[tuple[Colour, ...]] = (
    *((79, 138, 116), (201, 143, 43), (47, 93, 155)),
    *((138, 111, 176), (194, 83, 59)),
)
DASHES: Final[tuple[tuple[float, ...], ...]] = ((), (7, 5), (2, 4))
"""Lily, ochre, cobalt, wisteria and poppy tell series apart; dashes what they have in common."""

WIDTH: Final = 320
HEIGHT: Final = 220
HEAD: Final = 22
LEFT, RIGHT, FOOT = 46, 10, 34
FINE: Final = 2
"""How much larger everything is drawn, and then reduced: Pillow's lines have hard edges."""


@dataclass(frozen=True)
class Axis:
    """An axis: its label with symbol and unit, and its range where that isn't the points' own."""

    label: str
    log: bool = False
    span: Point | None = None
    reverse: bool = False


@dataclass(frozen=True)
class Series:
    """A line through `points` (x, y), with `errors` of y as a band where they are known."""

    colour: Colour
    points: tuple[Point, ...]
    errors: tuple[float | None, ...] = ()
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """One plot; `y.label` stands beside the title, `x.label` under the right end."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]


class Paper:
    """A sheet that is drawn on in its own units, `scale` pixels each."""

    def __init__(self, width: float, height: float, scale: int = 2) -> None:
        self._k = scale * FINE
        size = (round(width * self._k), round(height * self._k))
        self._image = Image.new("RGB", size, PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self, at: Point, words: str, *, size: float = 12, fill: Colour = INK, anchor: str = "ls"
    ) -> float:
        """Write `words` and give their width."""
        font = ImageFont.load_default(size=size * self._k)
        self._draw.text(self._at(at), words, fill=fill, font=font, anchor=anchor)
        return float(font.getlength(words)) / self._k

    def line(
        self,
        points: Sequence[Point],
        fill: Colour,
        width: float = 1.0,
        dash: tuple[float, ...] = (),
    ) -> None:
        """Draw a line, a lone point as a dot, and nothing where there is none."""
        if len(points) == 1:
            (x, y), r = points[0], 2.0
            self._draw.ellipse([*self._at((x - r, y - r)), *self._at((x + r, y + r))], fill=fill)
        if not points:
            return
        for part in _dashed(points, dash) if dash else [points]:
            corners = [self._at(point) for point in part]
            self._draw.line(corners, fill=fill, width=round(width * self._k), joint="curve")

    def area(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(point) for point in points], fill=fill)

    def image(self) -> Image.Image:
        """What was drawn."""
        return self._image.reduce(FINE)

    def _at(self, point: Point) -> Point:
        return point[0] * self._k, point[1] * self._k


def draw_plot(paper: Paper, corner: Point, plot: Plot) -> None:
    """Draw `plot`, WIDTH x HEIGHT, with its upper left corner at `corner`."""
    left, top = corner[0] + LEFT, corner[1] + HEAD
    right, bottom = corner[0] + WIDTH - RIGHT, corner[1] + HEIGHT - FOOT
    xs, ys = _span(plot, 0), _span(plot, 1)
    ends = (right, left) if plot.x.reverse else (left, right)
    px, py = _scale(xs, ends, log=plot.x.log), _scale(ys, (bottom, top), log=plot.y.log)
    width = paper.text((corner[0], corner[1] + 12), plot.title, size=13)
    paper.text((corner[0] + width + 8, corner[1] + 12), plot.y.label, fill=QUIET)
    for tick in _ticks(ys, log=plot.y.log):
        at = py(tick)
        paper.line([(left, at), (right, at)], RULE)
        _number(paper, (left - 6, at), tick, "rm", log=plot.y.log)
    for tick in _ticks(xs, log=plot.x.log):
        _number(paper, (px(tick), bottom + 12), tick, "mm", log=plot.x.log)
    paper.line([(left, bottom), (right, bottom)], QUIET)
    paper.text((right, bottom + 30), plot.x.label, size=11, fill=QUIET, anchor="rs")

    def place(x: float, y: float) -> Point:
        low = ys[0] if plot.y.log else -math.inf
        return px(x), min(bottom, max(top, py(max(y, low))))

    for series in plot.series:
        _band(paper, series, place)
    for series in plot.series:
        shown = [place(x, y) for x, y in series.points if _shown(plot, x, y)]
        paper.line(shown, series.colour, 1.7, series.dash)


def _band(paper: Paper, series: Series, place: Callable[[float, float], Point]) -> None:
    known = [
        (x, y, error) for (x, y), error in zip(series.points, series.errors, strict=False) if error
    ]
    if len(known) > 1:
        over = [place(x, y + error) for x, y, error in known]
        under = [place(x, y - error) for x, y, error in reversed(known)]
        pale = [round(0.8 * p + 0.2 * c) for p, c in zip(PAPER, series.colour, strict=True)]
        paper.area(over + under, (pale[0], pale[1], pale[2]))


def _shown(plot: Plot, x: float, y: float) -> bool:
    return math.isfinite(y) and (y > 0 or not plot.y.log) and (x > 0 or not plot.x.log)


def _span(plot: Plot, which: int) -> Point:
    axis = (plot.x, plot.y)[which]
    if axis.span is not None:
        return axis.span
    found = [p[which] for series in plot.series for p in series.points if _shown(plot, *p)]
    if not found:
        return (0.1, 10.0) if axis.log else (0.0, 1.0)
    low, high = min(found), max(found)
    if axis.log:
        return (
            10 ** (math.floor(math.log10(low) * 2) / 2),
            10 ** (math.ceil(math.log10(high * 1.001) * 2) / 2),
        )
    low = 0.0 if 0 < low < high / 2 else low
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (low if low == 0 else low - room), high + room


def _scale(span: Point, ends: Point, *, log: bool) -> Callable[[float], float]:
    low, high = (math.log(v) for v in span) if log else span

    def at(value: float) -> float:
        share = ((math.log(value) if log else value) - low) / ((high - low) or 1)
        return ends[0] + share * (ends[1] - ends[0])

    return at


def _ticks(span: Point, *, log: bool) -> list[float]:
    low, high = span
    if log:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        every = max(1, -(-(last - first + 1) // 5))
        return [10.0**power for power in range(first, last + 1, every)]
    rough = (high - low) / 4 or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-6)
    return [i * step for i in range(first, last + 1)]


def _number(paper: Paper, at: Point, value: float, anchor: str, *, log: bool) -> None:
    words = f"1e{round(math.log10(value))}" if log else f"{value:.4g}"
    paper.text(at, words, size=11, fill=QUIET, anchor=anchor)


def _dashed(points: Sequence[Point], dash: tuple[float, ...]) -> Iterator[list[Point]]:
    """The parts of a line that a dash leaves: so long on, so long off."""
    on, off = dash
    done, part = 0.0, []
    for (x, y), (to_x, to_y) in pairwise(points):
        length, at = math.hypot(to_x - x, to_y - y), 0.0
        while length - at > 1e-6:
            place = done % (on + off)
            step = min((on if place < on else on + off) - place, length - at)
            ends = [
                (x + (to_x - x) * share, y + (to_y - y) * share)
                for share in (at / length, (at + step) / length)
            ]
            if place < on:
                part += ends
            elif part:
                yield part
                part = []
            at, done = at + step, done + step
    if part:
        yield part
