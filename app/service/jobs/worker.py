"""The worker: the process that carries jobs out, one at a time."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.service.jobs.engine import Engine, serve
from app.service.jobs.record import is_locked, job_folders
from app.service.jobs.trainer import Ending, train
from app.settings import ROOT, Settings, environment_with

IDLE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.5


def worker_lock(data_dir: Path) -> Path:
    """The file that the worker of a data folder holds the lock on."""
    return data_dir / "worker.lock"


def is_worker_alive(data_dir: Path) -> bool:
    """Whether a worker serves the data folder."""
    return is_locked(worker_lock(data_dir))


def start_worker(settings: Settings) -> None:
    """Start a worker that outlives this process, and ends when there is nothing to do."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "worker", "--until-idle"],
            cwd=ROOT,
            env=environment_with(settings.variables()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Somebody has to take note of its end, or it stays in the system's table as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()


class Worker:
    """Carries out the jobs of a data folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = settings.data_dir
        self._ending = threading.Event()
        self._busy = threading.Lock()

    def run(
        self, *, until_idle: bool = False, waiting: Callable[[], object] = lambda: None
    ) -> None:
        """Work until SIGTERM or SIGINT, which end this process; what runs is saved first.

        Args:
            until_idle: Return also when there has been nothing to do for a minute, and at once
                if another worker has the jobs.
            waiting: Called if another worker has them and this one waits for it to end.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ending.set())
        with _exclusive(worker_lock(self._data), self._ending, until_idle, waiting) as held:
            if not held:
                return
            engine = Engine(self._data)
            serve(self._data, engine, self._work)
            self._wait(engine, until_idle)
            self._ending.set()
            with self._busy:
                # Not by way of the engine: what was interrupted is to stay unfinished in its
                # store, for the next worker to take up.
                os._exit(0)

    def _wait(self, engine: Engine, until_idle: bool) -> None:
        worked = time.monotonic()
        while not self._ending.wait(LOOK_SECONDS):
            if not until_idle or not engine.is_idle():
                worked = time.monotonic()
            if time.monotonic() - worked > IDLE_SECONDS:
                return

    def _work(self, job_id: str, is_cancelled: Callable[[], bool]) -> tuple[str, ...]:
        folder = job_folders(self._data / "jobs").get(job_id)
        if folder is None:
            return Ending.FAILED, "The job's folder is gone.", "Start it anew."
        threads = self._settings.job_threads or max(1, (os.cpu_count() or 1) // 2)
        with self._busy:
            ended = train(
                folder,
                self._data / f"device-{self._settings.device}.lock",
                threads,
                lambda: self._ending.is_set() or is_cancelled(),
            )
        if ended[0] is Ending.ASKED and self._ending.is_set():
            threading.Event().wait()  # until the process ends, with the task unfinished
        return ended


@contextmanager
def _exclusive(
    path: Path, ending: threading.Event, leave: bool, waiting: Callable[[], object]
) -> Iterator[bool]:
    """Hold the lock of the one worker; False if it is another's and isn't waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        told = False
        while not ending.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if leave:
                    break
                if not told:
                    waiting()
                told = True
                ending.wait(LOOK_SECONDS)
            else:
                yield True
                return
        yield False
