"""Finished experiments as files, from which they come back as they were.

A grid or a morph is a PNG of its pictures at their own size, side by side, with its experiment
inside; a bound is JSON.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from app.service.laboratory.bound_result import BoundResult
from app.service.laboratory.experiment import Experiment, Source
from app.service.laboratory.experiments import AnyExperiment, Grid, Morph, read_experiment
from app.service.laboratory.mixtures import GridResult, MorphResult
from app.service.laboratory.sources import decoded
from app.service.pictures import Pixels, png_bytes


def grid_file(result: GridResult) -> bytes:
    """A whole grid's cells, without labels.

    Raises:
        ValueError: If a row is missing.
    """
    rows = [row for row in result.rows if row is not None]
    if len(rows) < len(result.rows):
        raise ValueError("only a whole grid can be kept")
    return _sheet(np.stack(rows), result.experiment)


def grid_of(path: Path) -> GridResult:
    """The grid that `grid_file` wrote; its sources are pictures of the model's size.

    Raises:
        ValueError: If the file holds anything else.
    """
    experiment, image = _opened(path)
    if not isinstance(experiment, Grid):
        raise ValueError(f"{path} holds no grid")
    cells = _cells(image, len(experiment.rows), len(experiment.mixes))
    first, second = _pixels(experiment.first), _pixels(experiment.second)
    return GridResult(experiment, first, second, tuple(cells))


def morph_file(result: MorphResult) -> bytes:
    """A morph's frames in a row."""
    return _sheet(result.frames[None], result.experiment)


def morph_of(path: Path) -> MorphResult:
    """The morph that `morph_file` wrote.

    Raises:
        ValueError: If the file holds anything else.
    """
    experiment, image = _opened(path)
    if not isinstance(experiment, Morph):
        raise ValueError(f"{path} holds no morph")
    return MorphResult(experiment, _cells(image, 1, experiment.frames)[0])


def bound_file(result: BoundResult) -> bytes:
    """A bound with all of its terms."""
    return TypeAdapter(BoundResult).dump_json(result)


def bound_of(path: Path) -> BoundResult:
    """The bound that `bound_file` wrote.

    Raises:
        pydantic.ValidationError: If the file holds anything else.
    """
    return TypeAdapter(BoundResult).validate_json(path.read_bytes())


def _sheet(cells: Pixels, experiment: Experiment) -> bytes:
    """`cells` (rows, columns, H, W, 3) as one picture."""
    rows, columns, height, width, _ = cells.shape
    joined = cells.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    return png_bytes(Image.fromarray(joined), experiment)


def _cells(pixels: Pixels, rows: int, columns: int) -> Pixels:
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    parts = pixels.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(parts)


def _opened(path: Path) -> tuple[AnyExperiment, Pixels]:
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        return read_experiment(data), np.asarray(image.convert("RGB"))


def _pixels(source: Source) -> Pixels:
    return np.asarray(decoded(source.pixels or ""))
