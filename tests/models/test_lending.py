"""On ZeroGPU every stream is lent a GPU, runs in another process, and is the same as elsewhere."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.errors import ModelError, StudioError
from app.laboratory.bound import BoundLab
from app.laboratory.experiments import (
    BoundRequest,
    Denoising,
    Grid,
    Mixing,
    Morph,
    SeedMorph,
    Subject,
)
from app.laboratory.mix import MixLab
from app.laboratory.noise import NoiseLab
from app.models.loading import LoadedModel
from app.models.store import ModelStore, lend, warm_up
from app.networks.executor import DeviceExecutor
from app.networks.zero_gpu import ZeroGpuExecutor, lease_seconds
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.painting.runs import LoadedRun
from app.settings import Settings
from app.studio import StudioModels
from tests.laboratory.pictures import painted, run, upload
from tests.zerogpu import GPUTaskError, Lender

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture
def lender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lender]:
    lender, threads = Lender(), torch.get_num_threads()
    monkeypatch.setitem(sys.modules, "spaces", lender.module())
    yield lender
    lender.end()
    torch.set_num_threads(threads)


@pytest.fixture
def zero(model_root: Path, lender: Lender, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    def refuse(*_: object) -> None:
        raise AssertionError("the owner thread has no part in ZeroGPU")

    store = ModelStore([model_root], "cpu", zero_gpu=True)
    monkeypatch.setattr(DeviceExecutor, "__init__", refuse)
    return store


def recipe(**changes: object) -> Recipe:
    return Recipe.checked({"model": "tiny", "steps": 4, "seed": 7} | changes)


PAIR = {"run": run(steps=4), "first": upload(1), "second": upload(2)}
PARENT = recipe(pictures=2).for_picture(1)


def film(store: ModelStore) -> Iterator[Any]:
    return Painter(store).films.stream(recipe(pictures=2, sampler="ddpm"))


def branch(store: ModelStore) -> Iterator[Any]:
    painter = Painter(store)
    return painter.films.stream(painter.branch(PARENT, 2, variations=2, seed=9))


def enlarged(store: ModelStore) -> Iterator[Any]:
    return Painter(store).films.stream(recipe(pictures=2, size=64, stage_steps=3, stage_noise=20))


def labelled(store: ModelStore) -> Iterator[Any]:
    return Painter(store).films.stream(recipe(model="classes", label=1, guidance_scale=2.0))


def mixture(store: ModelStore) -> Iterator[Any]:
    wish = Mixing.checked(PAIR | {"t": 500, "mix": 0.5, "second": painted(3)})
    return MixLab(Painter(store)).films.stream(wish)


def denoised(store: ModelStore) -> Iterator[Any]:
    return NoiseLab(Painter(store)).films.stream(
        Denoising.checked({"run": run(steps=4), "source": upload(1), "t": 500})
    )


def grid(store: ModelStore) -> Iterator[Any]:
    wish = Grid.checked(PAIR | {"rows": (0, 500, 1000), "between": 1})
    return MixLab(Painter(store)).grids.stream(wish)


def morph(store: ModelStore) -> Iterator[Any]:
    return MixLab(Painter(store)).morphs.stream(Morph.checked(PAIR | {"t": 500, "frames": 10}))


def seed_morph(store: ModelStore) -> Iterator[Any]:
    wish = SeedMorph.checked({"run": run(steps=3), "second": 5, "frames": 3})
    return MixLab(Painter(store)).morphs.stream(wish)


def large_morph(store: ModelStore) -> Iterator[Any]:
    run_64 = run(steps=3, size=64, stage_steps=2)
    wish = SeedMorph.checked({"run": run_64, "second": 5, "frames": 3})
    return MixLab(Painter(store)).morphs.stream(wish)


def another_brushwork(store: ModelStore) -> Iterator[Any]:
    lab = NoiseLab(Painter(store))
    wish = Denoising.checked(
        {"run": run(steps=4, size=64, stage_steps=2), "source": upload(1), "t": 500}
    )
    list(lab.films.stream(lab.complete(wish.small)))
    return lab.films.stream(lab.complete(wish))


def bound(store: ModelStore) -> Iterator[Any]:
    wish = BoundRequest(model="tiny", subjects=(Subject(name="it", source=upload(1)),), terms=4)
    return BoundLab(Painter(store)).bounds.stream(wish)


STREAMS = (
    *(film, branch, enlarged, another_brushwork, labelled, mixture, denoised),
    *(grid, morph, seed_morph, large_morph, bound),
)


def parts(item: object) -> list[object]:
    """`item`'s values, whatever is nested in it; arrays as what they hold."""
    if isinstance(item, np.ndarray):
        return [item.dtype, item.shape, item.tobytes()]
    if isinstance(item, tuple | list):
        return [part for each in item for part in parts(each)]
    if hasattr(item, "__dataclass_fields__"):
        fields = [getattr(item, name) for name in item.__dataclass_fields__]
        return [type(item), *parts(fields)]
    return [item]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: str(stream.__name__))
def test_a_lent_stream_is_the_stream_that_it_is_elsewhere(
    model_root: Path, lender: Lender, stream: Callable[[ModelStore], Iterator[Any]]
) -> None:
    elsewhere = [parts(item) for item in stream(ModelStore([model_root], "cpu", 1))]
    assert not lender.durations
    lent = ModelStore([model_root], "cpu", 1, zero_gpu=True)
    assert not isinstance(lent.executor, DeviceExecutor)
    assert [parts(item) for item in stream(lent)] == elsewhere
    assert lender.durations
    assert all(process.pid != os.getpid() for process in lender.processes)


def test_nothing_of_a_stream_runs_on_a_thread_of_this_process(
    zero: ModelStore, lender: Lender
) -> None:
    def who(model: LoadedModel) -> Iterator[tuple[int, list[str]]]:
        model.denoiser("exact").predict(torch.zeros(1, 3, 16, 16), torch.tensor([5]), None)
        yield os.getpid(), [thread.name for thread in threading.enumerate()]

    before = set(threading.enumerate())  # other tests' owner threads may not have ended yet
    lent = lend(zero, who, lambda _: (1, 1))
    model = zero.load("tiny")
    ((pid, threads),) = lent(model)
    assert pid == lender.processes[0].pid
    assert not any(name.startswith("network") for name in threads)
    begun = set(threading.enumerate()) - before
    assert not any(thread.name.startswith("network") for thread in begun)


def test_a_gpu_is_asked_for_by_steps_and_pictures(zero: ModelStore, lender: Lender) -> None:
    painter = Painter(zero)
    for wish in (recipe(), recipe(pictures=3), painter.branch(PARENT, 2, variations=2, seed=9)):
        list(painter.films.stream(wish))
    assert lender.durations == [
        lease_seconds(4, 1, 16), lease_seconds(4, 3, 16), lease_seconds(4, 2, 16),
    ]  # fmt: skip
    assert lease_seconds(1000, 4, 64) > lease_seconds(100, 4, 64) > lease_seconds(100, 1, 64)
    assert lease_seconds(1000, 1, 256) > lease_seconds(1000, 1, 64)
    assert len(lender.processes) == 1  # kept, as ZeroGPU keeps them


def test_a_model_that_came_after_the_fork_is_painted_with(
    zero: ModelStore, model_root: Path, lender: Lender
) -> None:
    painter = Painter(zero)
    list(painter.films.stream(recipe()))
    late = list(painter.films.stream(recipe(model="learned", sampler="ddpm")))
    assert len(late) == 5
    assert len(lender.processes) == 1


def test_a_lock_held_while_the_process_forks_stops_no_stream(zero: ModelStore) -> None:
    stream = Painter(zero).films.stream(LoadedRun.of(recipe(), zero.load("tiny")))
    with zero.shelf._lock, zero._loading:
        next(stream)  # forks
    assert len(list(stream)) == 4


def test_closing_a_lent_stream_ends_it_and_the_next_one_runs(zero: ModelStore) -> None:
    painter = Painter(zero)
    stream = painter.films.stream(recipe(steps=200))
    next(stream)
    stream.close()
    assert len(list(painter.films.stream(recipe()))) == 5
    assert painter.films.remembered(painter.complete(recipe(steps=200))) is None


def test_what_was_lent_is_remembered_here(zero: ModelStore, lender: Lender) -> None:
    painter = Painter(zero)
    list(painter.films.stream(recipe()))
    assert painter.films.result(recipe())[-1].t == 0
    assert len(lender.durations) == 1


def test_an_error_keeps_its_words_if_it_is_for_a_person(zero: ModelStore) -> None:
    def broken(model: LoadedModel, error: Exception) -> Iterator[int]:
        yield 1
        raise error

    lent, model = lend(zero, broken, lambda *_: (1, 1)), zero.load("tiny")
    with pytest.raises(ModelError) as caught:
        list(lent(model, ModelError("No room.", "Add some.")))
    assert (caught.value.message, caught.value.hint) == ("No room.", "Add some.")
    with pytest.raises(GPUTaskError, match="KeyError"):
        list(lent(model, KeyError("inside")))


def test_what_can_not_travel_is_refused(zero: ModelStore) -> None:
    def threads(model: LoadedModel) -> Iterator[object]:
        yield threading.Lock()

    with pytest.raises(GPUTaskError, match="TypeError"):
        list(lend(zero, threads, lambda _: (1, 1))(zero.load("tiny")))


def test_single_steps_run_here_without_a_gpu(zero: ModelStore, lender: Lender) -> None:
    model = zero.load("tiny")
    assert model.features(torch.zeros(1, 3, 16, 16), torch.tensor([5])).shape[0] == 1
    grid = Grid.checked(PAIR | {"rows": (0, 1000), "between": 1})
    lab = MixLab(Painter(zero))
    estimate = lab.estimate(lab.complete(grid))
    assert estimate.seconds > 0
    assert not lender.durations


def test_networks_are_placed_on_cuda_which_spaces_brings(
    model_root: Path, lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real one patches torch when it is imported, so it has to come first."""
    placed: list[str] = []

    def network(*_: object, device: torch.device, precision: str) -> object:
        placed.append(f"{precision} on {device.type}")
        return torch.nn.Identity()

    monkeypatch.setattr("app.models.loading.UNetDenoiser", network)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    warm_up(ModelStore([model_root], zero_gpu=True), "tiny")
    assert placed == ["exact on cuda", "fast on cuda"] * 2  # the model and the second stage


def test_spaces_is_imported_on_zero_gpu_alone(
    model_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)  # any import of it fails
    list(Painter(StudioModels(Settings(models_dir=model_root))).films.stream(recipe()))
    with pytest.raises(StudioError, match="spaces") as caught:
        ZeroGpuExecutor()
    assert "SPACES_ZERO_GPU" in caught.value.hint


def test_a_latent_models_lent_stream_is_the_stream_that_it_is_elsewhere(
    latent_root: Path, lender: Lender
) -> None:
    source = str(upload(1, 32).pixels)
    wish = recipe(model="AutoencoderKL", source=source, start_t=600, sampler="ddim")
    elsewhere = Painter(ModelStore([latent_root], "cpu", 1)).films.stream(wish)
    lent = Painter(ModelStore([latent_root], "cpu", 1, zero_gpu=True)).films.stream(wish)
    assert [parts(item) for item in lent] == [parts(item) for item in elsewhere]
    assert len(lender.durations) == 1
