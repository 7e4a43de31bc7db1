"""A bound's figure: it carries its experiment, shows what has come, and survives a journey."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from app.errors import RecipeError
from app.images.plots import LILY
from app.laboratory.bound import BoundLab
from app.laboratory.bound_results import BoundResult, bound_of
from app.laboratory.experiments import BoundRequest, Grid, Morph, Subject, read_experiment
from app.laboratory.mix import MixLab, grid_of, morph_of
from app.models.store import ModelStore
from app.painting.painter import Painter
from tests.laboratory.pictures import run, upload
from tools.showcase import bound_file, grid_file, morph_file

SUBJECTS = (Subject(source=upload(), name="a picture"), Subject(kind="noise", name="noise"))
WISH = BoundRequest(model="tiny", subjects=SUBJECTS, terms=6)


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


@pytest.fixture
def result(painter: Painter) -> BoundResult:
    other = WISH.model_copy(update={"model": "learned", "variance": "learned"})
    return BoundLab(painter).bounds.result(BoundRequest.joined([WISH, other]))


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def has(picture: np.ndarray, colour: str) -> bool:
    return bool((np.abs(picture - ImageColor.getrgb(colour)).sum(-1) <= 6).any())


def test_the_figure_carries_the_bound_of_all_its_models(result: BoundResult) -> None:
    experiment = read_experiment(result.png())
    assert experiment == result.experiment
    assert isinstance(experiment, BoundRequest)
    each = experiment.each
    assert [(it.model, it.variance) for it in each] == [
        ("tiny", "fixed_small"),
        ("learned", "learned"),
    ]
    assert all(it.subjects == SUBJECTS for it in each)
    assert BoundRequest.joined(each) == experiment


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
    assert [series.style for series in terms.series] == ["-", "-", "--", "--"]


@pytest.mark.slow
def test_a_bound_that_was_stopped_shows_what_it_has(result: BoundResult) -> None:
    begun = replace(result, moments=())
    stopped = replace(result, moments=(result.moments[0][:3],))
    assert read_experiment(begun.png()) == read_experiment(stopped.png())
    assert has(pixels(stopped.png(log_t=True)), LILY)
    assert not np.array_equal(pixels(begun.png()), pixels(stopped.png()))


def test_the_name_of_its_file_names_no_folder(result: BoundResult) -> None:
    hubs = result.experiment.model_copy(update={"model": "monet/tiny", "seed": 3})
    assert replace(result, experiment=hubs).name == "monet-tiny-bound-seed-3"


def test_four_models_are_too_many_to_compare() -> None:
    with pytest.raises(RecipeError, match="4 models are too many"):
        BoundRequest.joined([WISH] * 4)


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
    grid = lab.grids.result(lab.complete(Grid.checked(pair | {"rows": (0, 500), "between": 2})))
    morph = lab.morphs.result(lab.complete(Morph.checked(pair | {"frames": 3})))
    (tmp_path / "grid.png").write_bytes(grid_file(grid))
    (tmp_path / "morph.png").write_bytes(morph_file(morph))
    assert grid_of(tmp_path / "grid.png").png() == grid.png()
    assert morph_of(tmp_path / "morph.png").strip() == morph.strip()
    with pytest.raises(ValueError, match="no morph"):
        morph_of(tmp_path / "grid.png")
    with pytest.raises(ValueError, match="whole grid"):
        grid_file(replace(grid, rows=(None, *grid.rows[1:])))
