"""Grids and morphs while they are painted, told to the page a few times a second."""

import time
from collections.abc import Callable, Generator, Iterator
from typing import Final
from uuid import uuid4

from app.service.laboratory.experiments import Grid, Morph, SeedMorph
from app.service.laboratory.mix import MixLab
from app.service.laboratory.mixtures import (
    Estimate,
    GridMoment,
    GridResult,
    MorphMoment,
    MorphResult,
)
from app.service.moments import Retrace
from app.ui.messages import Message
from app.ui.mix_messages import Finish, GridRow, MorphPart, grid_start, morph_start, row_sheet
from app.ui.stream import failure

YIELD_SECONDS: Final = 1 / 5

GridTold = tuple[Message, GridResult | None]
MorphTold = tuple[Message, MorphResult | None]


def tell_grid(lab: MixLab, wish: Callable[[], Grid]) -> Generator[GridTold, None, None]:
    """Paint a grid: its boxes, its rows as they come, its end; and what there is of it so far."""
    try:
        grid = lab.complete(wish())
        words = estimate_words(lab.estimate(grid), len(grid.rows) * len(grid.mixes))
        yield from _grid(lab, grid, words)
    except Exception as error:
        yield failure(error), None


def _grid(lab: MixLab, grid: Grid, words: str) -> Iterator[GridTold]:
    run, result, due = uuid4().hex, None, 0.0
    began = time.monotonic()
    for item in lab.paint_grid(grid):
        match item:
            case GridResult() if result is None:
                result = item
                yield grid_start(run, result, words), result
            case GridResult():
                result = item
            case GridMoment() if item.finished or time.monotonic() >= due:
                src = row_sheet(item.pictures, finished=item.finished)
                said = _left(item.step, item.steps, began, f"t = {item.t}")
                yield GridRow(run, item.row, src, item.finished, said), result
                due = time.monotonic() + YIELD_SECONDS
    yield Finish(run, _done(grid.run.sampler, began)), result


def tell_morph(
    lab: MixLab, wish: Callable[[], Morph | SeedMorph]
) -> Generator[MorphTold, None, None]:
    """Paint a morph: its boxes, its frames as they come, its end; and what there is so far."""
    try:
        morph = lab.complete(wish())
        words = estimate_words(lab.estimate(morph), morph.frames)
        yield from _morph(lab, morph, words)
    except Exception as error:
        yield failure(error), None


def _morph(lab: MixLab, morph: Morph | SeedMorph, words: str) -> Iterator[MorphTold]:
    run, result, started, due = uuid4().hex, None, False, 0.0
    began = time.monotonic()
    for item in lab.paint_morph(morph):
        match item:
            case MorphResult():
                result = item
            case MorphMoment():
                if not started:
                    started = True
                    yield morph_start(run, morph, item.pictures, words), None
                if item.finished or time.monotonic() >= due:
                    src = row_sheet(item.pictures, finished=item.finished)
                    said = _left(item.step, item.steps, began, "")
                    yield MorphPart(run, item.first_frame, src, item.finished, said), result
                    due = time.monotonic() + YIELD_SECONDS
            case Retrace():
                continue
    yield Finish(run, _done(morph.run.sampler, began)), result


def estimate_words(estimate: Estimate, pictures: int) -> str:
    """How long it will take: "63 pictures · 900 network steps · about 3 min 20 s"."""
    return (
        f"{pictures} pictures · {estimate.network_steps} network steps · "
        f"about {duration(estimate.seconds)}"
    )


def duration(seconds: float) -> str:
    """In words: "12 s", "3 min 05 s"."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"


def _left(step: int, steps: int, began: float, where: str) -> str:
    words = [f"step {step} of {steps}", *([where] if where else [])]
    if step:
        left = (time.monotonic() - began) / step * (steps - step)
        words.append(f"{duration(left)} left")
    return " · ".join(words)


def _done(sampler: str, began: float) -> str:
    return f"finished in {duration(time.monotonic() - began)} · {sampler}"
