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
from app.painting.recipe import Recipe
from app.settings import ASSETS, BUNDLED_MODELS
from tools.showcase import FILM_MOMENTS, save_examples


@pytest.fixture
def painter(model_root: Path) -> Painter:
    return Painter(ModelStore([model_root]))


def test_examples_come_back_as_they_were_painted(painter: Painter, tmp_path: Path) -> None:
    wishes = [Recipe(model="tiny", steps=steps, seed=steps) for steps in (60, 5)]
    (tmp_path / "old.png").write_bytes(b"an example of other weights")
    save_examples(painter, Novelty(), wishes, tmp_path)
    long, short = load_examples(tmp_path)
    assert not (tmp_path / "old.png").exists()
    assert (len(long.moments), len(short.moments)) == (FILM_MOMENTS, 6)
    assert short.recipe == painter.complete(wishes[1]).request
    assert [m.t for m in short.moments] == [1000, 800, 600, 400, 200, 0]
    assert short.moments[-1].snr_db is None
    sheet = np.asarray(Image.open(io.BytesIO(short.film)).convert("RGB")).astype(int)
    picture = np.asarray(Image.open(io.BytesIO(short.png))).astype(int)
    assert sheet.shape == (48, 96, 3)
    for view in (0, 1):
        assert np.abs(sheet[view * 16 : view * 16 + 16, 80:] - picture).mean() < 12


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
    assert sum(len(e.png) for e in examples) + len(examples[0].film) < 1_000_000
