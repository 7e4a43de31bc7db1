"""A painting enlarged: both stages in one run, the brushwork with a seed of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.diffusion.cascade import reduced
from app.diffusion.conditioning import Condition
from app.diffusion.reverse import Frame, reverse_process, spaced_timesteps
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.diffusion.schedule import code_t
from app.diffusion.seeds import SeededNoise
from app.errors import LimitError, ModelError, StudioError
from app.images.pixels import to_unit
from app.limits import Limits
from app.models.store import ModelStore
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.recipe import STAGE_FIELDS, Recipe, read_recipe
from app.painting.runs import at_once
from app.painting.sources import PictureSource, Sources
from app.painting.stages import HandOver, stage_frames
from tests.conftest import save_tiny_model
from tests.laboratory.pictures import network_calls


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def recipe(**changes: object) -> Recipe:
    wish = {"model": "tiny", "steps": 5, "seed": 42, "size": 64, "stage_steps": 3}
    return Recipe.checked(wish | changes)


def moments(painter: Painter, wish: Recipe) -> list[Moment]:
    return [item for item in painter.films.stream(wish) if isinstance(item, Moment)]


def test_one_run_goes_through_both_stages(painter: Painter) -> None:
    found = moments(painter, recipe(pictures=2))
    assert [moment.index for moment in found] == list(range(10))
    assert {moment.total for moment in found} == {9}
    assert [moment.t for moment in found] == [1000, 800, 600, 400, 200, 0, 1000, 667, 333, 0]
    assert [moment.x_t.shape for moment in found] == [(2, 16, 16, 3)] * 6 + [(2, 64, 64, 3)] * 4
    assert found[5].eps_hat is None
    assert found[6].eps_hat is not None
    assert found[6].eps_hat.shape == (2, 64, 64, 3)


def test_the_large_picture_is_the_small_one_when_it_is_reduced(painter: Painter) -> None:
    def off(wish: Recipe) -> float:
        found = moments(painter, wish)
        small, large = to_unit(found[5].x_t), to_unit(found[-1].x_t)
        return float((reduced(large) - small).abs().mean()) * 127.5

    # An untrained network's pictures are clipped, which nothing can undo.
    assert off(recipe()) < 0.8 * off(recipe(back_projection=False))


def test_the_brushwork_has_a_seed_of_its_own(painter: Painter) -> None:
    first, same, other = (
        moments(painter, recipe(stage_seed=seed, stage_noise=noise))
        for seed, noise in ((1, 30), (1, 30), (2, 30))
    )
    assert np.array_equal(first[5].x_t, other[5].x_t)
    assert np.array_equal(first[-1].x_t, same[-1].x_t)
    assert not np.array_equal(first[-1].x_t, other[-1].x_t)


def test_a_picture_is_its_seeds_whatever_batch_it_is_in(painter: Painter) -> None:
    batch = moments(painter, recipe(pictures=3, seed=41, stage_seed=6))[-1].x_t
    alone = moments(painter, recipe(seed=42, stage_seed=7))[-1].x_t
    assert np.abs(batch[1].astype(int) - alone[0].astype(int)).max() <= 1


def test_the_noise_that_the_small_picture_is_shown_with_matters(painter: Painter) -> None:
    clean, noisy = (moments(painter, recipe(stage_noise=t))[-1].x_t for t in (0, 91))
    assert not np.array_equal(clean, noisy)


def test_a_stages_solver_may_add_no_noise_and_space_its_steps_otherwise(painter: Painter) -> None:
    stage, low_res = (
        painter.models.load_stage("brushwork-256"),
        to_unit(np.full((1, 16, 16, 3), 90)),
    )
    noise = SeededNoise([4])
    noise.draw((3, 16, 16))  # the small picture's, which is there without noise, too
    timesteps = spaced_timesteps(3, 1000, "linspace")
    *_, expected = reverse_process(
        stage.denoiser("exact"),
        stage.schedule,
        noise.draw((24, 16, 16)),
        timesteps,
        sampler=SAMPLER_KINDS["dpm-solver"].make(stage.schedule, timesteps, 0),
        noise=noise,
        clip=False,
        condition=Condition(low_res=low_res, low_res_t=torch.zeros(1, dtype=torch.int64)),
    )
    frames = list(
        stage_frames(
            stage, recipe(stage_seed=4), HandOver(low_res, 0), sde=False, spacing="linspace"
        )
    )
    assert [frame.t for frame in frames] == [999, 500, 0, -1]
    assert torch.equal(frames[-1].x_t, expected.x_t)
    *_, noisy = stage_frames(stage, recipe(stage_seed=4), HandOver(low_res, 0), spacing="linspace")
    assert not torch.allclose(noisy.x_t, expected.x_t, atol=0.1)


def test_another_brushwork_paints_the_small_picture_no_more(painter: Painter) -> None:
    painter.films.result(painter.complete(recipe(stage_seed=3)))
    with network_calls() as calls:
        items = list(painter.films.stream(painter.complete(recipe(stage_seed=9))))
    assert [item.index for item in items if isinstance(item, Moment)] == list(range(10))
    assert [x_t.shape[1] for x_t in calls.x_t] == [24] * 3


def test_the_recipe_paints_it_again(painter: Painter) -> None:
    (result,) = painter.films.pictures(painter.complete(recipe()))
    read = read_recipe(result.png())
    assert read == result.request
    assert read.size == 64
    assert len(read.stage_weights) == 64
    assert painter.differences(read) == ""
    assert Recipe.from_link(read.to_link()) == read
    again = moments(painter, read)[-1].x_t[0]
    assert np.array_equal(again, result.pixels)
    other = read.model_copy(update={"stage_weights": "0" * 64})
    assert "other weights of brushwork-256" in painter.differences(other)


def test_a_recipe_without_a_stage_says_nothing_of_one(painter: Painter) -> None:
    plain = painter.complete(recipe().small).request
    assert not set(json.loads(plain.to_json())) & set(STAGE_FIELDS)
    assert painter.complete(recipe(size=16)).request == plain
    assert [moment.index for moment in moments(painter, recipe(size=16))] == list(range(6))


def test_the_laboratories_go_on_with_the_small_picture(painter: Painter) -> None:
    info = painter.models.describe("tiny")
    pixels = at_once(Sources(painter).pixels(PictureSource(painted=recipe()), info))
    assert np.array_equal(pixels, moments(painter, recipe().small)[-1].x_t[0])


def test_a_truncated_first_stage_hands_over_what_it_has(painter: Painter) -> None:
    whole = moments(painter, recipe(steps=20).small)
    # Its moments are at t = 1000, 950, ..., 50, 0; tiny's stage knows noise up to t = 91.
    for t, steps in ((60, 19), (400, 12), (1000, 0)):
        wish = recipe(steps=20, stage_truncation=t)
        with network_calls() as calls:
            found = moments(painter, wish)
        assert [m.index for m in found] == list(range(steps + 5))
        assert {m.total for m in found} == {steps + 4}
        assert len(calls.t) == painter.network_steps(wish) == steps + 1 + 3
        for before, here in zip(whole, found[: steps + 1], strict=False):
            assert (before.t, before.x_t.tobytes()) == (here.t, here.x_t.tobytes())
        (result,) = painter.films.pictures(wish)
        assert np.array_equal(result.small, whole[steps].x_0_hat[0])


def test_x_t_is_handed_over_up_to_the_noise_that_the_stage_knows(painter: Painter) -> None:
    def handed(t: int, **changes: object) -> tuple[HandOver, Frame]:
        stage = painter.models.load_stage("brushwork-256")
        level = painter.models.load("tiny").schedule.level(code_t(t))
        x_t, x_0_hat = (torch.full((1, 3, 16, 16), value) for value in (1.7, 0.2))
        frame = Frame(3, 9, code_t(t), level, x_t, x_0_hat, eps_hat=x_t if t else None)
        return HandOver.at(frame, recipe(stage_noise=30, **changes), stage.info), frame

    for t in (1, 50, 91):
        given, frame = handed(t)
        assert given.t == t
        assert given.x_t is frame.x_t
    for t in (0, 92, 500):
        given, _ = handed(t)
        assert (given.t, given.x_t) == (30, None)
        # What is enlarged is what can be saved: 8 bits.
        assert given.low_res.unique().tolist() == [pytest.approx(153 / 127.5 - 1)]


def test_a_truncated_run_is_enlarged_and_branched_by_its_frames(painter: Painter) -> None:
    whole = recipe(steps=20, stage_seed=4).small
    brushwork = {"stage_seed": 4, "stage_steps": 3}
    early = painter.enlargement(whole, brushwork, painter.truncation(whole, 12))
    assert early == recipe(steps=20, stage_seed=4, stage_truncation=400)
    assert painter.enlargement(early, {"stage_seed": 5}, painter.truncation(early, 12)) == (
        early.model_copy(update={"stage_seed": 5})
    )
    assert painter.truncation(whole, 20) == 0
    with pytest.raises(StudioError, match="picture of the second stage"):
        painter.truncation(early, 13)
    assert painter.branch(early, 13, 1, 77) == early.model_copy(update={"stage_seed": 77})
    branch = painter.branch(early, 4, 1, 77)
    assert (branch.steps, branch.stage_truncation) == (16, 400)
    found = moments(painter, branch)
    assert [m.t for m in found][:10] == [*range(800, 399, -50), 1000]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stage_truncation": -1}, "stage_truncation is -1"),
        ({"size": 32}, "doesn't paint pictures of 32 px"),
        ({"size": 64, "stage": "another"}, "no second stage 'another'"),
        ({"stage_noise": 92}, "never seen small pictures as noisy"),
        ({"stage_steps": 0}, "stage_steps is 0"),
        ({"stage_steps": 101}, "stage_steps is 101"),
        ({"stage_seed": -1}, "stage_seed is -1"),
        ({"size": 100_000}, "size is 100000"),
    ],
)
def test_what_no_stage_can_do_is_refused(
    painter: Painter, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(StudioError, match=reason):
        painter.complete(recipe(**changes))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [({"sample_size": 8}, "8 px"), ({"in_channels": 1, "out_channels": 1}, "grey")],
)
def test_pictures_that_no_stage_takes_are_refused(
    model_root: Path, tmp_path: Path, shape: dict[str, int], reason: str
) -> None:
    save_tiny_model(tmp_path / "odd", **shape)
    painter = Painter(ModelStore([model_root, tmp_path]))
    with pytest.raises(ModelError, match=reason):
        painter.complete(recipe(model="odd", size=4 * shape.get("sample_size", 16)))


def test_a_stages_step_counts_as_two(model_root: Path) -> None:
    # Of 16-px pictures, a sixteenth of a 64-px one.
    painter = Painter(ModelStore([model_root]), Limits(picture_steps=1))
    painter.complete(recipe(steps=10, stage_steps=3))
    with pytest.raises(LimitError, match="and 3 of a second stage, which count twice"):
        painter.complete(recipe(steps=11, stage_steps=3))


def test_all_steps_are_counted(painter: Painter) -> None:
    with network_calls() as calls:
        moments(painter, recipe())
    assert len(calls.t) == painter.network_steps(recipe()) == 8
