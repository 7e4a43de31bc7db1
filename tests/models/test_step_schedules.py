"""schedules.json: read strictly, told before a model is loaded, refused for other weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.errors import ModelError, RecipeError
from app.models.step_schedules import STEP_SCHEDULES
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe


@pytest.fixture
def models(model_root: Path, tmp_path: Path) -> ModelStore:
    shutil.copytree(model_root / "tiny", tmp_path / "models" / "tiny")
    return ModelStore([tmp_path / "models"])


def entry(models: ModelStore, **changes: object) -> dict[str, Any]:
    return {
        "name": "3 steps",
        "sampler": "dpm-solver-eta",
        "step_t": [1000, 500, 10],
        "step_eta": [1, 0.5, 0],
        "weights": models.find("tiny").weights_sha256,
    } | changes


def write(models: ModelStore, *entries: object) -> None:
    written = json.dumps({"schedules": entries})
    (models.find("tiny").folder / STEP_SCHEDULES).write_text(written)


def test_a_schedule_is_told_and_painted_by_its_lists(models: ModelStore) -> None:
    assert models.describe("tiny").schedules == ()
    write(models, entry(models), entry(models, name="other"))
    assert [it.name for it in models.describe("tiny").schedules] == ["3 steps", "other"]
    found = models.find("tiny").schedule("3 steps")
    wish = Recipe.checked({"model": "tiny", "seed": 3} | found.wish)
    assert (wish.steps, wish.step_t, wish.step_eta) == (3, (1000, 500, 10), (1.0, 0.5, 0.0))
    film = Painter(models).films.result(wish)
    assert len(film) == 4


def test_a_name_that_is_none_and_other_weights_are_refused(models: ModelStore) -> None:
    with pytest.raises(RecipeError, match=r"no schedule .16 steps.\..*Search for one"):
        models.find("tiny").schedule("16 steps")
    write(models, entry(models, weights="0" * 64))
    with pytest.raises(RecipeError, match="Choose one of: 3 steps"):
        models.find("tiny").schedule("16 steps")
    with pytest.raises(RecipeError, match=r"of other weights\..*Search again"):
        models.find("tiny").schedule("3 steps")
    assert models.describe("tiny").schedules  # whose weights they are isn't looked at yet


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "a:b"}, "no name"),
        ({"sampler": "magic"}, "no sampler 'magic'"),
        ({"sampler": "ddim"}, "are for dpm-solver-eta"),
        ({"step_t": [500, 1000, 10]}, "doesn't fall"),
        ({"step_t": [2000, 500, 10]}, "begins at t = 2000, beyond T"),
        ({"step_eta": [1, 1]}, "3 entries and step_eta 2"),
        ({"step_eta": [1, 1, -1]}, "at least 0"),
        ({"step_eta": ["1", 1, 1]}, "not a number"),
        ({"weights": "abc"}, "weights"),
    ],
)
def test_a_file_that_is_damaged_is_said_so(
    models: ModelStore, changes: dict[str, object], reason: str
) -> None:
    write(models, entry(models, **changes))
    with pytest.raises(ModelError, match=r"in its schedules\.json") as refused:
        models.describe("tiny")
    assert reason in str(refused.value)


def test_two_schedules_have_two_names(models: ModelStore) -> None:
    write(models, entry(models), entry(models))
    with pytest.raises(ModelError, match="the same name"):
        models.describe("tiny")
