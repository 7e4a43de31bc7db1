"""One network, many viewers: streams take it in turn, a step at a time.

The network runs on a thread of its own. Streams are resumed from whichever thread the page
likes, and each thread that calls torch would bring a team of workers with it; a single owner
also makes the queue fair, first come first served, so no stream waits for another's whole
picture.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import torch
from torch import Tensor

from app.diffusion.denoiser import Condition, Prediction, Target
from app.engine.processors import usable_processors

T = TypeVar("T")


class Network(Protocol):
    """A network's forward pass: x_t (B, C, H, W) float32, t (B,) int64, labels (B,) int64."""

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The raw output (B, C or 2C, H, W), float32, on the CPU."""
        ...


PROCESSORS: Final = min(torch.get_num_threads(), usable_processors())
"""What torch would use by itself, within a container's share, which it doesn't know of."""


class Turns:
    """The thread that owns the device and the processors; work queues for it as it comes.

    Every other thread is left one processor: as soon as OpenMP has more workers than there are
    processors, it puts them to sleep at every barrier, and a step takes twice as long. Where
    another process has some of the processors, the owner keeps to those that are free: workers
    that wait at a barrier for one that has no processor made a step take a hundred times as long.
    With another number of threads convolutions and products add up in another order, so a step's
    float32 output then differs by about 2e-6.

    Args:
        threads: torch's; 0 leaves the number to torch.
        free: Says before each piece of work how many processors are free for it.

    Attributes:
        threads: The most that the owner computes with.
    """

    def __init__(self, threads: int = 0, free: Callable[[], int] | None = None) -> None:
        self.threads = threads or PROCESSORS
        self._free = free
        self._owner = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix="network",
            initializer=_compute_with,
            initargs=(self.threads,),
        )
        self.run(lambda: None)  # now, for what follows is what threads that come later take over
        torch.set_num_threads(1)

    def run(self, work: Callable[[], T]) -> T:
        """Do `work` on the owner's thread when it is this caller's turn, and wait for it."""
        return self._owner.submit(self._do, work).result()

    def take(self, network: Network, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """One step of `network`, in turn."""
        return self.run(partial(network.forward, x_t, t, labels))

    def close(self) -> None:
        """End the thread after the steps that wait."""
        self._owner.shutdown()

    def _do(self, work: Callable[[], T]) -> T:
        if self._free:
            threads = min(self.threads, self._free())
            if threads != torch.get_num_threads():
                torch.set_num_threads(threads)
        return work()


class Featured(Protocol):
    """A network that also tells what it has understood of a picture."""

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """Its activations (B, D) at `x` (B, C, H, W) and `t` (B,), float32, on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class FeatureView:
    """`network`'s features as a forward pass, so that they take turns with its steps."""

    network: Featured

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The features (B, D) at `x_t` and `t`; labels have no part in them."""
        return self.network.features(x_t, t)


def _compute_with(threads: int) -> None:
    torch.get_num_threads()  # a thread's first question sets it to the process's number
    torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class SharedDenoiser:
    """A Denoiser whose every step waits for its turn.

    Attributes:
        network: The forward pass.
        turns: The owner thread, shared by all networks of the device.
        target: What the network was trained to predict.
        channels: C of x_t; an output with 2C carries the learned variance behind it.
    """

    network: Network
    turns: Turns
    target: Target
    channels: int

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict at `x_t` (B, C, H, W) and `t` (B,)."""
        labels = None if condition is None else condition.labels
        out = self.turns.take(self.network, x_t, t, labels)
        if out.shape[1] == self.channels:
            return Prediction(out, self.target)
        mean, variance = out.split(self.channels, dim=1)
        return Prediction(mean, self.target, variance)
