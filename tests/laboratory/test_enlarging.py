"""Mixtures, denoised pictures and any other, painted anew by the second stage."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import RecipeError
from app.laboratory.experiments import (
    Denoising,
    Grid,
    Mixing,
    Morph,
    SeedMorph,
    read_experiment,
)
from app.laboratory.mix import GridResult, MixLab, MixMoment, MorphResult
from app.laboratory.noise import NoiseLab
from app.models.store import ModelStore
from app.painting.canvas import decoded
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.sources import PictureSource
from tests.laboratory.pictures import Calls, network_calls, run, upload

LARGE = {"size": 64, "stage_steps": 3}


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def test_a_picture_from_t_0_is_enlarged_and_nothing_else(painter: Painter) -> None:
    lab, source = NoiseLab(painter), upload(1)
    wish = Denoising.checked({"run": run(**LARGE, pictures=2), "source": source, "t": 0})
    with network_calls() as calls:
        found = [item for item in lab.films.stream(wish) if isinstance(item, Moment)]
    assert len(calls.t) == lab.network_steps(wish) == 3
    assert [moment.index for moment in found] == list(range(5))
    assert np.array_equal(found[0].x_t[0], np.asarray(decoded(source.pixels or "")))
    assert found[-1].x_t.shape == (2, 64, 64, 3)
    assert not np.array_equal(*found[-1].x_t)


def test_a_denoised_picture_and_a_mixture_are_enlarged(painter: Painter) -> None:
    denoising = Denoising.checked({"run": run(**LARGE), "source": upload(1), "t": 500})
    pair = {"run": run(**LARGE), "first": upload(1), "second": upload(2), "t": 500}
    for lab, wish in ((NoiseLab(painter), denoising), (MixLab(painter), Mixing.checked(pair))):
        large = lab.films.pictures(lab.complete(wish))[0]  # type: ignore[arg-type]
        small = lab.films.pictures(lab.complete(wish.small))[0]  # type: ignore[arg-type]
        assert large.pixels.shape == (64, 64, 3)
        assert np.array_equal(large.small, small.pixels)
        assert read_experiment(large.png()) == large.request
        assert large.name.endswith("-64px-0")


def test_the_models_own_size_is_no_size_and_leaves_nothing_to_do_at_t_0(painter: Painter) -> None:
    lab = NoiseLab(painter)
    own = Denoising.checked({"run": run(size=16), "source": upload(1), "t": 0})
    with pytest.raises(RecipeError, match="no noise to take away"):
        lab.complete(own)
    changed = own.model_copy(update={"t": 500})
    assert lab.complete(changed).request.run.size is None


def morph(**changes: object) -> Morph:
    wish = {"run": run(**LARGE), "first": upload(1), "second": upload(2), "t": 250, "frames": 10}
    return Morph.checked(wish | changes)


def grid(**changes: object) -> Grid:
    wish = {"run": run(**LARGE), "first": upload(1), "second": upload(2), "rows": (0, 500)}
    return Grid.checked(wish | {"between": 1} | changes)


def stage_steps(calls: Calls) -> list[int]:
    """The pictures in each step of a second stage, whose bands are 24."""
    return [len(x_t) for x_t in calls.x_t if x_t.shape[1] == 24]


def test_frames_of_a_morph_that_are_alike_stay_so_when_enlarged(painter: Painter) -> None:
    """One brushwork for all: with a seed for each frame a still picture would flicker."""
    same = {"second": upload(1), "rule": "shared"}
    small, large = (
        MixLab(painter).morphs.result(wish).frames for wish in (morph(**same).small, morph(**same))
    )
    assert large.shape == (10, 64, 64, 3)
    assert np.array_equal(small[0], small[7])
    assert np.array_equal(large[0], large[7])
    assert np.abs(large[0].astype(int) - large[9]).max() <= 1  # of another batch
    run = morph().run.model_copy(update={"stage_seed": 1})
    other = MixLab(painter).morphs.result(morph(**same, run=run)).frames
    assert not np.array_equal(other[0], large[0])


@pytest.mark.parametrize("way", ["morph", "seed morph", "grid"])
def test_what_was_painted_is_enlarged_and_not_painted_again(painter: Painter, way: str) -> None:
    lab = MixLab(painter)
    wishes = {"morph": morph(), "grid": grid(), "seed morph": SeedMorph(run=run(**LARGE), second=5)}
    wish, runs = wishes[way], lab.grids if way == "grid" else lab.morphs
    small = runs.result(lab.complete(wish.small))  # type: ignore[arg-type]
    again = lab.enlargement(small.experiment, {"stage_steps": 3, "stage_seed": 0})
    with network_calls() as calls:
        stream = list(runs.stream(lab.complete(again)))  # type: ignore[arg-type]
    batches = {"morph": [8, 2], "grid": [3, 3], "seed morph": [8, 8]}[way]
    assert stage_steps(calls) == [size for size in batches for _ in range(3)]
    assert len(calls.t) == len(batches) * 3
    large = stream[-1] if way != "grid" else stream[-2]
    assert isinstance(large, MorphResult | GridResult | MixMoment)


def test_a_large_morph_leaves_the_small_one(painter: Painter) -> None:
    lab = MixLab(painter)
    wish = lab.complete(morph())
    with network_calls() as calls:
        stream = list(lab.morphs.stream(wish))
    assert stage_steps(calls) == [8] * 3 + [2] * 3
    assert len(calls.t) == lab.network_steps(wish.request) == 2 * 2 + 2 * 3
    moments = [item for item in stream if isinstance(item, MixMoment)]
    assert [m.step for m in moments if m.finished] == [2, 4, 7, 10]
    assert [m.pictures.shape[1] for m in moments if m.finished] == [16, 16, 64, 64]
    small = lab.morphs.remembered(wish.request.small)
    assert small is not None
    large = lab.morphs.result(wish)
    assert large.name == f"{small.name}-64px-0"
    assert read_experiment(large.strip()) == wish.request
    with Image.open(io.BytesIO(large.animation("gif"))) as gif:
        assert gif.size == (256, 256)


def test_a_grid_is_enlarged_row_by_row_on_one_sheet(painter: Painter) -> None:
    lab = MixLab(painter)
    wish = lab.complete(grid())
    grids = [item for item in lab.grids.stream(wish) if isinstance(item, GridResult)]
    sides = [[0 if row is None else row.shape[1] for row in it.rows] for it in grids]
    assert sides == [[0, 0], [16, 0], [16, 16], [16, 16], [64, 16], [64, 64]]
    sheets = [Image.open(io.BytesIO(it.png())).size for it in grids]
    assert sheets[-1] == sheets[-2]  # with a row that is still small, too
    assert sheets[-1][0] > sheets[0][0]
    assert read_experiment(grids[-1].png()) == wish.request


def test_a_sheet_has_room_for_so_many_enlarged_pictures() -> None:
    few, many = ((0,) * 9, 7), ((0,) * 10, 7)
    assert grid(rows=few[0], between=few[1]).run.size == 64
    with pytest.raises(RecipeError, match="room for 100 enlarged pictures"):
        grid(rows=many[0], between=many[1])


@pytest.mark.parametrize("t", [0, 500])
def test_a_film_is_enlarged_and_its_small_pictures_are_not_painted_again(
    painter: Painter, t: int
) -> None:
    lab = MixLab(painter)
    pair = {"first": upload(1), "second": upload(2), "t": t}
    mixing = Mixing.checked({"run": run(pictures=2, stage_seed=9), **pair})
    first = lab.films.pictures(small := lab.complete(mixing))
    again = lab.enlargement(small.request, {"stage_steps": 3, "stage_seed": 4})
    with network_calls() as calls:
        moments = [m for m in lab.films.stream(lab.complete(again)) if isinstance(m, Moment)]
    assert stage_steps(calls) == [2, 2, 2]
    assert len(calls.t) == 3
    steps = mixing.num_steps(1000)
    assert [m.index for m in moments] == list(range(steps + 5))
    assert {m.total for m in moments} == {steps + 4}
    assert np.array_equal(moments[steps].x_t[1], first[1].pixels)
    assert moments[-1].x_t.shape == (2, 64, 64, 3)


def test_a_run_from_x_t_hands_over_at_any_of_its_moments(painter: Painter) -> None:
    lab = NoiseLab(painter)
    denoising = Denoising.checked({"run": run(steps=20), "source": upload(1), "t": 500})
    (small,) = lab.films.pictures(denoising)
    early = lab.enlargement(denoising, {"stage_steps": 3}, frame=4)
    assert early.run.stage_truncation == 300
    with network_calls() as calls:
        (large,) = lab.films.pictures(lab.complete(early))
    assert len(calls.t) == lab.network_steps(early) == 4 + 1 + 3
    assert [moment.t for moment in large.film] == [500, 450, 400, 350, 300, 1000, 667, 333, 0]
    assert np.array_equal(large.small, small.film[4].x_0_hat[0])
    with pytest.raises(RecipeError, match="stage_truncation is for single pictures"):
        grid(run=run(**LARGE, stage_truncation=300))


def test_mix_goes_on_with_the_small_picture_of_a_large_one(painter: Painter) -> None:
    lab = MixLab(painter)
    wish = run(size=64, stage_steps=2, steps=3)
    (large,) = painter.films.pictures(painter.complete(wish))
    pair = {"first": PictureSource(painted=large.request), "second": upload(2), "t": 0, "mix": 0.0}
    mixing = lab.complete(Mixing.checked({"run": run(), **pair}))
    with network_calls() as calls:
        (mixed,) = lab.films.pictures(mixing)
    assert np.array_equal(mixed.pixels, large.small)
    assert not calls.t  # it was painted on the way to the large one


def test_an_estimate_counts_the_second_stage_as_that(painter: Painter) -> None:
    lab = MixLab(painter)
    small, large = (lab.estimate(lab.complete(it)) for it in (morph().small, morph()))
    assert large.network_steps == small.network_steps + 6
    assert large.seconds == pytest.approx((4 + 2 * 6) * large.seconds_per_step)
