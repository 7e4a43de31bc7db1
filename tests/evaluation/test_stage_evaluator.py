"""Evaluating a second stage: a perfect one gets perfect figures, bicubic gets bicubic's."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.diffusion.cascade import BANDS, enlarged
from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction
from app.errors import StudioError
from app.evaluation import enlargement, stage_evaluator
from app.evaluation.stage_evaluator import (
    StageEvaluator,
    StagePlan,
    parse_stage_plan,
    stage_wish,
)
from app.evaluation.stage_pictures import StagePictures
from app.evaluation.stage_report import BAND_NAMES, to_json, to_markdown
from app.images.pixels import to_unit
from app.images.reading import resized
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.painting.stages import stage_frames
from tests.laboratory.pictures import network_calls
from tests.training.pictures import landscapes, save_pictures

FIELDS = {"model": "tiny", "stage": "brushwork-256", "stage_seed": 3}


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


@pytest.fixture
def pictures(tmp_path: Path) -> StagePictures:
    data = save_pictures(tmp_path / "held-out", landscapes(18, 64, seed=1))
    train = save_pictures(tmp_path / "train", landscapes(30, 64, seed=2))
    return StagePictures.read(data, train, 16, 20, fit="squash")


def evaluator(
    painter: Painter, pictures: StagePictures, wish: Recipe | None = None
) -> StageEvaluator:
    samples = landscapes(16, 16, seed=4)
    return StageEvaluator(
        painter, wish or stage_wish(painter, [], FIELDS), pictures, samples, style=False
    )


def test_a_plan_is_a_solver_its_steps_and_perhaps_the_small_pictures_noise() -> None:
    assert parse_stage_plan("sde:12") == StagePlan("sde", 12)
    assert parse_stage_plan("ode:8:30") == StagePlan("ode", 8, 30)
    texts = ("sde:12", "ode:8:30", "sde:4:linspace", "sde:4:raw", "ode:8:30:even:raw")
    assert [str(parse_stage_plan(text)) for text in texts] == [
        "sde 12",
        "ode 8, noise 30",
        "sde 4, linspace",
        "sde 4, raw",
        "ode 8, noise 30, even, raw",
    ]


@pytest.mark.parametrize(
    "text",
    ["sde", "sde:", "ddim:12", "sde:x", "sde:1:2:3", "sde:-1", "sde:9:wide", "sde:9:raw:even"],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(StudioError, match="doesn't say how"):
        parse_stage_plan(text)


@pytest.mark.parametrize(
    ("plan", "changes", "reason"),
    [
        (StagePlan("sde", 0), {}, "stage_steps is 0"),
        (StagePlan("sde", 3, 92), {}, "never seen small pictures as noisy"),
        (StagePlan("sde", 3), {"model": "nobody"}, "no model 'nobody'"),
    ],
)
def test_what_the_stage_cant_do_is_refused_before_painting(
    painter: Painter, plan: StagePlan, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(StudioError, match=reason):
        stage_wish(painter, [plan], FIELDS | changes)


def test_the_pictures_have_the_sizes_that_the_output_asks_for(pictures: StagePictures) -> None:
    assert pictures.small.shape == (18, 16, 16, 3)
    assert pictures.low_res.shape == (18, 12, 12, 3)
    assert pictures.originals.shape == (18, 48, 48, 3)
    assert pictures.whole.shape == (18, 56, 56, 3)
    assert pictures.reference.shape == (20, 56, 56, 3)


def test_without_others_no_picture_stands_on_both_sides(tmp_path: Path) -> None:
    data = save_pictures(tmp_path / "data", landscapes(33, 56, seed=1))
    halves = StagePictures.read(data, None, 16, 100, fit="squash")
    own, others = ({one.tobytes() for one in half} for half in (halves.whole, halves.reference))
    assert (len(own), len(others), own & others) == (17, 16, set())
    with pytest.raises(StudioError, match="32 are needed"):
        StagePictures.read(save_pictures(tmp_path / "few", landscapes(31, 56)), None, 16, 9,
                           fit="squash")  # fmt: skip


def test_pictures_that_would_have_to_be_enlarged_are_no_originals(tmp_path: Path) -> None:
    data = save_pictures(tmp_path / "data", landscapes(40, 55))
    with pytest.raises(StudioError, match="56 pixels"):
        StagePictures.read(data, None, 16, 20, fit="squash")


def test_a_perfect_stage_gets_perfect_figures(
    painter: Painter, pictures: StagePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = landscapes(18, 64, seed=1)
    pictures = replace(pictures, small=resized(large, 16), whole=resized(large, 56))
    perfect = {12: to_unit(pictures.originals), 16: to_unit(large)}
    wish = stage_wish(painter, [], FIELDS)
    judge = evaluator(painter, pictures, wish)

    def painted(plan: StagePlan, small: Tensor, start: int, step: object) -> Tensor:
        return perfect[small.shape[-1]][start : start + len(small)]

    monkeypatch.setattr(judge, "_painted", painted)
    monkeypatch.setattr(judge, "_spread_of", lambda plan, step: ())
    found = judge.row(StagePlan("sde", 3, back_projection=False), lambda: None)
    assert {one.value for one in found.likeness.octaves} == {0}
    assert [one.value for one in found.likeness.bands] == pytest.approx([0] * BANDS, abs=1e-4)
    assert found.real.comparison == judge.evaluation(lambda: None).floor
    assert found.real.as_painted.value > 50  # the small pictures are whole levels
    assert found.real.colour.value < 0.2


def test_bicubic_gets_what_bicubic_enlargement_gives(
    painter: Painter, pictures: StagePictures
) -> None:
    fine = np.random.default_rng(0).integers(0, 256, pictures.originals.shape, dtype=np.uint8)
    pictures = replace(pictures, originals=fine)
    found = evaluator(painter, pictures).row(None, lambda: None)
    low_res = to_unit(pictures.small)
    expected = enlargement.consistency(enlarged(low_res), low_res).mean()
    assert found.real.as_painted.value == pytest.approx(expected)
    assert found.real.projected.value > expected
    # What is finer than two of the small picture's pixels is lost.
    assert found.likeness.octaves[-1].value < -20
    assert abs(found.likeness.octaves[0].value) < 1
    assert (found.likeness.bands, found.likeness.spread) == ((), ())


def test_a_row_takes_the_steps_that_it_says(painter: Painter, pictures: StagePictures) -> None:
    judge, plan, steps = evaluator(painter, pictures), StagePlan("ode", 2, 30), []
    with network_calls() as calls:
        row = judge.row(plan, lambda: steps.append(1))
    assert len(steps) == len(calls.t) == judge.steps(plan)
    assert (len(row.likeness.bands), len(row.likeness.spread)) == (BANDS, BANDS)


def test_one_seed_has_no_spread_and_several_have_some(
    painter: Painter, pictures: StagePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, plan = evaluator(painter, pictures), StagePlan("sde", 2)
    assert min(one.value for one in judge.row(plan, lambda: None).likeness.spread) > 0.01

    def alike(stage: object, recipe: Recipe, *others: object, **how: object) -> object:
        once = recipe.model_copy(update={"pictures": 1})
        seeds = [once.stage_seed] * recipe.pictures
        monkeypatch.setattr(Recipe, "stage_seeds", property(lambda _: seeds))
        return stage_frames(stage, recipe, *others, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(stage_evaluator, "stage_frames", alike)
    assert max(one.value for one in judge.row(plan, lambda: None).likeness.spread) < 1e-3


class Silent:
    """A Denoiser that predicts v = 0."""

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        assert condition is not None
        assert condition.low_res is not None
        return Prediction(torch.zeros_like(x_t), "v_prediction")


def test_the_loss_of_who_predicts_nothing_is_the_targets_power(
    painter: Painter, pictures: StagePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, stage = evaluator(painter, pictures), painter.models.load_stage("brushwork-256")
    monkeypatch.setattr(stage, "denoiser", lambda precision: Silent())
    found = judge.evaluation(lambda: None)
    z = stage.bands.of(to_unit(pictures.originals) - enlarged(to_unit(pictures.low_res)))
    a = stage.schedule.alpha_bar(torch.arange(1000)).flatten()
    # E v^2 = a E eps^2 + (1 - a) E z^2, and eps has unit variance.
    expected = [float((a + (1 - a) * band).mean()) for band in enlargement.power(z).mean(0)]
    assert [one.value for one in found.loss_by_band] == pytest.approx(expected, rel=0.05)
    assert found.loss.mean.value == pytest.approx(np.mean(expected), rel=0.05)
    quarters = [float(a[i : i + 250].mean()) for i in range(0, 1000, 250)]
    assert [one.value for one in found.loss.quarters] == pytest.approx(quarters, abs=0.15)
    # At T nothing is expected of the residual but nothing: bicubic enlargement.
    assert found.one_step.value == pytest.approx(0, abs=0.05)
    assert [one.value for one in found.one_step_error] == pytest.approx([1] * BANDS, abs=0.05)


def test_the_report_has_every_row_and_band(painter: Painter, pictures: StagePictures) -> None:
    judge = evaluator(painter, pictures)
    evaluation = judge.evaluation(lambda: None)
    rows = (*evaluation.rows, judge.row(StagePlan("sde", 2), lambda: None))
    evaluation = replace(evaluation, rows=rows)
    tables = to_markdown(evaluation)
    assert "| paintings | sde 2 | 18 / 20 |" in tables
    assert "| tiny | bicubic | 16 / 20 |" in tables
    assert "| floor |  | 18 / 20 |" in tables
    assert len(BAND_NAMES) == BANDS
    assert all(f"\n| {name} |" in tables for name in ("Y 00", "Y 33", "Cb 01", "Cr 11"))
    for part in tables.strip().split("\n\n"):
        if part.startswith("|"):
            assert len({line.count("|") for line in part.splitlines()}) == 1
    found = json.loads(to_json(evaluation))
    assert [row["plan"] for row in found["rows"]] == [
        None,
        asdict(StagePlan("sde", 2)),
    ]
    assert found["first_stage"] == ["tiny", painter.models.load("tiny").weights]
    assert found["provenance"]["weights"] == painter.models.load_stage("brushwork-256").weights
