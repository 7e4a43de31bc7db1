"""Files that are replaced while the studio runs: what is asked for next is made with the new."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.datasets.labels import Painting
from app.errors import ModelError
from app.laboratory.bound import BoundLab
from app.laboratory.experiments import BoundRequest, Subject
from app.models.files import ModelFiles
from app.models.loading import LoadedModel
from app.models.network_files import WEIGHTS
from app.models.store import ModelStore
from app.novelty.index import build_index, save_index
from app.novelty.nearest import Novelty, model_features
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from tests.conftest import save_tiny_model, save_tiny_stage
from tests.laboratory.pictures import upload


@pytest.fixture
def root(model_root: Path, tmp_path: Path) -> Path:
    """A folder of our own with the model `tiny` and a second stage."""
    for name in ("tiny", "brushwork-256"):
        shutil.copytree(model_root / name, tmp_path / name)
    return tmp_path


def recipe(**changes: object) -> Recipe:
    return Recipe.checked({"model": "tiny", "steps": 3, "seed": 7} | changes)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def larger(folder: Path) -> None:
    """Put another model in the folder's place, as a person does who copies one there."""
    shutil.rmtree(folder)
    save_tiny_model(folder, sample_size=32, block_out_channels=(8, 16))


def renewed(folder: Path) -> None:
    """Write other weights of the same size into the same file."""
    weights = folder / "unet" / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-400:] = bytes(400)
    weights.write_bytes(data)


def moved_in(folder: Path) -> None:
    """Rename other weights into place, with the size and the time of those before."""
    weights = folder / "unet" / WEIGHTS
    before = weights.stat()
    data = bytearray(weights.read_bytes())
    data[-400:] = bytes(400)
    new = weights.with_suffix(".new")
    new.write_bytes(data)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(weights)


@pytest.mark.parametrize("replace", [larger, renewed, moved_in])
def test_replaced_weights_are_loaded_when_the_model_is_next_asked_for(
    root: Path, replace: Callable[[Path], None]
) -> None:
    store = ModelStore([root])
    before = store.load("tiny")
    assert store.load("tiny") is before
    replace(root / "tiny")
    after = store.load("tiny")
    assert after.weights != before.weights
    assert after.weights == ModelFiles("tiny", root / "tiny").weights_sha256
    assert after.info == store.describe("tiny")
    assert store.load("tiny") is after
    assert store.shelf.ids == ("tiny",)


def test_a_mended_configuration_counts_though_the_weights_stay(root: Path) -> None:
    painter = Painter(ModelStore([root]))
    before = painter.films.result(painter.complete(recipe()))
    edit(root / "tiny" / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    run = painter.complete(recipe())
    assert run.model._target == "v_prediction"
    after = painter.films.result(run)
    assert not np.array_equal(after[-1].x_t, before[-1].x_t)
    assert painter.films.result(painter.complete(recipe())) is after


def test_the_bound_of_replaced_files_is_computed_anew(root: Path) -> None:
    lab = BoundLab(Painter(ModelStore([root])))
    subjects = (Subject(kind="picture", source=upload(1), name="one"),)
    wish = BoundRequest(model="tiny", subjects=subjects, terms=2, draws=2)
    before = lab.bounds.result(lab.complete(wish))
    assert lab.bounds.result(lab.complete(wish)) is before
    edit(root / "tiny" / "scheduler" / "scheduler_config.json", beta_end=0.01)
    assert lab.bounds.result(lab.complete(wish)).latest != before.latest


def test_a_replaced_stage_paints_the_same_small_picture_anew(root: Path) -> None:
    painter = Painter(ModelStore([root]))
    wish = recipe(size=64, stage_steps=2)
    before = painter.films.result(painter.complete(wish))
    shutil.rmtree(root / "brushwork-256")
    save_tiny_stage(root / "brushwork-256", block_out_channels=(4, 8))
    run = painter.complete(wish)
    assert painter.films.remembered(run) is None
    items = [it for it in painter.films.stream(run) if isinstance(it, Moment)]
    assert np.array_equal(items[3].x_t, before[3].x_t), "the small picture is the same"
    assert not np.array_equal(items[-1].x_t, before[-1].x_t)
    assert run.request.stage_weights == ModelFiles("", root / "brushwork-256").weights_sha256


def test_a_run_under_way_ends_with_the_weights_that_it_began_with(root: Path) -> None:
    painter = Painter(ModelStore([root]))
    whole = painter.films.result(painter.complete(recipe()))
    run = painter.complete(recipe(pictures=2))
    stream = painter.films.stream(run)
    next(stream)
    larger(root / "tiny")
    assert painter.complete(recipe()).model.info.size == 32
    *_, last = stream
    assert isinstance(last, Moment)
    assert np.array_equal(last.x_t[0], whole[-1].x_t[0])


def test_a_model_that_is_adopted_is_looked_at_again_too(root: Path) -> None:
    store = ModelStore([])
    store.adopt(ModelFiles("elsewhere", root / "tiny"))
    assert store.load("elsewhere").info.size == store.describe("elsewhere").size == 16
    larger(root / "tiny")
    assert store.load("elsewhere").info.size == store.describe("elsewhere").size == 32


def test_files_replaced_while_they_are_read_are_no_model(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = LoadedModel.__init__

    def slow(self: LoadedModel, files: ModelFiles, *others: object) -> None:
        init(self, files, *others)  # type: ignore[arg-type]
        renewed(files.folder)

    monkeypatch.setattr(LoadedModel, "__init__", slow)
    store = ModelStore([root])
    with pytest.raises(ModelError, match="replaced while they were read"):
        store.load("tiny")
    assert store.shelf.ids == ()
    monkeypatch.undo()
    assert store.load("tiny").weights == ModelFiles("tiny", root / "tiny").weights_sha256


def test_a_new_index_is_asked_from_then_on(root: Path) -> None:
    store, novelty = ModelStore([root]), Novelty()
    model = store.load("tiny")
    pictures = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    assert novelty.nearest_paintings(model, pictures[:1]) is None
    names = [Painting(str(i), "") for i in range(len(pictures))]
    index = build_index(pictures, names, model_features(model), weights=model.weights)
    save_index(index, root / "tiny")
    found = novelty.nearest_paintings(store.load("tiny"), pictures[3:4])
    assert found is not None
    assert found[0].row == 3
