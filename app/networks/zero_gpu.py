"""ZeroGPU: a GPU that is lent for moments, to one generator at a time in a process of its own.

The package `spaces`, which Hugging Face installs in its Spaces, forks a process for each generator
function that `spaces.GPU` wraps, gives that process a GPU, sends it the arguments and sends back
what is yielded. No thread of this process ever has the GPU, and the owner thread would not live on
in the other, so here steps don't wait for turns: they run on the caller's thread. Work that isn't
lent a GPU runs on the CPU.
"""

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from importlib import import_module
from math import ceil
from typing import Final, ParamSpec, TypeVar

import torch

from app.errors import StudioError
from app.networks.devices import choose_device
from app.networks.executor import PROCESSORS, NetworkExecutor

P = ParamSpec("P")
T = TypeVar("T")

BEGINNING_SECONDS: Final = 8
"""The time that a forked process needs to get its GPU and the weights."""

STEP_SECONDS: Final = 0.03
PICTURE_SECONDS: Final = 0.003
"""The time of a step, and of each 64-px picture in it: assumed on the safe side, not measured."""

_TILE: Final = 64


class ZeroGpuExecutor(NetworkExecutor):
    """An executor without a thread: each caller does its own work.

    Made in the main thread, before the page is launched: once imported, `spaces` lets networks be
    placed on "cuda" at once, and each forked process gets them from there. Code that opens a page
    imports `spaces` before it asks torch for a GPU.

    Attributes:
        threads: The threads that each caller computes with on the CPU.
        device: Where lent generators compute.

    Args:
        device: auto, cpu, cuda or mps.
        threads: The number of torch's threads; 0 leaves it to torch.

    Raises:
        StudioError: If `spaces` isn't installed, or there is no such device.
    """

    def __init__(self, device: str = "auto", threads: int = 0) -> None:
        self.threads = threads or PROCESSORS
        torch.set_num_threads(self.threads)
        try:
            self._spaces = import_module("spaces")
        except ImportError as error:
            raise StudioError(
                f"The package spaces can't be used ({error}).",
                "ZeroGPU Spaces bring it; elsewhere unset SPACES_ZERO_GPU.",
            ) from error
        # Only now, for `spaces` is what tells torch that there is a GPU.
        self.device = choose_device(device)

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Do `work` at once, on the caller's thread."""
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def lend(
        self, task: Callable[P, Iterator[T]], seconds: Callable[P, int]
    ) -> Callable[P, Iterator[T]]:
        """Wrap `task` so that each call is lent a GPU for the time that `seconds` says.

        Arguments and yielded items travel between processes: all must be picklable, with tensors
        on the CPU. A StudioError of the task is raised here as it is; of any other error
        `spaces` tells the name alone, and logs the rest.

        Args:
            task: A generator function.
            seconds: Estimates from the same arguments how long the task takes, in seconds.
        """

        def packed(_: int, arguments: bytes) -> Iterator[bytes]:
            args, kwargs = pickle.loads(arguments)
            try:
                for item in task(*args, **kwargs):
                    # By value: else each tensor would take a file of shared memory.
                    yield pickle.dumps(item)
            except StudioError as error:
                yield pickle.dumps(error)

        lent = self._spaces.GPU(duration=lambda duration, _: duration)(packed)

        def borrowing(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            for item in map(
                pickle.loads, lent(seconds(*args, **kwargs), pickle.dumps((args, kwargs)))
            ):
                if isinstance(item, StudioError):
                    raise item
                yield item

        return borrowing


def lent_step_seconds(pictures: int, side: int) -> float:
    """Estimate the seconds that a step of `pictures` of `side` pixels takes on a lent GPU."""
    return STEP_SECONDS + PICTURE_SECONDS * pictures * (side / _TILE) ** 2


def lease_seconds(steps: int, pictures: int, side: int) -> int:
    """Estimate the seconds to ask a GPU for: `steps` with `pictures` of `side` pixels in each."""
    return ceil(BEGINNING_SECONDS + steps * lent_step_seconds(pictures, side))
