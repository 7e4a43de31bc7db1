"""Models share a memory budget: the one used longest ago goes first, and none in use."""

import gc
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.errors import ModelError
from app.models.cache import MemoryBudget
from app.models.files import ModelFiles
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe


@dataclass(frozen=True)
class Machine(MemoryBudget):
    """A budget in bytes, on a machine with as much memory free as is said."""

    nbytes: int = 0
    free: int = 10**12

    @property
    def limit(self) -> int:
        return self.nbytes

    def available(self) -> int:
        return self.free


@pytest.fixture
def needed(model_root: Path) -> int:
    """What the largest of the three models takes."""
    models = [ModelFiles(name, model_root / name) for name in ("tiny", "learned", "classes")]
    return max(MemoryBudget().needed(files, files.num_parameters, 0) for files in models)


@pytest.fixture
def store(model_root: Path, needed: int) -> ModelStore:
    """Room for two."""
    return ModelStore([model_root], "cpu", 1, Machine(nbytes=2 * needed))


def test_the_model_used_longest_ago_goes_first(store: ModelStore) -> None:
    for name in ("tiny", "learned", "tiny", "classes"):
        store.load(name)
    assert store.shelf.ids == ("tiny", "classes")
    assert store.shelf.nbytes <= store.budget.limit


def test_a_model_that_went_leaves_the_memory(store: ModelStore) -> None:
    model = weakref.ref(store.load("tiny"))
    store.load("tiny").denoiser("exact")
    store.load("tiny").denoiser("fast")
    gc.disable()  # what only the collector would find isn't freed when it should be
    try:
        store.load("learned")
        store.load("classes")
        assert model() is None
    finally:
        gc.enable()


def test_a_model_in_use_stays(store: ModelStore) -> None:
    stream = Painter(store).films.stream(Recipe(model="tiny", steps=5))
    next(stream)
    store.load("learned")
    store.load("classes")
    assert store.shelf.ids == ("tiny", "classes")
    stream.close()
    store.load("learned")
    assert store.shelf.ids == ("classes", "learned")


def test_a_denoiser_keeps_its_model(store: ModelStore) -> None:
    denoiser = store.load("tiny").denoiser("exact")
    store.load("learned")
    store.load("classes")
    assert "tiny" in store.shelf.ids
    del denoiser


def test_where_all_are_in_use_another_is_refused_with_the_figures(store: ModelStore) -> None:
    held = store.load("tiny"), store.load("learned")
    with pytest.raises(ModelError, match=r"no memory .* MB on the disk, .* needs about .* MB"):
        store.load("classes")
    assert store.shelf.ids == ("tiny", "learned")
    assert store.load("tiny") is held[0]


def test_what_is_larger_than_the_budget_is_refused_before_it_is_read(
    model_root: Path, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore([model_root], "cpu", 1, Machine(nbytes=needed // 2))
    monkeypatch.setattr("app.models.loading.load_unet", lambda files: pytest.fail("it was read"))
    with pytest.raises(ModelError, match="too large"):
        store.load("tiny")


def test_what_the_machine_has_no_room_for_is_refused(model_root: Path, needed: int) -> None:
    store = ModelStore([model_root], "cpu", 1, Machine(nbytes=9 * needed, free=needed // 2))
    with pytest.raises(ModelError, match="MB of the machine's are free"):
        store.load("tiny")


def test_a_full_machine_makes_room_by_models_that_nobody_uses(
    model_root: Path, needed: int
) -> None:
    store = ModelStore([model_root], "cpu", 1, Machine(nbytes=9 * needed, free=needed))
    store.load("classes")
    full = ModelStore([model_root], "cpu", 1, Machine(nbytes=9 * needed, free=1_000))
    full.shelf.put("classes", store.load("classes"), needed)
    store.shelf.drop("classes")
    full.load("tiny")
    assert full.shelf.ids == ("tiny",)


def test_nobody_waits_for_another_models_disk(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.load("tiny")
    reading, read = threading.Event(), threading.Event()

    def slow(files: ModelFiles) -> None:
        reading.set()
        read.wait(20)
        raise ModelError("slow", "slow")

    monkeypatch.setattr("app.models.loading.load_unet", slow)

    def load() -> None:
        with pytest.raises(ModelError):
            store.load("learned")

    thread = threading.Thread(target=load)
    thread.start()
    assert reading.wait(20)
    assert store.load("tiny") is first
    read.set()
    thread.join()


def test_the_default_is_half_of_the_memory() -> None:
    assert MemoryBudget(100).limit == 100_000_000
    assert MemoryBudget().limit > 100_000_000
