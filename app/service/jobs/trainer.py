"""A job's trainer: a process of its own, started, watched and ended."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from app.engine.processors import usable_processors
from app.service.jobs.record import JobFolder, is_locked
from app.settings import ROOT, Settings, environment_with

SAVING_SECONDS: Final = 4.5
"""A trainer that hasn't saved and ended by then is killed: its last checkpoint is whole."""

LOOK_SECONDS: Final = 0.1
MAX_DEATHS: Final = 5
"""Sudden deaths of a job's trainers in a row, without a checkpoint between them."""

LOG_BYTES: Final = 1_000_000
MIN_FREE: Final = 20_000_000
MAX_ERROR: Final = 300
TRACEBACK: Final = "Traceback (most recent call last):"
"""The line that an error begins with which nobody foresaw."""


class Ending(StrEnum):
    """How the work on a job ended."""

    DONE = "done"
    FAILED = "failed"
    ASKED = "asked"


def train(
    folder: JobFolder, settings: Settings, is_asked_to_end: Callable[[], bool]
) -> tuple[Ending, str, str]:
    """Train the job to its end, or until asked: how it ended, and a failure's message and hint.

    A trainer that dies suddenly is followed by another, which resumes from the last checkpoint.
    """
    deaths = 0
    while True:
        before, said = folder.saved_step(), _log_size(folder.log)
        with (
            _held(device_lock(settings), is_asked_to_end) as device,
            _held(folder.alive, is_asked_to_end) as alive,
        ):
            if device is None or alive is None or is_asked_to_end():
                return Ending.ASKED, "", ""
            code = _run(folder, settings, (device, alive), is_asked_to_end)
        if folder.saved_step() >= folder.read().total_steps and code == 0:
            return Ending.DONE, "", ""
        if is_asked_to_end():
            return Ending.ASKED, "", ""
        if code > 0:
            message, hint = _last_words(folder.log, said)
            return Ending.FAILED, _without_paths(message, settings), _without_paths(hint, settings)
        deaths = deaths + 1 if folder.saved_step() <= before else 1
        if deaths == MAX_DEATHS:
            return (
                Ending.FAILED,
                f"The training was killed {deaths} times without getting on.",
                "It may need more memory than there is: choose a smaller batch, then resume.",
            )


def device_lock(settings: Settings) -> Path:
    """The file that a trainer on this machine's device holds the lock on."""
    return settings.data_dir / f"device-{settings.machine_name}-{settings.device}.lock"


def training_threads(settings: Settings) -> int:
    """A trainer's threads: by default half of the processors, so that painting goes on."""
    return settings.job_threads or max(1, usable_processors() // 2)


def thread_variables(settings: Settings) -> dict[str, str]:
    """The variables that give a trainer its threads."""
    threads = str(training_threads(settings))
    return {"PLEIN_AIR_THREADS": threads, "OMP_NUM_THREADS": threads}


def free_processors(settings: Settings) -> int:
    """How many processors a training on this machine leaves free at this moment; 1 or more."""
    taken = training_threads(settings) if is_locked(device_lock(settings)) else 0
    return max(1, usable_processors() - taken)


def _run(
    folder: JobFolder,
    settings: Settings,
    locks: tuple[IO[bytes], ...],
    is_asked_to_end: Callable[[], bool],
) -> int:
    """Run one trainer to its end: its exit code, negative if a signal ended it."""
    environment = environment_with(thread_variables(settings))
    command = ("train", "--config", folder.config, "--out", folder.run, "--until-stdin-closes")
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # The locks go with it: they are held until this process has let go and it has ended.
            pass_fds=[lock.fileno() for lock in locks],
        )
    with process:
        while process.poll() is None:
            if is_asked_to_end():
                _end(process)
            time.sleep(LOOK_SECONDS)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have the trainer save and end; kill it and all that it started if it doesn't."""
    process.terminate()
    try:
        process.wait(SAVING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _held(path: Path, is_asked_to_end: Callable[[], bool]) -> Iterator[IO[bytes] | None]:
    """The file with its lock, waited for; None if asked to end before it was free."""
    with path.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if is_asked_to_end():
                    yield None
                    return
                time.sleep(LOOK_SECONDS)
            else:
                yield file
                return


def _log_size(log: Path) -> int:
    """Where the next trainer's words begin; a log that is too long begins anew."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.unlink()
    return log.stat().st_size if log.exists() else 0


def _last_words(log: Path, begin: int) -> tuple[str, str]:
    """The message and the hint that a failed trainer ended with; its words begin at `begin`."""
    if shutil.disk_usage(log.parent).free < MIN_FREE:
        # Its own words may not have found a place either.
        return "The disk is full.", "Make room on it, then resume the job."
    lines = log.read_bytes()[begin:].decode("utf-8", "replace").splitlines()
    if TRACEBACK in lines:
        last = len(lines) - lines[::-1].index(TRACEBACK)
        error = next((line for line in lines[last:] if not line.startswith(" ")), "it ended")
        return (
            f"The training failed: {error[:MAX_ERROR]}.",
            "Its log says more; mend it, and resume.",
        )
    if len(lines) >= 2:
        return lines[-2], lines[-1]
    return "The training failed.", "Its log says more."


def _without_paths(words: str, settings: Settings) -> str:
    """What a trainer said, without where the data lies on this machine."""
    for data in (settings.data_dir.resolve(), settings.data_dir.absolute(), settings.data_dir):
        words = words.replace(f"{data}/", "DATA/")
    return words
