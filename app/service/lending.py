"""Streams of a model's steps, which on ZeroGPU are lent a GPU for about as long as they take."""

from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

from app.engine.zero import lease_seconds, lent_step_seconds
from app.service.model_files import ModelFiles
from app.service.models import LoadedModel, ModelInfo, ModelStore, describe
from app.service.recipe import PRECISIONS

P = ParamSpec("P")
T = TypeVar("T")


def lend(
    models: ModelStore,
    task: Callable[Concatenate[LoadedModel, P], Iterator[T]],
    steps: Callable[Concatenate[ModelInfo, P], tuple[int, int]],
) -> Callable[Concatenate[LoadedModel, P], Iterator[T]]:
    """`task`, a stream of a model's steps, as it is to be called here: on ZeroGPU, lent a GPU.

    Args:
        models: Where the model is from.
        task: All that it needs comes by its arguments, and all that it gives is yielded.
        steps: Of the same arguments, how many network steps it takes, and of how many pictures.
    """
    gpu = models.gpu
    if gpu is None:
        return task

    def on_gpu(files: ModelFiles, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        model = models.open(files)
        yield from task(model.on(gpu.device), *args, **kwargs)

    def seconds(files: ModelFiles, *args: P.args, **kwargs: P.kwargs) -> int:
        info = describe(files)
        return lease_seconds(*steps(info, *args, **kwargs), info.size)

    lent = gpu.lend(on_gpu, seconds)

    def lending(model: LoadedModel, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return lent(model.files, *args, **kwargs)

    return lending


def assumed_step_seconds(models: ModelStore, pictures: int, side: int) -> float | None:
    """What a stream's step takes where it can't be measured beforehand; None where it can."""
    return lent_step_seconds(pictures, side) if models.gpu else None


def warm_up(models: ModelStore, model_id: str) -> None:
    """Have a model ready in each precision where streams run, so that the first needn't wait.

    On ZeroGPU it is for the main thread to call this, before the page is launched.

    Raises:
        ModelError: As `ModelStore.load` does.
    """
    model = models.load(model_id)
    for precision in PRECISIONS:
        (model.on(models.gpu.device) if models.gpu else model).denoiser(precision)
