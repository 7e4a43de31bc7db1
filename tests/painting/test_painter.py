"""Painting: recipes come true, branches start where they say, streams share and stop."""

import io
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.errors import ModelError, RecipeError, StudioError
from app.images.arrays import Pixels
from app.models.files import ANALYTIC
from app.models.store import ModelStore
from app.networks.executor import DeviceExecutor
from app.networks.unet import SharedDenoiser
from app.painting.film import MAX_KEPT, MAX_KEPT_TILES, Moment, ReplayStep, kept_frames
from app.painting.painter import Painter
from app.painting.recipe import Recipe, read_recipe

SAMPLERS = [name for name, kind in SAMPLER_KINDS.items() if kind.variance is None]


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def recipe(**changes: object) -> Recipe:
    return Recipe.checked({"model": "tiny", "steps": 6, "seed": 42} | changes)


def moments(painter: Painter, wish: Recipe) -> list[Moment]:
    return [moment for moment in painter.films.stream(wish) if isinstance(moment, Moment)]


def painting(painter: Painter, wish: Recipe) -> Pixels:
    return moments(painter, wish)[-1].x_t


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_recipe_paints_the_same_picture(model_root: Path, sampler: str) -> None:
    wish = recipe(sampler=sampler, eta=0.5, pictures=2)
    first = painting(Painter(ModelStore([model_root])), wish)
    again = painting(Painter(ModelStore([model_root])), Recipe.from_json(wish.to_json()))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_is_its_seeds_whatever_batch_it_is_in(painter: Painter, sampler: str) -> None:
    batch = painting(painter, recipe(sampler=sampler, pictures=3, seed=41))
    alone = painting(painter, recipe(sampler=sampler, seed=42))
    assert np.abs(batch[1].astype(int) - alone[0].astype(int)).max() <= 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_training_that_begins_half_way_changes_hardly_a_picture(
    model_root: Path, sampler: str
) -> None:
    beside = ModelStore([model_root], threads=2)
    wish = recipe(sampler=sampler, pictures=2)
    undisturbed = painting(Painter(ModelStore([model_root], threads=2)), wish).astype(int)
    stream = Painter(beside).films.stream(wish)
    for _ in range(3):
        next(stream)
    assert isinstance(beside.executor, DeviceExecutor)
    beside.executor.keep_to(1)
    *_, last = stream
    assert isinstance(last, Moment)
    assert np.abs(last.x_t - undisturbed).max() <= 1


def test_moments_run_from_noise_to_a_clean_picture(painter: Painter) -> None:
    run = moments(painter, recipe())
    assert [m.index for m in run] == list(range(7))
    assert run[0].t == 1000
    assert run[-1].t == 0
    assert [m.signal for m in run] == sorted(m.signal for m in run)
    assert run[-1].eps_hat is None
    assert np.array_equal(run[-1].x_t, run[-1].x_0_hat)


@pytest.mark.parametrize("frame", [0, 1, 5])
@pytest.mark.parametrize("sampler", ["ddpm", "dpm-solver"])
def test_a_branch_starts_from_its_parents_exact_x_t(
    painter: Painter, sampler: str, frame: int
) -> None:
    parent = recipe(sampler=sampler, pictures=3).for_picture(1)
    branch = painter.branch(parent, frame, variations=2, seed=9)
    origin, run = moments(painter, parent)[frame], moments(painter, branch)
    assert run[0].t == origin.t
    for variation in range(2):
        assert np.array_equal(run[0].x_t[variation], origin.x_t[1])
    if frame < 5:
        assert not np.array_equal(run[-1].x_t[0], run[-1].x_t[1])


LISTED: dict[str, Any] = {
    "sampler": "dpm-solver-eta",
    "step_t": [1000, 900, 640, 300, 80, 7],
    "step_eta": [1, 0, 0.5, 2, 1, 0],
}


def test_a_list_of_steps_is_walked_as_it_says(painter: Painter) -> None:
    listed = moments(painter, recipe(**LISTED))
    assert [moment.t for moment in listed] == [*LISTED["step_t"], 0]
    spaced = recipe(sampler="dpm-solver-eta", eta=0.5)
    even = [moment.t for moment in moments(painter, spaced)][:-1]
    same = recipe(sampler="dpm-solver-eta", step_t=even, step_eta=[0.5] * 6)
    assert np.array_equal(painting(painter, same), painting(painter, spaced))
    with pytest.raises(RecipeError, match="step_t begins at 1200, beyond tiny's T = 1000"):
        painter.complete(recipe(**LISTED | {"step_t": [1200, 900, 640, 300, 80, 7]}))


@pytest.mark.parametrize("frame", [0, 2])
@pytest.mark.parametrize("etas", [[1, 0, 0.5, 2, 1, 0], [0] * 6])
def test_a_branch_goes_on_along_its_parents_list(
    painter: Painter, etas: list[float], frame: int
) -> None:
    parent = recipe(**LISTED | {"step_eta": etas}, pictures=2).for_picture(1)
    branch = painter.branch(parent, frame, variations=2, seed=9)
    origin, run = moments(painter, parent)[frame], moments(painter, branch)
    assert [moment.t for moment in run] == [*LISTED["step_t"][frame:], 0]
    assert np.array_equal(run[0].x_t[0], origin.x_t[1])
    assert not np.array_equal(run[-1].x_t[0], run[-1].x_t[1])
    assert branch.sampler == ("dpm-solver-eta" if any(etas) else "ddim")
    again = painter.branch(branch, 1, variations=1, seed=3)
    assert moments(painter, again)[0].t == LISTED["step_t"][frame + 1]


def test_a_branch_of_a_branch_retraces_both(painter: Painter) -> None:
    first = painter.branch(recipe(sampler="ddpm"), 2, variations=2, seed=1).for_picture(1)
    second = painter.branch(first, 1, variations=1, seed=1)
    stream = list(painter.films.stream(second))
    retraced = [step for step in stream if isinstance(step, ReplayStep)]
    assert [(s.step, s.steps) for s in retraced] == [(1, 2), (2, 2), (1, 1)]
    assert len(stream) == painter.network_steps(second) + 1
    origin = moments(painter, first)[1]
    assert np.array_equal(moments(painter, second)[0].x_t[0], origin.x_t[1])


@pytest.mark.parametrize("frame", [-1, 6, 99])
def test_only_moments_before_the_finished_painting_branch(painter: Painter, frame: int) -> None:
    with pytest.raises(RecipeError, match="can't be painted on from"):
        painter.branch(recipe(), frame, 1, 0)


def test_results_carry_the_recipe_that_paints_them_again(painter: Painter) -> None:
    wish = painter.complete(recipe(sampler="ddpm", pictures=2)).request
    for i, result in enumerate(painter.films.pictures(wish)):
        again = read_recipe(result.png())
        assert again == wish.for_picture(i)
        assert again.weights
        assert again.versions.torch
        shown = np.asarray(Image.open(io.BytesIO(result.png())))
        assert np.array_equal(shown, painting(painter, again)[again.picture])
        assert read_recipe(result.strip()) == again
        assert Image.open(io.BytesIO(result.animation("gif"))).format == "GIF"
    assert {r.name for r in painter.films.pictures(wish)} == {
        "tiny-ddpm-6-seed-42",
        "tiny-ddpm-6-seed-43",
    }


def test_a_film_is_painted_once(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = recipe()
    film = painter.films.result(wish)
    monkeypatch.setattr(painter.films, "stream", None)
    assert painter.films.result(wish.for_picture(0)) is film


def test_guidance_and_labels_reach_the_network(painter: Painter) -> None:
    garden = painting(painter, recipe(model="classes", label=0))
    street = painting(painter, recipe(model="classes", label=2))
    strong = painting(painter, recipe(model="classes", label=0, guidance_scale=8.0))
    assert not np.array_equal(garden, street)
    assert not np.array_equal(garden, strong)


def test_a_guided_painting_doubles_the_networks_rows_in_its_interval_alone(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[tuple[int, int]] = []
    real = SharedDenoiser.predict

    def counted(
        self: SharedDenoiser, x_t: Tensor, t: Tensor, condition: Condition | None
    ) -> Prediction:
        rows.append((int(t[0]) + 1, len(x_t)))
        return real(self, x_t, t, condition)

    monkeypatch.setattr(SharedDenoiser, "predict", counted)
    wish: dict[str, object] = {"model": "classes", "steps": 5, "pictures": 2}
    guided = wish | {"label": 0, "guidance_scale": 3.0}
    interval: dict[str, object] = {"guidance_from": 800, "guidance_to": 400}
    part = painting(painter, recipe(**guided | interval))
    assert rows == [(1000, 2), (800, 4), (600, 4), (400, 4), (200, 2)]
    rows.clear()
    whole = painting(painter, recipe(**guided))
    assert [count for _, count in rows] == [4] * 5
    rows.clear()
    painting(painter, recipe(**wish | {"guidance_scale": 3.0}))
    assert [count for _, count in rows] == [2] * 5  # there is no class to be guided towards
    plain = painting(painter, recipe(**wish | {"label": 0}))
    empty = painting(painter, recipe(**guided | {"guidance_from": 150, "guidance_to": 100}))
    assert np.array_equal(plain, empty)
    assert not np.array_equal(part, plain)
    assert not np.array_equal(part, whole)


def test_only_a_guided_recipe_says_where_it_is_guided() -> None:
    assert "guidance_from" not in recipe().to_json()
    assert '"guidance_from":800' in recipe(guidance_scale=2.0, guidance_from=800).to_json()


def test_without_a_class_the_null_label_is_painted(
    painter: Painter, model_root: Path, tmp_path: Path
) -> None:
    anything = painting(painter, recipe(model="classes"))
    shutil.copytree(model_root / "classes", tmp_path / "numbered")
    (tmp_path / "numbered" / "labels.json").unlink()  # then the null label is one of four classes
    numbered = Painter(ModelStore([tmp_path]))
    fourth = painting(numbered, recipe(model="numbered", label=3))
    assert np.array_equal(anything, fourth)
    assert not np.array_equal(anything, painting(painter, recipe(model="classes", label=0)))
    with pytest.raises(RecipeError, match=r'none of them is "any"\. Choose one of: 0 class 0, 1'):
        numbered.complete(recipe(model="numbered"))
    with pytest.raises(RecipeError, match="can't be guided"):
        numbered.complete(recipe(model="numbered", label=1, guidance_scale=2.0))


def test_a_learned_variance_is_used(painter: Painter) -> None:
    learned = painting(painter, recipe(model="learned", sampler="ddpm-learned"))
    fixed = painting(painter, recipe(model="learned", sampler="ddpm"))
    assert not np.array_equal(learned, fixed)


def test_analytic_variances_are_used_where_they_belong_to_the_weights(
    model_root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "tiny"
    shutil.copytree(model_root / "tiny", folder)
    painter = Painter(ModelStore([folder.parent]))
    wish = recipe(sampler="ddpm-analytic")
    with pytest.raises(RecipeError, match=r"never estimated\. Run python -m app variances tiny"):
        painter.complete(wish)
    weights = painter.models.load("tiny").weights
    for squares in ([0.5] * 1000, [1.0] * 1000):
        (folder / ANALYTIC).write_text(json.dumps({"weights": weights, "eps_square": squares}))
        picture = painting(painter, wish)
        fixed = painting(painter, recipe(sampler="ddpm"))
        # Who knows all of x_0 has the posterior's own variance.
        assert np.array_equal(picture, fixed) is (squares[0] == 1.0)
    for wrong in (
        {"weights": "0" * 64, "eps_square": squares},
        {"weights": weights, "eps_square": [1.0]},
    ):
        (folder / ANALYTIC).write_text(json.dumps(wrong))
        with pytest.raises(ModelError, match=r"of other weights, or of another schedule"):
            painting(painter, wish)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sampler": "magic"}, "no sampler 'magic'"),
        ({"model": "nobody"}, "no model 'nobody'"),
        ({"sampler": "ddpm-learned"}, "did not learn its variance"),
        ({"label": 1}, "has no classes"),
        ({"guidance_scale": 2.0}, "can't be guided"),
        ({"model": "classes", "label": 7}, r"no class 7\. Choose one of: 0 garden, .* or none"),
    ],
)
def test_what_a_model_can_not_paint_is_refused_before_any_step(
    painter: Painter, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(StudioError, match=reason):
        painter.complete(recipe(**changes))
    with pytest.raises(StudioError, match=reason):
        next(painter.films.stream(recipe(**changes)))


def test_other_weights_are_said(painter: Painter) -> None:
    assert painter.differences(painter.complete(recipe()).request) == ""
    assert "other weights" in painter.differences(recipe(weights="0" * 64))


def test_two_paintings_at_once_both_advance_and_stay_themselves(painter: Painter) -> None:
    wishes = [recipe(sampler="ddpm", seed=seed, steps=40) for seed in (1, 2)]
    alone = [painting(painter, wish) for wish in wishes]
    order: list[int] = []
    finals: dict[int, Pixels] = {}

    both = threading.Barrier(2)

    def paint(which: int) -> None:
        both.wait()
        for moment in painter.films.stream(wishes[which]):
            assert isinstance(moment, Moment)
            order.append(which)
            finals[which] = moment.x_t

    threads = [threading.Thread(target=paint, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(finals[i], alone[i]) for i in (0, 1))
    first_done = min(len(order) - 1 - order[::-1].index(i) for i in (0, 1))
    late = order[first_done + 1 :]
    assert len(late) < 35, "one painting waited for the whole of the other"


def test_closing_a_painting_ends_the_networks_work(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = SharedDenoiser.predict

    def counted(
        self: SharedDenoiser, x_t: object, t: object, condition: Condition | None
    ) -> Prediction:
        calls.append(1)
        return real(self, x_t, t, condition)  # type: ignore[arg-type]

    monkeypatch.setattr(SharedDenoiser, "predict", counted)
    stream = painter.films.stream(recipe(steps=50))
    next(stream), next(stream)
    assert isinstance(stream, Iterator)
    stream.close()
    assert len(calls) == 2


@pytest.mark.parametrize("pictures", [1, 4, 16])
@pytest.mark.parametrize("steps", [1, 2, 50, 250, 1000])
def test_kept_frames_are_even_and_have_first_and_last(steps: int, pictures: int) -> None:
    kept = kept_frames(steps, pictures, 64)
    assert kept[0] == 0
    assert kept[-1] == steps
    assert len(kept) <= min(MAX_KEPT, MAX_KEPT_TILES // (3 * pictures), steps + 1)
    gaps = np.diff(kept)
    assert gaps.max() - gaps.min() <= 1


def test_fewer_frames_of_large_pictures_are_kept() -> None:
    for side in (16, 32, 64):
        assert kept_frames(1000, 4, side) == kept_frames(1000, 4, 64)
    large = kept_frames(1000, 4, 256)
    assert len(large) * 4 * 3 * 256**2 <= MAX_KEPT_TILES * 64**2
    assert (large[0], large[-1]) == (0, 1000)
    assert kept_frames(1000, 16, 1024) == (0, 1000)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_variation_leads_from_the_seeds_picture_to_the_others(
    painter: Painter, sampler: str
) -> None:
    how = {"sampler": sampler, "eta": 0.5, "variation_seed": 7}
    for strength, seed in ((0.0, 42), (1.0, 7)):
        varied = moments(painter, recipe(**how, variation_strength=strength))
        plain = moments(painter, recipe(sampler=sampler, eta=0.5, seed=seed))
        assert all(np.array_equal(one.x_t, two.x_t) for one, two in zip(varied, plain, strict=True))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_variations_lie_the_nearer_the_weaker_they_are(painter: Painter, sampler: str) -> None:
    own = painting(painter, recipe(sampler=sampler)).astype(float)
    how = {"sampler": sampler, "variation_seed": 7, "pictures": 3}

    def distances(strength: float) -> list[float]:
        varied = painting(painter, recipe(**how, variation_strength=strength)).astype(float)
        assert len({picture.tobytes() for picture in varied}) == 3
        return [float(np.abs(picture - own[0]).mean()) for picture in varied]

    weak, strong = distances(0.1), distances(0.6)
    assert max(weak) < min(strong)


def test_a_pictures_variations_have_its_seed_and_its_brushwork(painter: Painter) -> None:
    batch = recipe(pictures=3, size=64, stage_seed=5).for_picture(2)
    varied = painter.variations(batch, 4, seed=900, strength=0.3)
    assert varied.noise_seeds == (44,) * 4
    assert varied.stage_seeds == (7,) * 4
    assert [*varied.variation_seeds] == [900, 901, 902, 903]
    assert painter.variations(varied.for_picture(1), 2, seed=1, strength=0.3).seed == 44
    assert varied.for_picture(1).file_name.startswith("tiny-dpm-solver-sde-6-seed-44-to-901-by-0.3")


def test_a_branch_of_a_variation_begins_in_it_and_has_none_itself(painter: Painter) -> None:
    varied = recipe(pictures=2, variation_seed=7, variation_strength=0.4).for_picture(1)
    branch = painter.branch(varied, 3, variations=2, seed=1)
    assert branch.parent == varied
    assert branch.variation_seed is None
    here, there = moments(painter, varied)[3], moments(painter, branch)[0]
    assert np.array_equal(there.x_t[0], here.x_t[1])
    with pytest.raises(RecipeError, match="begins in a picture"):
        painter.variations(branch, 2, seed=1, strength=0.3)
