"""One network, many viewers: streams take it in turn, a step at a time.

The network runs on a thread of its own. Streams are resumed from whichever thread the page
likes, and each thread that calls torch would bring a team of workers with it; a single owner
also makes the queue fair, first come first served, so no stream waits for another's whole
picture.
"""

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

import torch

from app.networks.machine import usable_processors

PROCESSORS: Final = min(torch.get_num_threads(), usable_processors())
"""torch's own number of threads, but no more than a container's share, unknown to torch."""


class NetworkExecutor(Executor):
    """Runs the steps of networks.

    Attributes:
        steps: The steps taken so far, which the executor's own thread counts; on ZeroGPU they are
            taken in other processes, and none is counted here.
    """

    steps = 0


class DeviceExecutor(ThreadPoolExecutor, NetworkExecutor):
    """The thread that owns the device and the processors; work queues for it as it comes.

    Every other thread is left one processor: as soon as OpenMP has more workers than there are
    processors, it puts them to sleep at every barrier, and a step takes twice as long. Where
    another process has some of the processors, the owner is told to keep to those that are free:
    workers that wait at a barrier for one that has no processor made a step take a hundred times
    as long. With another number of threads convolutions and products add up in another order, so
    a step's float32 output then differs by about 2e-6.

    Args:
        threads: The number of torch's threads; 0 leaves it to torch.

    Attributes:
        threads: The most threads that the owner computes with.
    """

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or PROCESSORS
        super().__init__(
            max_workers=1,
            thread_name_prefix="network",
            initializer=_compute_with,
            initargs=(self.threads,),
        )
        # Starts the owner first: later threads inherit the number set next.
        self.submit(lambda: None).result()
        torch.set_num_threads(1)

    def keep_to(self, processors: int) -> None:
        """Compute with at most `processors` threads, once the work that waits now is done."""
        self.submit(torch.set_num_threads, min(self.threads, processors))


def _compute_with(threads: int) -> None:
    torch.get_num_threads()  # a thread's first query sets its number to the process's
    torch.set_num_threads(threads)
