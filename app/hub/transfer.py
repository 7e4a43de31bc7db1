"""Blocking work that reports as it goes, as a stream that can be closed."""

import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Transfer:
    """The progress of a transfer: bytes done, bytes in total, and what is under way."""

    done: int
    total: int
    what: str

    @property
    def in_words(self) -> str:
        """One line such as "12.3 of 143.1 MB · unet/diffusion_pytorch_model.safetensors"."""
        return f"{self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB · {self.what}"


class Stopped(Exception):
    """Raised inside the work once the stream is closed."""


Report = Callable[[Transfer], None]


def reported(work: Callable[[Report], T]) -> Generator[Transfer, None, T]:
    """Do `work` on a thread of its own; yield its reports and return its value.

    Closing the stream ends the work at its next report, which raises `Stopped`.
    """
    reports: queue.Queue[Transfer | None] = queue.Queue()
    stop = threading.Event()
    outcome: Future[T] = Future()

    def report(transfer: Transfer) -> None:
        if stop.is_set():
            raise Stopped
        reports.put(transfer)

    def run() -> None:
        try:
            outcome.set_result(work(report))
        except BaseException as error:
            outcome.set_exception(error)
        reports.put(None)

    threading.Thread(target=run, name="hub", daemon=True).start()
    try:
        while (transfer := reports.get()) is not None:
            yield transfer
    finally:
        stop.set()
    return outcome.result()
