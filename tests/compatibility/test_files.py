"""Paintings, links and experiments of an earlier version are read, and painted again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.__main__ import main
from app.laboratory.experiments import read_experiment
from app.painting.recipe import Recipe, read_recipe
from tests.compatibility.fixtures import BEFORE, MODELS, assert_holds, pixels, table, text_of

PICTURES = sorted((BEFORE / "paintings").glob("*.png"))
PAINTINGS = [path for path in PICTURES if not path.stem.endswith("-strip")]
EXPERIMENTS = sorted((BEFORE / "experiments").glob("*.png"))
LINKS: dict[str, str] = table("links.json")


def name_of(path: Path) -> str:
    return path.stem


@pytest.fixture
def repaint(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Path], Path]:
    """Paints a PNG's recipe again, as a person in a shell does."""
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(MODELS))
    monkeypatch.setenv("PLEIN_AIR_DEVICE", "cpu")

    def run(painting: Path, out: Path) -> Path:
        with pytest.raises(SystemExit) as end:
            main(["paint", "--recipe", str(painting), "--out", str(out)])
        assert end.value.code == 0
        return out / painting.name

    return run


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_a_recipe_is_read_as_it_was_written(picture: Path) -> None:
    recipe = read_recipe(picture.read_bytes())
    assert_holds(json.loads(recipe.to_json()), text_of(picture, "plein-air-recipe"))


@pytest.mark.parametrize("painting", PAINTINGS, ids=name_of)
def test_a_painting_is_painted_again(
    painting: Path, tmp_path: Path, repaint: Callable[[Path, Path], Path]
) -> None:
    """As README promises of exact precision: elsewhere within 1/255, here twice the same."""
    first, second = (repaint(painting, tmp_path / turn) for turn in ("first", "second"))
    assert np.abs(pixels(first) - pixels(painting)).max() <= 1
    assert np.array_equal(pixels(first), pixels(second))


def test_every_painting_has_its_link() -> None:
    assert sorted(LINKS) == [path.name for path in PAINTINGS]


@pytest.mark.parametrize("painting", PAINTINGS, ids=name_of)
def test_a_link_is_read_as_its_painting(painting: Path) -> None:
    recipe = Recipe.from_link(LINKS[painting.name])
    assert recipe == read_recipe(painting.read_bytes())


@pytest.mark.parametrize("picture", EXPERIMENTS, ids=name_of)
def test_an_experiment_is_read_as_it_was_written(picture: Path) -> None:
    experiment = read_experiment(picture.read_bytes())
    assert_holds(json.loads(experiment.to_json()), text_of(picture, "plein-air-laboratory"))


def test_there_is_one_of_each_experiment() -> None:
    kinds = {text_of(picture, "plein-air-laboratory")["experiment"] for picture in EXPERIMENTS}
    assert kinds == {
        *("noising", "chain", "inspection", "denoising"),
        *("mixing", "grid", "morph", "seed_morph", "bounding"),
    }
