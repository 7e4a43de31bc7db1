"""What a page asks: which painting comes nearest, by the model's name."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.datasets.labels import Painting
from app.models.store import ModelStore
from app.novelty.index import ARRAYS, NAMES, build_index, load_index, save_index
from app.novelty.nearest import Novelty, model_features
from app.settings import BUNDLED_MODELS
from tests.training.pictures import landscapes

TRAINING = landscapes(40, seed=1)
NAMED = tuple(Painting(f"Field {i}", "A. Painter") for i in range(40))


@pytest.fixture
def store(model_root: Path, tmp_path: Path) -> ModelStore:
    """A store whose model `tiny` has an index, and `plain` none."""
    for name in ("tiny", "plain"):
        shutil.copytree(model_root / "tiny", tmp_path / name)
    store = ModelStore([tmp_path])
    model = store.load("tiny")
    made = build_index(TRAINING, NAMED, model_features(model), weights=model.weights)
    save_index(made, model.folder)
    return store


def test_nearness_is_said_in_words(store: ModelStore) -> None:
    novelty = Novelty()
    assert novelty.in_words(store.load("tiny"), TRAINING[[7, 9]]) == (
        "Field 7, A. Painter: taken for a copy of it",
        "Field 9, A. Painter: taken for a copy of it",
    )
    unlike = landscapes(1, seed=9)
    (words,) = novelty.in_words(store.load("tiny"), unlike)
    assert "% come as near to another." in words
    assert Novelty().in_words(store.load("plain"), unlike) == ("",)


def test_the_nearest_painting_is_named(store: ModelStore) -> None:
    found = Novelty().nearest_paintings(store.load("tiny"), TRAINING[[7]])
    assert found is not None
    (nearest,) = found
    assert (nearest.title, nearest.artist) == ("Field 7", "A. Painter")
    assert nearest.is_copy
    assert nearest.control == "leave-one-out"


def test_a_model_without_an_index_has_no_nearest_paintings(store: ModelStore) -> None:
    assert Novelty().nearest_paintings(store.load("plain"), TRAINING[[7]]) is None


def test_the_index_is_read_once(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    novelty = Novelty()
    first = novelty.nearest_paintings(store.load("tiny"), TRAINING[[7]])
    monkeypatch.setattr("app.novelty.nearest.load_index", None)
    assert novelty.nearest_paintings(store.load("tiny"), TRAINING[[7]]) == first


def test_the_bundled_model_has_a_small_index_of_its_own_weights() -> None:
    store = ModelStore([BUNDLED_MODELS])
    files = store.find("impressionist-64")
    index = load_index(files.folder, files.weights_sha256)
    assert index is not None, "run python -m app index impressionist-64"
    assert index.control_kind == "held-out"
    assert (files.folder / ARRAYS).stat().st_size + (files.folder / NAMES).stat().st_size < 2e6
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    found = Novelty().nearest_paintings(store.load("impressionist-64"), noise)
    assert found is not None
    assert not found[0].is_copy
    assert found[0].artist
