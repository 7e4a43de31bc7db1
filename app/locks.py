"""Locks on files, held by the kernel: a process that ends, however it ends, lets go of them.

A child process that inherits the open file holds the lock too, until both have ended; filelock, a
dependency of huggingface_hub, hides the file, and can't tell whether somebody else holds a lock.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

LOOK_SECONDS: Final = 0.1


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock on `path`, in a folder that is made if need be, and hold it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_unless(path: Path, gives_up: Callable[[], bool]) -> Iterator[IO[bytes] | None]:
    """Try to lock `path` until `gives_up` says to stop; yield the locked file, or None."""
    with path.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if gives_up():
                    yield None
                    return
                time.sleep(LOOK_SECONDS)
            else:
                break
        yield file


def is_locked(path: Path) -> bool:
    """Tell whether a living process holds the lock on `path`; the look locks it for a moment."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
