"""The worker: the process that carries jobs out, one at a time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Final, NoReturn
from uuid import uuid4

from app.errors import StudioError
from app.jobs.engine import ONLY, Engine, serve, take_over, worker_lock
from app.jobs.leases import BEAT_SECONDS, FENCE_SECONDS
from app.jobs.record import job_folders
from app.jobs.trainer_process import Ending, train
from app.locks import locked_unless
from app.settings import ROOT, Settings, environment_with

IDLE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.5


def start_worker(settings: Settings) -> subprocess.Popen[bytes]:
    """Start a worker that outlives this process, and ends when there is nothing left to do."""
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
    # A process that nobody waits for stays in the system's table as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


class Worker:
    """A worker, which carries out the jobs of a data folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = settings.data_dir
        self._ending = threading.Event()
        self._lost = threading.Event()
        self._busy = threading.Lock()
        self._told = time.monotonic()

    def run(
        self, *, until_idle: bool = False, waiting: Callable[[], object] = lambda: None
    ) -> None:
        """Work until SIGTERM or SIGINT, which end this process once the running job is saved.

        The process ends with code 1 if its lease has expired, or was about to.

        Args:
            until_idle: Also end when there has been nothing to do for a minute, or return at once
                if another worker serves the SQLite store.
            waiting: Called if another worker serves it and this one has to wait for its end.

        Raises:
            StudioError: If the database can't be reached.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ending.set())
        if self._settings.database_url:
            name = f"{self._settings.machine_name}-{uuid4().hex[:12]}"
            self._serve(Engine(self._settings), name, until_idle=until_idle)
            return
        with _exclusive(worker_lock(self._data), self._ending, until_idle, waiting) as held:
            if held:
                self._serve(Engine(self._settings), ONLY, until_idle=until_idle)

    def _serve(self, engine: Engine, name: str, *, until_idle: bool) -> None:
        if engine.leases is not None:
            self._told = time.monotonic()
            engine.leases.begin(name, self._settings.machine_name)
            threading.Thread(target=self._beat, args=(engine, name), daemon=True).start()
            threading.Thread(target=self._fence, daemon=True).start()
        serve(engine, name, self._work)
        self._wait(engine, until_idle)
        self._end()

    def _end(self) -> NoReturn:
        """End this process once the job in training is saved."""
        self._ending.set()
        with self._busy:
            # The engine isn't told: an interrupted task has to stay unfinished in its store,
            # for the next worker to take over.
            os._exit(1 if self._lost.is_set() else 0)

    def _beat(self, engine: Engine, name: str) -> None:
        """Record this worker's heartbeats, and take over the tasks of dead workers."""
        leases = engine.leases
        try:
            while leases is not None and not self._lost.is_set():
                began = time.monotonic()
                try:
                    if not leases.beat(name):
                        break
                    self._told = began
                    take_over(engine)
                except StudioError:
                    pass  # The database can't be reached; it has FENCE_SECONDS to come back.
                self._lost.wait(began + BEAT_SECONDS - time.monotonic())
        finally:
            self._lost.set()

    def _fence(self) -> None:
        """End this process once its lease is lost, or FENCE_SECONDS after its last heartbeat.

        The database isn't asked: over a dead network neither an answer nor an error arrives.
        """
        while (left := self._told + FENCE_SECONDS - time.monotonic()) > 0:
            if self._lost.wait(left):
                break
        self._lost.set()
        self._end()

    def _wait(self, engine: Engine, until_idle: bool) -> None:
        worked = time.monotonic()
        while not self._ending.wait(LOOK_SECONDS) and not self._lost.is_set():
            if not until_idle or not engine.is_idle():
                worked = time.monotonic()
            if time.monotonic() - worked > IDLE_SECONDS:
                return

    def _work(
        self, job_id: str, is_cancelled: Callable[[], bool], is_lost: Callable[[], bool]
    ) -> tuple[str, ...]:
        folder = job_folders(self._data / "jobs").get(job_id)
        if folder is None:
            return Ending.FAILED, "The job's folder is gone.", "Start it anew."

        def is_leaving() -> bool:
            if is_lost():
                self._lost.set()
            return self._ending.is_set() or self._lost.is_set()

        with self._busy:
            ended = train(folder, self._settings, is_cancelled, is_leaving)
        if ended[0] is Ending.ASKED and is_leaving():
            threading.Event().wait()  # until the process ends, with the task unfinished
        return ended


def _exclusive(
    path: Path, ending: threading.Event, leave: bool, waiting: Callable[[], object]
) -> AbstractContextManager[IO[bytes] | None]:
    """Hold the only worker's lock; None if another holds it and this one is to leave."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told, began = False, time.monotonic()

    def gives_up() -> bool:
        nonlocal told
        if not leave and not told:
            waiting()
            told = True
        # A look whether a worker is alive also locks the file, for a moment.
        late = leave and time.monotonic() - began > LOOK_SECONDS
        return late or ending.is_set()

    return locked_unless(path, gives_up)
