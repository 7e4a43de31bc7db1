"""Sheets: each cell is what its recipe paints, bad values are named, all cells are counted."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import LimitError, RecipeError
from app.laboratory.experiments import parse_experiment, read_experiment
from app.laboratory.sheet import SheetLab, SheetMoment, SheetResult
from app.laboratory.sheet_experiment import Sheet, SheetAxis
from app.limits import Limits
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from tests.laboratory.pictures import upload


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def sheet(rows: str = "steps=2,3", columns: str = "sampler=ddpm,ddim", **run: object) -> Sheet:
    axes = {
        name: SheetAxis.written(*words.split("="))
        for name, words in (("rows", rows), ("columns", columns))
    }
    return Sheet.of({"model": "tiny", "seed": 42} | run | axes)


def result(painter: Painter, wish: Sheet) -> SheetResult:
    return SheetLab(painter).sheets.result(wish)


def test_each_cell_is_the_picture_that_its_recipe_paints(painter: Painter) -> None:
    wish = sheet()
    done = result(painter, wish)
    cells = [(cell.steps, cell.sampler, cell.seed) for cell in done.experiment.cells]
    assert cells == [(2, "ddpm", 42), (2, "ddim", 42), (3, "ddpm", 42), (3, "ddim", 42)]
    for cell, picture in zip(done.experiment.cells, done.pictures, strict=True):
        assert picture is not None
        assert np.array_equal(picture, painter.films.pictures(cell)[0].pixels)


def test_cells_come_one_by_one_and_can_be_saved_as_they_come(painter: Painter) -> None:
    stream = SheetLab(painter).sheets.stream(sheet())
    came: list[int] = []
    for item in stream:
        if isinstance(item, SheetResult):
            came.append(sum(picture is not None for picture in item.pictures))
        elif item.finished and item.place == 1:
            break
    stream.close()
    assert came == [0, 1, 2]


def test_a_sheet_begins_in_noise() -> None:
    with pytest.raises(RecipeError, match="not in a branch or a picture"):
        sheet(source=upload(3).pixels, start_t=500)


def test_steps_are_counted_as_they_are_taken(painter: Painter) -> None:
    lab, wish = SheetLab(painter), sheet(size=64, stage_steps=2)
    steps = [it.step for it in lab.sheets.stream(wish) if isinstance(it, SheetMoment)]
    assert steps == sorted(steps)
    assert steps[-1] == lab.network_steps(wish) == 2 * (2 + 2 + 3 + 2)


def test_a_sheets_png_paints_it_again(painter: Painter) -> None:
    done = result(painter, sheet())
    png = done.png()
    read = read_experiment(png)
    assert read == done.experiment == parse_experiment(done.experiment.to_json())
    assert isinstance(read, Sheet)
    assert result(painter, read).png() == png
    with Image.open(io.BytesIO(png)) as image:
        assert image.width > image.height // 2 > 64


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("steps=10,fifty", "'fifty' is no value of steps"),
        ("steps=10,5000", "5000 as a value of steps: steps is 5000, but must be at most 1000"),
        ("steps=2.5", "'2.5' is no value of steps"),
        ("steps=", "0 values of steps are too few"),
        ("steps=1,2,3,4,5,6,7,8,9", "9 values of steps are too many"),
        ("steps=5,5", "steps is 5 twice"),
        ("eta=0,nan", "nan as a value of eta"),
        ("size=1,2", "no setting 'size'"),
        ("model=../../etc/passwd", "'../../etc/passwd' as a value of model"),
        ("sampler=ddpm", "sampler can't be both"),
        ("guidance_scale=1,2", "guidance_scale changes nothing here"),
        ("stage_noise=0,50", "stage_noise changes nothing here: the pictures have no second stage"),
    ],
)
def test_bad_values_are_named(rows: str, reason: str) -> None:
    with pytest.raises(RecipeError) as caught:
        sheet(rows)
    assert reason in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("sampler=ddpm,euler", "There is no sampler 'euler'"),
        ("model=tiny,gone", "There is no model 'gone' here"),
        ("label=river", "tiny has no classes"),
    ],
)
def test_what_is_not_here_is_named(painter: Painter, rows: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason):
        SheetLab(painter).complete(sheet(rows, "steps=2,3"))


def test_a_list_of_steps_is_kept_where_no_axis_says_how_steps_are_taken() -> None:
    listed: dict[str, Any] = {
        "sampler": "dpm-solver-eta",
        "steps": 2,
        "step_t": [900, 300],
        "step_eta": [1, 0],
    }
    assert {cell.step_t for cell in sheet(**listed).cells} == {None}
    classes = sheet("label=0,1", "guidance_scale=1,2", **listed)
    assert {cell.step_t for cell in classes.cells} == {(900, 300)}


def test_eta_changes_nothing_without_ddim(painter: Painter) -> None:
    with pytest.raises(RecipeError, match="eta changes nothing here"):
        sheet("steps=2,3", "eta=0,1", sampler="ddpm")
    both = result(painter, sheet("sampler=ddim,ddpm", "eta=0,1", steps=2))
    first, second, third, fourth = both.pictures
    assert not np.array_equal(first, second)  # type: ignore[arg-type]
    assert np.array_equal(third, fourth)  # type: ignore[arg-type]


def test_classes_are_called_by_name_and_guided(painter: Painter) -> None:
    wish = sheet("label=0,river,any", "guidance_scale=1,2.5", model="classes", steps=2)
    done = result(painter, wish)
    assert done.experiment.rows.values == ("garden", "river", "any")
    assert [done.experiment.columns.label(it) for it in done.experiment.columns.values] == [
        *("guidance 1", "guidance 2.5")
    ]
    garden, guided, *_, any_, any_guided = done.pictures
    assert not np.array_equal(garden, guided)  # type: ignore[arg-type]
    assert np.array_equal(any_, any_guided)  # type: ignore[arg-type]


def test_models_stand_side_by_side_each_with_its_weights(painter: Painter) -> None:
    done = result(painter, sheet("model=tiny,learned", "steps=2,3"))
    weights = [painter.models.load(name).weights for name in ("tiny", "learned")]
    assert [*done.experiment.rows.weights] == weights
    assert done.experiment.run.weights == ""
    assert read_experiment(done.png()) == done.experiment


def test_the_cells_of_a_sheet_are_counted_together(model_root: Path) -> None:
    painter = Painter(ModelStore([model_root]), Limits(picture_steps=1))
    small = Recipe(model="tiny", steps=15)
    painter.complete(small)  # 15 steps at 16 px are not one at 64
    with pytest.raises(LimitError, match="20 steps with 1 pictures"):
        SheetLab(painter).complete(sheet("steps=4,6"))


def test_a_sheet_says_how_long_it_takes(painter: Painter) -> None:
    wish = sheet("label=garden", "guidance_scale=1,2", model="classes", steps=4)
    estimate = SheetLab(painter).estimate(wish)
    assert estimate.network_steps == 8
    # A guided step asks the network twice.
    assert estimate.seconds == pytest.approx(estimate.seconds_per_step * 8)
    assert estimate.seconds > 0
