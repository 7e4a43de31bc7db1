"""Runs that start from a picture: noised, or painted anew under a mask, with the rest kept."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.errors import LimitError, PictureError, RecipeError, StudioError
from app.images.arrays import Pixels
from app.images.encoding import image_of, png_bytes
from app.images.pixels import noise_pixels, picture_pixels, to_unit
from app.images.reading import square
from app.limits import STAGE_COST, Limits
from app.models.store import ModelStore
from app.painting.canvas import (
    Canvas,
    decoded,
    encoded_mask,
    side_of,
    softened,
    surrounded,
)
from app.painting.film import Moment, ReplayStep
from app.painting.painter import Painter
from app.painting.recipe import MAX_SOURCE, Recipe, read_recipe
from app.painting.runs import at_once
from app.painting.sampling import noised
from tests.conftest import save_tiny_model
from tests.laboratory.pictures import network_calls, upload

SAMPLERS = [name for name, kind in SAMPLER_KINDS.items() if kind.variance is None]
TEXT = str(upload(3).pixels)


@pytest.fixture(scope="module")
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def mask(side: int = 16, box: tuple[float, ...] = (0.3, 0.2, 0.8, 0.7)) -> Image.Image:
    drawn = Image.new("L", (side, side))
    ImageDraw.Draw(drawn).rectangle([edge * side for edge in box], fill=255)
    return drawn


def from_picture(**changes: object) -> Recipe:
    wish = {"model": "tiny", "steps": 6, "seed": 42, "source": TEXT, "start_t": 500}
    return Recipe.checked(wish | changes)


def inpainting(side: int = 16, **changes: object) -> Recipe:
    source, drawn = str(upload(3, side).pixels), encoded_mask(mask(side))
    wish = {"source": source, "mask": drawn, "start_t": None}
    return from_picture(**wish | changes)


def moments(painter: Painter, wish: Recipe) -> list[Moment]:
    return [item for item in painter.films.stream(wish) if isinstance(item, Moment)]


def source_pixels(side: int = 16) -> Pixels:
    return np.asarray(decoded(str(upload(3, side).pixels)))


def test_a_run_begins_with_its_seeds_noise_on_the_picture(painter: Painter) -> None:
    wish = from_picture()
    info, model = painter.models.describe("tiny"), painter.models.load("tiny")
    canvas = Canvas.of(wish, info)
    assert canvas is not None
    first = moments(painter, wish)[0]
    plain = moments(painter, Recipe.checked({"model": "tiny", "steps": 6, "seed": 42}))[0]
    assert first.t == 500
    clean = to_unit(source_pixels()[None])
    assert np.array_equal(picture_pixels(canvas.x_0), source_pixels()[None])
    signal = first.signal
    drawn = (to_unit(first.x_t) - signal**0.5 * clean) / (1 - signal) ** 0.5
    inside = (first.x_t > 0) & (first.x_t < 255)
    like = np.abs(noise_pixels(drawn)[0].astype(int) - noise_pixels(to_unit(plain.x_t))[0])
    assert np.median(like[inside[0] & (plain.x_t[0] > 0) & (plain.x_t[0] < 255)]) <= 2
    at_t = noised(model.schedule, clean, 500, drawn)
    assert np.abs(picture_pixels(at_t).astype(int) - first.x_t).max() <= 1


def test_the_earlier_it_starts_the_more_it_is_the_models(painter: Painter) -> None:
    off = [
        np.abs(moments(painter, from_picture(start_t=t, steps=20))[-1].x_t - source_pixels() * 1.0)
        for t in (20, 200, 800)
    ]
    assert off[0].mean() < off[1].mean() < off[2].mean()


def test_a_run_from_t_takes_a_share_of_the_steps(painter: Painter) -> None:
    wish = from_picture(steps=10, start_t=300)
    assert [moment.t for moment in moments(painter, wish)] == [300, 200, 100, 0]
    assert painter.network_steps(wish) == 3


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_pixel_outside_the_mask_is_the_sources(
    painter: Painter, sampler: str, times: int
) -> None:
    wish = inpainting(sampler=sampler, resampling=times, pictures=2, eta=0.5)
    last = moments(painter, wish)[-1]
    kept = np.asarray(mask()) == 0
    for picture in last.x_t:
        assert picture[kept].tobytes() == source_pixels()[kept].tobytes()
        assert (picture[~kept] != source_pixels()[~kept]).any()
    assert not np.array_equal(*last.x_t)


@pytest.mark.parametrize("times", [1, 2])
def test_a_part_is_painted_anew_along_a_list_of_steps(painter: Painter, times: int) -> None:
    lists: dict[str, Any] = {
        "step_t": [1000, 900, 640, 300, 80, 7],
        "step_eta": [1, 0, 0.5, 2, 1, 0],
    }
    wish = inpainting(sampler="dpm-solver-eta", resampling=times, **lists)
    run, kept = moments(painter, wish), np.asarray(mask()) == 0
    assert {moment.t for moment in run} == {*lists["step_t"], 0}
    assert len(run) > 7 or times == 1
    assert run[-1].x_t[0][kept].tobytes() == source_pixels()[kept].tobytes()
    branch = painter.branch(wish, 2, variations=1, seed=4)
    begins = moments(painter, branch)[0]
    assert np.array_equal(begins.x_t[0], run[2].x_t[0])
    assert begins.t == run[2].t


def test_every_large_pixel_outside_the_mask_is_the_sources(painter: Painter) -> None:
    kept = np.asarray(mask(64)) == 0
    for back_projection in (True, False):
        wish = inpainting(64, size=64, stage_steps=3, back_projection=back_projection)
        small, *_, large = moments(painter, wish)[6:]
        assert large.x_t.shape == (1, 64, 64, 3)
        assert large.x_t[0][kept].tobytes() == source_pixels(64)[kept].tobytes()
        assert (large.x_t[0][~kept] != source_pixels(64)[~kept]).any()
        fewer = ~(~kept).reshape(16, 4, 16, 4).any((1, 3))
        reduced = np.asarray(square(Image.fromarray(source_pixels(64)), 16))
        assert small.x_t[0][fewer].tobytes() == reduced[fewer].tobytes()


def test_a_small_picture_can_be_enlarged_after_it_was_mended(painter: Painter) -> None:
    small = moments(painter, inpainting(64))[-1].x_t
    both = moments(painter, inpainting(64, size=64, stage_steps=2))
    assert np.array_equal(both[6].x_t, small)
    kept = np.asarray(mask(64)) == 0
    assert both[-1].x_t[0][kept].tobytes() == source_pixels(64)[kept].tobytes()


def test_careful_steps_are_all_told_and_all_counted(painter: Painter) -> None:
    wish = inpainting(resampling=3, pictures=2)
    with network_calls() as calls:
        stream = list(painter.films.stream(wish))
    # The last of the six steps is walked once.
    assert len(calls.t) == painter.network_steps(wish) == 16
    assert [item.index for item in stream if isinstance(item, Moment)] == list(range(17))
    asked = [int(t[0]) + 1 for t in calls.t]
    assert [item.t for item in stream[:-1] if isinstance(item, Moment)] == asked


def test_careful_steps_count_for_the_limits(model_root: Path) -> None:
    wish = inpainting(resampling=3, pictures=8, size=64, stage_steps=2)
    counted = (3 * 5 + 1 + STAGE_COST * 2) * 8 / 16
    for most, refused in ((counted, False), (counted - 1, True)):
        limited = Painter(ModelStore([model_root]), Limits(picture_steps=int(most)))
        if refused:
            with pytest.raises(LimitError, match="16 steps with 8 pictures"):
                limited.complete(wish)
        else:
            limited.complete(wish)


def test_a_branch_keeps_to_the_mask_and_holds_the_picture_once(painter: Painter) -> None:
    parent = inpainting(resampling=2, pictures=2).for_picture(1)
    branch = painter.branch(parent, 5, variations=2, seed=9)
    assert branch.source is None
    assert branch.to_json().count(TEXT) == 1
    stream = list(painter.films.stream(branch))
    run = [item for item in stream if isinstance(item, Moment)]
    assert len(stream) - len(run) == 5 == sum(isinstance(item, ReplayStep) for item in stream)
    assert np.array_equal(run[0].x_t[0], moments(painter, parent)[5].x_t[1])
    kept = np.asarray(mask()) == 0
    for picture in run[-1].x_t:
        assert picture[kept].tobytes() == source_pixels()[kept].tobytes()
    assert not np.array_equal(*run[-1].x_t)
    again = painter.branch(branch, 2, variations=1, seed=3)
    assert Recipe.from_json(again.to_json()) == again
    assert moments(painter, again)[-1].x_t[0][kept].tobytes() == source_pixels()[kept].tobytes()


def test_a_branch_of_a_run_from_a_picture_starts_at_its_x_t(painter: Painter) -> None:
    parent = from_picture(steps=10)
    branch = painter.branch(parent, 2, variations=1, seed=9)
    assert [moment.t for moment in moments(painter, branch)] == [300, 200, 100, 0]
    with pytest.raises(RecipeError, match="Frame 5 can't be painted on from"):
        painter.complete(branch.model_copy(update={"frame": 5}))


def test_a_png_holds_its_source_and_paints_it_again(painter: Painter) -> None:
    wish = inpainting(pictures=2, steps=4)
    for result in at_once(painter.films.picture_steps(wish)):
        read = read_recipe(result.png())
        assert (read.source, read.mask) == (wish.source, wish.mask)
        assert np.array_equal(moments(painter, read)[-1].x_t[read.picture], result.pixels)
    with pytest.raises(RecipeError, match="can't hold the picture") as caught:
        wish.to_link()
    assert "PNG" in caught.value.hint


def test_a_recipe_without_a_source_says_nothing_of_one() -> None:
    fields = json.loads(Recipe(model="tiny").to_json())
    assert not {"source", "mask", "start_t", "resampling"} & set(fields)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": None}, "there is none"),
        ({"start_t": None}, "needs a start_t"),
        ({"start_t": 0}, "at least 1"),
        ({"resampling": 2}, "is for a mask"),
        ({"resampling": 11}, "at most 10"),
        ({"spacing": "leading"}, "doesn't start at t"),
        ({"source": "A" * (MAX_SOURCE + 1)}, "at most 400000 of them"),
        ({"frame": 0, "parent": Recipe(model="tiny", steps=6)}, "takes no source"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match="can't be used") as caught:
        from_picture(**changes)
    assert reason in str(caught.value)


def text_of(image: Image.Image) -> str:
    return base64.b64encode(png_bytes(image)).decode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "no base64!"}, "pixels are damaged"),
        ({"source": base64.b64encode(b"no picture").decode()}, "no picture that can be read"),
        ({"source": text_of(Image.new("RGB", (20, 20)))}, "20 pixels a side, and tiny paints 16"),
        ({"source": text_of(Image.new("RGB", (16, 8)))}, "isn't square"),
        ({"source": text_of(Image.new("L", (2000, 2000)))}, "2,000 x 2,000"),
        ({"mask": text_of(mask(20))}, "mask has 20 x 20 pixels, its picture 16 x 16"),
        ({"mask": text_of(Image.new("1", (16, 16)))}, "mask is empty"),
        ({"mask": text_of(Image.new("L", (16, 16), 255))}, "covers everything"),
        ({"start_t": 1001}, "beyond tiny's T = 1000"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_before_the_run(
    painter: Painter, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(StudioError, match=reason) as caught:
        painter.complete(from_picture(**changes))
    assert caught.value.hint


def test_a_sketch_is_softened_and_a_blank_one_refused(painter: Painter) -> None:
    info = painter.models.describe("tiny")
    with pytest.raises(PictureError, match="sketch is blank"):
        softened(Image.new("RGB", (64, 64), "white"), info)
    soft, hard = (
        np.abs(np.diff(np.asarray(it).astype(int), axis=0)).max()
        for it in (softened(mask().convert("RGB"), info), mask().convert("RGB"))
    )
    assert soft < hard / 2
    small = mask().convert("RGB")
    small, large = (softened(it, info) for it in (small, small.resize((64, 64), 0)))
    off = np.asarray(square(large, 16)).astype(int) - np.asarray(small)
    assert np.abs(off).mean() < 12


def test_no_picture_is_larger_than_a_recipe_holds(painter: Painter) -> None:
    small = painter.models.describe("tiny")
    assert side_of(small, large=True, masked=True) == 4 * side_of(small)
    for info, large in ((replace(small, size=512), False), (replace(small, size=128), True)):
        with pytest.raises(PictureError, match="this one needs 512"):
            side_of(info, large=large, masked=True)


def test_a_grey_model_keeps_a_grey_picture(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "tiny", in_channels=1, out_channels=1)
    last = moments(Painter(ModelStore([tmp_path])), inpainting())[-1].x_t[0]
    kept = np.asarray(mask()) == 0
    grey = np.asarray(Image.fromarray(source_pixels()).convert("L").convert("RGB"))
    assert last[kept].tobytes() == grey[kept].tobytes()


@pytest.mark.parametrize("side", [16, 30, 256])
def test_a_picture_gets_room_around_it_and_is_kept_in_the_middle(side: int) -> None:
    picture = image_of(np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8))
    canvas, room = surrounded(picture)
    assert canvas.size == room.size == picture.size
    inside = 3 * side // 4
    white = np.asarray(room.convert("L")) > 127
    assert white.sum() == side**2 - inside**2
    small = np.asarray(square(picture, inside))
    assert np.asarray(canvas)[~white].tobytes() == small.tobytes()
    rim = np.asarray(canvas)[0, (side - inside) // 2 :][:inside]
    assert (rim == small[0]).all(), "the picture's edge is drawn out"
