"""The examples that the page opens with."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import StudioError
from app.models.store import ModelStore
from app.novelty.nearest import Novelty
from app.painting.examples import INDEX, load_examples
from app.painting.painter import Painter
from app.painting.recipe import Recipe, read_recipe
from app.settings import ASSETS, BUNDLED_MODELS
from tools.showcase import FILM_MOMENTS, save_examples


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def test_examples_come_back_as_they_were_painted(painter: Painter, tmp_path: Path) -> None:
    wishes = [Recipe(model="tiny", steps=steps, seed=steps) for steps in (60, 5)]
    wishes.append(Recipe(model="tiny", steps=5, size=64))
    (tmp_path / "old.png").write_bytes(b"an example of other weights")
    save_examples(painter, Novelty(), wishes, tmp_path)
    long, short, large = load_examples(tmp_path)
    assert not (tmp_path / "old.png").exists()
    assert (len(long.moments), len(short.moments)) == (FILM_MOMENTS, 6)
    assert short.recipe == painter.complete(wishes[1]).request
    assert [m.t for m in short.moments] == [1000, 800, 600, 400, 200, 0]
    assert short.moments[-1].snr_db is None
    (film,) = short.films
    sheet = np.asarray(Image.open(io.BytesIO(film)).convert("RGB")).astype(int)
    picture = np.asarray(Image.open(io.BytesIO(short.png))).astype(int)
    assert sheet.shape == (48, 96, 3)
    for view in (0, 1):
        assert np.abs(sheet[view * 16 : view * 16 + 16, 80:] - picture).mean() < 12
    assert [m.index for m in large.moments] == [*range(6), 6, 9, 12, 15, 18]
    assert (large.second, large.total) == (6, 18)
    assert [Image.open(io.BytesIO(film)).size for film in large.films] == [(96, 48), (320, 192)]
    assert read_recipe(large.small_path.read_bytes()) == large.recipe.small
    with Image.open(large.path) as picture_at_64, Image.open(large.small_path) as at_16:
        assert (picture_at_64.size, at_16.size) == ((64, 64), (16, 16))


def test_a_folder_without_index_has_no_examples(tmp_path: Path) -> None:
    assert load_examples(tmp_path) == ()


@pytest.mark.parametrize(
    "text", ["{", '[{"name": 1}]', '[{"name": "a", "total": 1, "moments": 3}]']
)
def test_a_broken_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(StudioError, match=r"index\.json"):
        load_examples(tmp_path)


def test_the_bundled_examples_were_painted_by_the_bundled_weights(painter: Painter) -> None:
    weights = ModelStore([BUNDLED_MODELS]).find("impressionist-64").weights_sha256
    examples = load_examples(ASSETS / "showcase")
    assert len(examples) >= 6
    assert {example.recipe.weights for example in examples} == {weights}
    stage = ModelStore([BUNDLED_MODELS]).load_stage("brushwork-256").weights
    assert {example.recipe.stage_weights for example in examples} == {stage}
