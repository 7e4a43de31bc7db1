"""Experiments: checked when they are made, and the same after a journey in a PNG."""

import base64

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from app.errors import PictureError, RecipeError
from app.images.encoding import png_bytes
from app.laboratory.experiment import Experiment, FromXt
from app.laboratory.experiments import (
    BoundRequest,
    Chain,
    Denoising,
    ForwardStrip,
    Grid,
    Mixing,
    Morph,
    PosteriorStep,
    SeedMorph,
    Subject,
    parse_experiment,
    read_experiment,
)
from app.laboratory.fields import ScheduleChoice
from app.painting.canvas import decoded
from app.painting.recipe import Recipe, read_recipe
from app.painting.sources import PictureSource
from tests.laboratory.pictures import painted, run, upload

PAIR = {"run": run(), "first": upload(), "second": painted()}
EXPERIMENTS: tuple[Experiment, ...] = (
    ForwardStrip(model="tiny", source=upload(), schedule=ScheduleChoice(name="cosine")),
    Chain(model="tiny", source=painted()),
    PosteriorStep(model="tiny", source=upload(), label=2),
    Denoising(run=run(pictures=3), source=upload(), t=7),
    Mixing.checked(PAIR | {"mix": 1 / 6, "rule": "slerp"}),
    Grid.checked(PAIR | {"rows": (0, 1000), "between": 1}),
    Morph.checked(PAIR | {"frames": 3}),
    SeedMorph(run=run(), second=5),
    BoundRequest(
        model="tiny", subjects=(Subject(source=upload()), Subject(kind="noise")), terms=None
    ),
)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: type(e).__name__)
def test_an_experiment_is_the_same_after_a_journey_in_a_png(experiment: Experiment) -> None:
    data = png_bytes(Image.new("RGB", (4, 4)), experiment)
    assert read_experiment(data) == experiment
    assert parse_experiment(experiment.to_json()) == experiment


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: type(e).__name__)
def test_a_run_from_x_t_says_where_it_starts(experiment: Experiment) -> None:
    if isinstance(experiment, FromXt):
        assert all(0 <= t <= 1000 for t in experiment.starts(1000))


def test_an_experiments_png_is_no_paintings_and_the_other_way_round() -> None:
    with pytest.raises(RecipeError, match="no recipe"):
        read_recipe(png_bytes(Image.new("RGB", (4, 4)), EXPERIMENTS[0]))
    with pytest.raises(RecipeError, match="no recipe"):
        read_experiment(png_bytes(Image.new("RGB", (4, 4)), Recipe(model="tiny")))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t": -1}, "at least 0"),
        ({"t": 10_001}, "at most 10000"),
        ({"t": 12.5}, "whole number"),
        ({"mix": 1.01}, "at most 1"),
        ({"mix": float("nan")}, "finite|less than or equal"),
        ({"rule": "magic"}, "'linear'"),
        ({"seed": -1}, "at least 0"),
        ({"nonsense": 1}, "no field"),
        ({"run": run(spacing="leading")}, "leading spacing"),
        (
            {"run": run(sampler="dpm-solver-eta", steps=1, step_t=[900], step_eta=[1])},
            "step_t is for paintings from noise",
        ),
        ({"first": {"pixels": "x", "painted": None, "path": "/etc/passwd"}}, "no field"),
        ({"first": {}}, "either painted or has pixels"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Mixing.checked(PAIR | changes)


@pytest.mark.parametrize("kind", [Chain, PosteriorStep, Denoising])
def test_from_t_0_nothing_leads_back_and_words_say_so(kind: type[Experiment]) -> None:
    start = {"run": run()} if kind is Denoising else {"model": "tiny"}
    with pytest.raises(RecipeError, match="no noise to take away; move t to 1 or more"):
        kind.checked(start | {"source": upload(), "t": 0})


def test_a_branch_is_no_run_from_x_t() -> None:
    parent = run()
    branch = run(parent=parent.model_dump(), frame=3, steps=5)
    with pytest.raises(RecipeError, match="can't be a branch"):
        Denoising.checked({"run": branch, "source": upload()})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "can't be used"),
        ("{}", "can't be used"),
        ('{"experiment": "baking"}', "can't be used"),
        (b"x" * 5_000_000, "characters long"),
    ],
)
def test_what_is_no_experiment_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        parse_experiment(text)


def test_a_schedules_range_must_rise() -> None:
    with pytest.raises(ValidationError, match="larger"):
        ScheduleChoice(beta_start=0.02, beta_end=0.01)


@pytest.mark.parametrize(
    "choice",
    [
        ScheduleChoice(name="linear", beta_start=0.0002, beta_end=0.999),
        ScheduleChoice(name="sigmoid", beta_start=0.0002, beta_end=0.9),
        ScheduleChoice(name="linear", beta_start=1e-20, beta_end=1e-19),
    ],
)
def test_betas_that_float64_cannot_multiply_are_refused_in_words(choice: ScheduleChoice) -> None:
    with pytest.raises(RecipeError, match="can't have betas") as refused:
        choice.of_length(1000)
    assert "0.02" in refused.value.hint


@pytest.mark.parametrize("size", [(8, 9), (1500, 1500)])
def test_a_source_is_square_and_small(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match=r"square|large"):
        PictureSource.of(Image.effect_noise(size, 90))


def test_an_upload_fits_a_recipe_whatever_the_models_size() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 700, 3), dtype=np.uint8)
    noise = Image.fromarray(pixels)
    for size in (64, 256, 512):
        source = PictureSource.squared(noise, size, "crop")
        assert decoded(source.pixels or "").size == (min(size, 256),) * 2


def test_too_many_noised_pictures_are_refused() -> None:
    subjects = tuple(Subject(kind="noise") for _ in range(8))
    with pytest.raises(RecipeError, match="times draws"):
        BoundRequest.checked({"model": "tiny", "subjects": subjects, "draws": 9})


def test_a_sources_text_is_a_png() -> None:
    assert base64.b64decode(upload().pixels or "").startswith(b"\x89PNG")
