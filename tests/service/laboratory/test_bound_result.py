"""A bound's figure: it carries its experiment, shows what has come, and survives a journey."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import RecipeError
from app.service.laboratory.bound import BoundLab
from app.service.laboratory.bound_result import BoundResult
from app.service.laboratory.bounding import Bounding, Subject
from app.service.laboratory.experiments import Grid, Morph, read_experiment
from app.service.laboratory.mix import MixLab
from app.service.laboratory.plots import SERIES, Axis, Paper, Plot, Series, draw_plot
from app.service.laboratory.stored import (
    bound_file,
    bound_of,
    grid_file,
    grid_of,
    morph_file,
    morph_of,
)
from app.service.models import ModelStore
from app.service.painting import Painter
from tests.service.laboratory.pictures import run, upload

SUBJECTS = (Subject(source=upload(), name="a picture"), Subject(kind="noise", name="noise"))
WISH = Bounding(model="tiny", subjects=SUBJECTS, terms=6)


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


@pytest.fixture
def result(painter: Painter) -> BoundResult:
    other = WISH.model_copy(update={"model": "learned", "variance": "learned"})
    return BoundLab(painter).result(Bounding.joined([WISH, other]))


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture - np.array(colour)).sum(-1) <= 6).any())


def test_the_figure_carries_the_bound_of_all_its_models(result: BoundResult) -> None:
    experiment = read_experiment(result.png())
    assert experiment == result.experiment
    assert isinstance(experiment, Bounding)
    each = experiment.each
    assert [(it.model, it.variance) for it in each] == [
        ("tiny", "fixed_small"),
        ("learned", "learned"),
    ]
    assert all(it.subjects == SUBJECTS for it in each)
    assert Bounding.joined(each) == experiment


def test_a_line_for_each_picture_and_model(result: BoundResult) -> None:
    assert [line.name for line in result.lines] == [
        "a picture, tiny", "noise, tiny", "a picture, learned", "noise, learned",
    ]  # fmt: skip
    terms, log, sums, rates, errors, _ = result.plots()
    for plot in (terms, log, rates, errors):
        assert [len(series.points) for series in plot.series] == [7] * 4
    assert [series.points[-1][1] for series in sums.series] == pytest.approx(
        [line.terms[-1][1].total for line in result.lines]
    )
    assert [bool(series.dash) for series in terms.series] == [False, False, True, True]


def test_a_bound_that_was_stopped_shows_what_it_has(result: BoundResult) -> None:
    begun = replace(result, moments=())
    stopped = replace(result, moments=(result.moments[0][:3],))
    assert read_experiment(begun.png()) == read_experiment(stopped.png())
    assert has(pixels(stopped.png(log_t=True)), SERIES[0])
    assert not np.array_equal(pixels(begun.png()), pixels(stopped.png()))


def test_four_models_are_too_many_to_compare() -> None:
    with pytest.raises(RecipeError, match="4 models are too many"):
        Bounding.joined([WISH] * 4)


@pytest.mark.parametrize("log", [False, True])
def test_a_plots_line_goes_through_its_points(log: bool) -> None:
    """From the lower left corner to the upper right one, and reversed the other way."""
    found = []
    for reverse in (False, True):
        paper = Paper(320, 220)
        axis = Axis("x", log, (1.0, 100.0), reverse=reverse)
        series = Series(SERIES[4], ((1.0, 1.0), (10.0, 10.0), (100.0, 100.0)))
        draw_plot(paper, (0, 0), Plot("a plot", axis, Axis("y", log, (1.0, 100.0)), (series,)))
        rows, columns = np.nonzero(
            np.abs(np.asarray(paper.image()).astype(int) - SERIES[4]).sum(-1) < 30
        )
        found.append(float(np.corrcoef(rows, columns)[0, 1]))
    assert found[0] == pytest.approx(-1, abs=0.02)
    assert found[1] == pytest.approx(1, abs=0.02)


def test_a_kept_bound_comes_back_as_it_was(result: BoundResult, tmp_path: Path) -> None:
    file = tmp_path / "bound.json"
    file.write_bytes(bound_file(result))
    again = bound_of(file)
    assert (again.experiment, again.moments, again.weights, again.length) == (
        result.experiment, result.moments, result.weights, result.length,
    )  # fmt: skip
    assert again.png() == result.png()


def test_a_kept_grid_and_morph_come_back_as_they_were(painter: Painter, tmp_path: Path) -> None:
    lab = MixLab(painter)
    pair = {"run": run(), "first": upload(1), "second": upload(2)}
    grid = lab.grid_result(lab.complete(Grid.checked(pair | {"rows": (0, 500), "between": 2})))
    morph = lab.morph_result(lab.complete(Morph.checked(pair | {"frames": 3})))
    (tmp_path / "grid.png").write_bytes(grid_file(grid))
    (tmp_path / "morph.png").write_bytes(morph_file(morph))
    assert grid_of(tmp_path / "grid.png").png() == grid.png()
    assert morph_of(tmp_path / "morph.png").strip() == morph.strip()
    with pytest.raises(ValueError, match="no morph"):
        morph_of(tmp_path / "grid.png")
    with pytest.raises(ValueError, match="whole grid"):
        grid_file(replace(grid, rows=(None, *grid.rows[1:])))
