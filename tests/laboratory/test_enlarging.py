"""Mixtures, denoised pictures and any other, painted anew by the second stage."""

from pathlib import Path

import numpy as np
import pytest

from app.errors import RecipeError
from app.laboratory.experiments import Denoising, Grid, Mixing, read_experiment
from app.laboratory.mix import MixLab
from app.laboratory.noise import NoiseLab
from app.models.store import ModelStore
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.sources import decoded
from tests.laboratory.pictures import network_calls, run, upload

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


def test_what_is_no_single_picture_is_not_enlarged() -> None:
    wish = {"run": run(**LARGE), "first": upload(1), "second": upload(2), "rows": (0, 500)}
    with pytest.raises(RecipeError, match="leave the size out"):
        Grid.checked(wish)
