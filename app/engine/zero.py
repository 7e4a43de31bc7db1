"""ZeroGPU: a GPU that is lent for moments, to one generator at a time in a process of its own.

The package `spaces`, which Hugging Face installs in its Spaces, forks a process for each generator
function that `spaces.GPU` wraps, gives that process a GPU, sends it the arguments and sends back
what is yielded. No thread of this process ever has the GPU, and the owner thread would not live on
in the other, so here steps don't wait for turns: they run in whoever takes them. What isn't lent a
GPU runs on the CPU.
"""

import pickle
from collections.abc import Callable, Iterator
from importlib import import_module
from math import ceil
from typing import Final, ParamSpec, TypeVar

import torch

from app.engine.batcher import PROCESSORS, Turns
from app.engine.devices import choose_device
from app.errors import StudioError

P = ParamSpec("P")
T = TypeVar("T")

BEGINNING_SECONDS: Final = 8
"""For the forked process to get its GPU and the weights."""

STEP_SECONDS: Final = 0.03
PICTURE_SECONDS: Final = 0.003
"""Of a step, and of each picture of 64 x 64 in it: an assumption on the safe side, not measured."""

_TILE: Final = 64


class LentGpu(Turns):
    """Stands where the owner thread stands elsewhere.

    Made in the main thread, before the page is launched: `spaces`, once imported, lets networks be
    placed on "cuda" there and then, from where each forked process gets them. Whoever opens a page
    imports it before torch is asked for a GPU.

    Attributes:
        threads: How many each caller computes with on the CPU.
        device: Where lent generators compute.

    Args:
        device: auto, cpu, cuda or mps.
        threads: torch's; 0 leaves the number to torch.

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

    def run(self, work: Callable[[], T]) -> T:
        """Do `work` here and now."""
        return work()

    def close(self) -> None:
        """Nothing is to be ended."""

    def lend(
        self, task: Callable[P, Iterator[T]], seconds: Callable[P, int]
    ) -> Callable[P, Iterator[T]]:
        """`task`, lent a GPU each time, for about as long as `seconds` of its arguments says.

        Arguments and what is yielded travel between processes: they can be pickled, and tensors
        among them are on the CPU. A StudioError of the task is raised here as it is; of any other
        error `spaces` tells the name alone, and logs the rest.
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
    """What a step of `pictures` of `side` pixels is assumed to take on a lent GPU."""
    return STEP_SECONDS + PICTURE_SECONDS * pictures * (side / _TILE) ** 2


def lease_seconds(steps: int, pictures: int, side: int) -> int:
    """How long a GPU is asked for: `steps` with `pictures` of `side` pixels in each."""
    return ceil(BEGINNING_SECONDS + steps * lent_step_seconds(pictures, side))
