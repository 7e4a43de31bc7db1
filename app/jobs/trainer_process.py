"""A job's trainer: a process of its own, started, watched and ended."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import IO, Final

from app.jobs.record import JobFolder
from app.locks import LOOK_SECONDS, is_locked, locked_unless
from app.networks.machine import usable_processors
from app.settings import ROOT, Settings, environment_with

SAVING_SECONDS: Final = 4.5
"""The time that a trainer has to save where its worker is to end; its last checkpoint is whole."""

MAX_DEATHS: Final = 5
"""The number of sudden deaths in a row, with no checkpoint between them, that fails a job."""

LOG_BYTES: Final = 1_000_000
MIN_FREE: Final = 20_000_000
MAX_ERROR: Final = 300
TRACEBACK: Final = "Traceback (most recent call last):"
"""The first line of an unexpected error."""


class Ending(StrEnum):
    """The outcome of the work on a job."""

    DONE = "done"
    FAILED = "failed"
    ASKED = "asked"


def train(
    folder: JobFolder,
    settings: Settings,
    is_stopped: Callable[[], bool],
    is_leaving: Callable[[], bool],
) -> tuple[Ending, str, str]:
    """Train the job until it is done or asked to end.

    If a trainer dies suddenly, another one resumes from the last checkpoint.

    Args:
        folder: The job's folder.
        settings: The studio's settings.
        is_stopped: Tells whether a person stopped the job; the trainer then has all the time that
            it needs to take its step and save.
        is_leaving: Tells whether the worker is to end, or has lost its lease; the trainer is then
            killed after SAVING_SECONDS.

    Returns:
        How the work ended, and a failure's message and hint, which are empty otherwise.
    """

    def is_asked_to_end() -> bool:
        return is_stopped() or is_leaving()

    deaths = 0
    while True:
        before, said = folder.saved_step(), _log_size(folder.log)
        with (
            locked_unless(device_lock(settings), is_asked_to_end) as device,
            locked_unless(folder.alive, is_asked_to_end) as alive,
        ):
            if device is None or alive is None or is_asked_to_end():
                return Ending.ASKED, "", ""
            code = _run(folder, settings, (device, alive), is_stopped, is_leaving)
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
    """Return the path of the file that a trainer on this machine's device keeps locked."""
    return settings.data_dir / f"device-{settings.machine_name}-{settings.device}.lock"


def training_threads(settings: Settings) -> int:
    """Return a trainer's threads, by default half of the processors, so that painting goes on."""
    return settings.job_threads or max(1, usable_processors() // 2)


def thread_variables(settings: Settings) -> dict[str, str]:
    """Return the environment variables that set a trainer's number of threads."""
    threads = str(training_threads(settings))
    return {"PLEIN_AIR_THREADS": threads, "OMP_NUM_THREADS": threads}


def free_processors(settings: Settings) -> int:
    """Count the processors that a training on this machine leaves free right now; at least 1."""
    taken = training_threads(settings) if is_locked(device_lock(settings)) else 0
    return max(1, usable_processors() - taken)


def _run(
    folder: JobFolder,
    settings: Settings,
    locks: tuple[IO[bytes], ...],
    is_stopped: Callable[[], bool],
    is_leaving: Callable[[], bool],
) -> int:
    """Run one trainer to its end; return its exit code, negative if a signal ended it."""
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
            # The trainer inherits the locks, so they are held until it has ended, too.
            pass_fds=[lock.fileno() for lock in locks],
        )
    with process:
        _watch(process, is_stopped, is_leaving)
    return process.returncode


def _watch(
    process: subprocess.Popen[bytes],
    is_stopped: Callable[[], bool],
    is_leaving: Callable[[], bool],
) -> None:
    """Wait for the trainer's end, for which it is asked once, and killed where time is short."""
    asked, last = False, inf
    while process.poll() is None:
        leaving = is_leaving()
        if leaving:
            last = min(last, time.monotonic() + SAVING_SECONDS)
        if not asked and (leaving or is_stopped()):
            process.terminate()
            asked = True
        if time.monotonic() > last:
            os.killpg(process.pid, signal.SIGKILL)  # with all processes that it started
            process.wait()
        time.sleep(LOOK_SECONDS)


def _log_size(log: Path) -> int:
    """Return the log's size in bytes; a log that is too long is deleted first."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.unlink()
    return log.stat().st_size if log.exists() else 0


def _last_words(log: Path, begin: int) -> tuple[str, str]:
    """Return a failed trainer's message and hint, from its part of the log, begun at `begin`."""
    if shutil.disk_usage(log.parent).free < MIN_FREE:
        # The trainer's own message may not have fitted on the disk either.
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
    """Return a trainer's `words` without the path of the data folder."""
    for data in (settings.data_dir.resolve(), settings.data_dir.absolute(), settings.data_dir):
        words = words.replace(f"{data}/", "DATA/")
    return words
