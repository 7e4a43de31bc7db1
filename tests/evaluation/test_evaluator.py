"""Evaluating a model: plans are checked first, tables and JSON say what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.datasets.folder import ReferencePictures
from app.datasets.labels import LabelConfig
from app.errors import ModelError, RecipeError, StudioError
from app.evaluation.class_figures import Asked
from app.evaluation.evaluator import (
    Evaluation,
    EvaluationPlan,
    Evaluator,
    paint_all,
    parse_plan,
    recipes,
)
from app.evaluation.report import to_json, to_markdown
from app.models.store import ModelStore
from app.painting.painter import Painter
from tests.training.pictures import landscapes


def pictures(count: int, seed: int) -> ReferencePictures:
    return ReferencePictures(
        landscapes(count, seed=seed), tuple(f"{i}.png" for i in range(count)), ()
    )


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def runs_of(
    painter: Painter, model: str, plan: EvaluationPlan, **changes: object
) -> tuple[object, ...]:
    said = {"seed": 5, "spacing": "trailing", "precision": "exact"} | changes
    return recipes(painter, model, plan, **said)  # type: ignore[arg-type]


def test_a_plan_is_a_sampler_its_steps_and_perhaps_a_count() -> None:
    assert parse_plan("ddim:50", 1000) == EvaluationPlan("ddim", 50, 1000)
    assert parse_plan("ddpm:1000:128", 1000) == EvaluationPlan("ddpm", 1000, 128)


@pytest.mark.parametrize("text", ["ddim", "ddim:", "ddim:x", "ddim:1:2:3", "ddim:-5", "ddim:50:"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(StudioError, match="no sampler and number of steps"):
        parse_plan(text, 1000)


@pytest.mark.parametrize(
    ("text", "count"), [("ddim:5", 15), ("ddim:5:0", 99), ("ddim:5:100001", 9)]
)
def test_too_few_or_too_many_samples_are_refused(text: str, count: int) -> None:
    with pytest.raises(StudioError, match="can't be judged"):
        parse_plan(text, count)


def test_wrong_models_samplers_and_steps_are_refused_before_painting(painter: Painter) -> None:
    with pytest.raises(ModelError, match="no model 'nobody'"):
        runs_of(painter, "nobody", EvaluationPlan("ddim", 5, 16))
    with pytest.raises(RecipeError, match="no sampler 'magic'"):
        runs_of(painter, "tiny", EvaluationPlan("magic", 5, 16))
    with pytest.raises(RecipeError, match="at most 1000"):
        runs_of(painter, "tiny", EvaluationPlan("ddim", 1001, 16))
    with pytest.raises(RecipeError, match="at least 1"):
        runs_of(painter, "tiny", EvaluationPlan("ddim", 0, 16))
    with pytest.raises(RecipeError, match="did not learn its variance"):
        runs_of(painter, "tiny", EvaluationPlan("ddpm-learned", 5, 16))
    with pytest.raises(RecipeError, match="spacing"):
        runs_of(painter, "tiny", EvaluationPlan("ddim", 5, 16), spacing="wide")


def test_sample_i_is_the_picture_of_seed_plus_i(painter: Painter) -> None:
    plan = EvaluationPlan("ddim", 3, 20)
    said = {"seed": 5, "spacing": "trailing", "precision": "exact"}
    runs = recipes(painter, "tiny", plan, **said)  # type: ignore[arg-type]
    steps: list[None] = []
    samples = paint_all(painter, runs, lambda: steps.append(None))
    assert samples.shape == (20, 16, 16, 3)
    assert len(steps) == len(runs) * (plan.steps + 1)
    single = runs[0].model_copy(update={"seed": 5 + 18, "pictures": 1})
    alone = paint_all(painter, [single], lambda: None)
    assert np.abs(samples[18].astype(int) - alone[0]).max() <= 1


def test_a_model_with_classes_paints_them_in_proportion_unless_told_otherwise(
    painter: Painter,
) -> None:
    plan = EvaluationPlan("ddim", 2, 70)
    said = {"seed": 5, "spacing": "trailing", "precision": "exact"}
    runs = recipes(painter, "classes", plan, **said)  # type: ignore[arg-type]
    assert [run.label for run in runs] == [0, 0, 0, 0, 0, 1, 2]
    assert [run.seed for run in runs] == [5, 21, 37, 53, 69, 72, 74]
    assert sum(run.pictures for run in runs) == 70
    asked = Asked("Street", 2.0, 800, 200)
    guided = recipes(painter, "classes", plan, **said, asked=asked)  # type: ignore[arg-type]
    assert {run.label for run in guided} == {2}
    assert {(r.guidance_scale, r.guidance_from, r.guidance_to) for r in guided} == {(2.0, 800, 200)}
    with pytest.raises(RecipeError, match="no class 'Monet'"):
        recipes(painter, "classes", plan, **said, asked=Asked("Monet"))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="towards a class, and any is none"):
        recipes(painter, "classes", plan, **said, asked=Asked("any", 2.0))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="can't be guided"):
        recipes(painter, "tiny", plan, **said, asked=Asked(None, 2.0))  # type: ignore[arg-type]


def test_samples_are_judged_class_by_class(painter: Painter) -> None:
    training = pictures(60, 2)
    files = tuple(f"{('garden', 'river')[i % 2]}/{i}.png" for i in range(60))
    training = ReferencePictures(training.pixels, files, ())
    labels = LabelConfig(source="folders")
    evaluator = Evaluator(painter, "classes", pictures(24, 1), training, style=False, labels=labels)
    plan, asked = EvaluationPlan("ddim", 2, 16), Asked("each", 1.5)
    said = {"seed": 0, "spacing": "trailing", "precision": "exact", "asked": asked}
    runs = recipes(painter, "classes", plan, **said)  # type: ignore[arg-type]
    row = evaluator.row(plan, runs, lambda: None, asked)
    assert [(it.name, it.samples) for it in row.classes] == [
        ("garden", 16),
        ("river", 16),
        ("street", 16),
    ]
    garden, _, street = row.classes
    assert garden.probe is not None
    assert garden.probe.paintings == 30
    assert garden.novelty is not None
    assert garden.novelty.pictures == 16
    assert street.probe is None  # of which there is no painting
    provenance = evaluator.provenance("exact")
    assert provenance.probe == "random"
    table = to_markdown(Evaluation(provenance, None, None, evaluator.control(), (row,)))
    assert "| ddim, each, guidance 1.5 | 2 | 48 / 24 |" in table
    assert "| street | 16 | too few | too few | too few | too few |" in table
    assert all(len(set(map(count_bars, part.splitlines()))) == 1 for part in tables_of(table))


def evaluate(painter: Painter, model: str, *, training: bool) -> Evaluation:
    evaluator = Evaluator(
        painter, model, pictures(24, 1), pictures(40, 2) if training else None, style=False
    )
    plans = [EvaluationPlan("ddim", 2, 20), EvaluationPlan("dpm-solver", 3, 16)]
    said = {"seed": 0, "spacing": "trailing", "precision": "exact"}
    return Evaluation(
        evaluator.provenance("exact"),
        evaluator.loss(lambda: None),
        evaluator.training_loss(lambda: None),
        evaluator.control(),
        tuple(
            evaluator.row(plan, recipes(painter, model, plan, **said), lambda: None)  # type: ignore[arg-type]
            for plan in plans
        ),
    )


def test_an_evaluation_says_what_it_measured_and_with_what(painter: Painter) -> None:
    evaluation = evaluate(painter, "tiny", training=True)
    weights = painter.models.load("tiny").weights
    found = json.loads(to_json(evaluation))
    assert found["provenance"]["weights"] == weights
    assert {"plein-air", "torch"} <= {name for name, _ in found["provenance"]["versions"]}
    first, second = found["rows"]
    assert first["plan"] == {"sampler": "ddim", "steps": 2, "count": 20, "schedule": None}
    assert (first["first_seed"], first["seconds"] > 0) == (0, True)
    assert (first["floor"]["samples"], second["floor"]["samples"]) == (20, 16)
    # Noise of an untrained network is farther from the paintings than paintings are.
    mmd = first["comparison"]["spaces"][0]["squared_mmd"]
    assert mmd["low"] > first["floor"]["spaces"][0]["squared_mmd"]["high"]
    assert evaluation.loss is not None
    assert evaluation.loss.pictures == 24
    assert evaluation.training_loss is not None
    assert evaluation.novelty is not None
    assert first["novelty"]["copies"] == 0

    tables = to_markdown(evaluation)
    assert "| ddim | 2 | 20 / 24 |" in tables
    assert "| floor |  | 20 / 24 |" in tables
    assert "| training pictures | 24 |" in tables
    assert all(len(set(map(count_bars, table.splitlines()))) == 1 for table in tables_of(tables))


def count_bars(line: str) -> int:
    return line.count("|")


def tables_of(text: str) -> list[str]:
    return [part for part in text.strip().split("\n\n") if part.startswith("|")]


def test_without_training_pictures_the_floor_is_half_the_reference_on_the_other(
    painter: Painter,
) -> None:
    evaluation = evaluate(painter, "classes", training=False)
    assert "half" in evaluation.provenance.floor
    floor = evaluation.rows[0].floor
    assert (floor.samples, floor.reference) == (12, 12)
    assert evaluation.novelty is None
    assert evaluation.rows[0].novelty is None
    assert evaluation.training_loss is None
    assert evaluation.loss is not None  # labels.json names the null label
    assert "nearest training picture" not in to_markdown(evaluation)
