"""A stand-in for ZeroGPU's package `spaces`, as far as a caller of its `GPU` can tell.

As the real one (0.51): a wrapped generator runs on a thread of a forked process, which is kept for
later calls; arguments and what is yielded are pickled; of an error the class's name alone comes
back; closing the caller's generator ends the other one at its next yield.
"""

import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkProcess
from multiprocessing.queues import SimpleQueue
from types import ModuleType

_FORK = multiprocessing.get_context("fork")
END, ITEM, FAULT = "end", "item", "fault"

Task = Callable[..., Iterator[object]]
Arguments = tuple[object, ...]
Keywords = dict[str, object]


class GPUTaskError(Exception):
    """What a caller gets for any error in the other process."""


@dataclass
class Lender:
    """Wraps generators, and notes what it was asked for.

    Attributes:
        durations: What each call asked for, in seconds.
        processes: Those that ran the generators.
    """

    durations: list[int | None] = field(default_factory=list)
    processes: list[ForkProcess] = field(default_factory=list)

    def GPU(
        self, task: Task | None = None, *, duration: int | Callable[..., int] | None = None
    ) -> object:
        if task is None:
            return partial(self.GPU, duration=duration)
        worker: list[_Worker] = []

        def lent(*args: object, **kwargs: object) -> Iterator[object]:
            asked = duration(*args, **kwargs) if callable(duration) else duration
            self.durations.append(asked)
            if not worker:
                worker.append(_Worker(task))
                self.processes.append(worker[0].process)
            yield from worker[0].run(args, kwargs)

        return lent

    def module(self) -> ModuleType:
        """To be found as `spaces`."""
        module = ModuleType("spaces")
        module.GPU = self.GPU  # type: ignore[attr-defined]
        return module

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
            process.join()


class _Worker:
    def __init__(self, task: Task) -> None:
        self.arguments: SimpleQueue[bytes] = _FORK.SimpleQueue()
        self.answers: SimpleQueue[tuple[str, bytes]] = _FORK.SimpleQueue()
        self.stop = _FORK.Event()
        self.process = _FORK.Process(target=self._serve, args=(task,), daemon=True)
        self.process.start()

    def run(self, args: Arguments, kwargs: Keywords) -> Iterator[object]:
        self.arguments.put(pickle.dumps((args, kwargs)))
        ended = False
        try:
            while True:
                kind, value = self.answers.get()
                ended = kind != ITEM
                if kind == END:
                    return
                if kind == FAULT:
                    raise GPUTaskError(value.decode())
                yield pickle.loads(value)
        finally:
            self.stop.set()
            while not ended:
                ended = self.answers.get()[0] != ITEM

    def _serve(self, task: Task) -> None:
        while True:
            args, kwargs = pickle.loads(self.arguments.get())
            self.stop.clear()
            with ThreadPoolExecutor(1) as executor:
                self.answers.put(executor.submit(self._iterate, task, args, kwargs).result())

    def _iterate(self, task: Task, args: Arguments, kwargs: Keywords) -> tuple[str, bytes]:
        stream = task(*args, **kwargs)
        try:
            for item in stream:
                if self.stop.is_set():
                    return END, b""
                self.answers.put((ITEM, pickle.dumps(item)))
        except Exception as error:
            return FAULT, type(error).__name__.encode()
        return END, b""
