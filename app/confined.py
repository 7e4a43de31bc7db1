"""Work on what strangers send: in a process of its own, with limits on its memory and its time.

A file made to harm its reader can then end only that process. The module that does the work is run
by itself and hands `serve` a function; whoever has work for it holds a `ConfinedProcess`. What
comes back is JSON and bytes, never pickled objects.

Where the system limits no address space, as on macOS, the time is limited alone.
"""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import ceil
from multiprocessing.connection import Connection, Pipe
from typing import Any, Final

from app.errors import StudioError
from app.settings import ROOT, environment_with

ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""For the address space: each thread of a library takes its share of it at the start."""

Tell = Callable[[str], None]
Work = Callable[[Any, bytes, Tell], tuple[Any, bytes]]
"""Takes a request, its bytes, and what tells how far it is; returns the answer and its bytes."""

_log = logging.getLogger(__name__)


class ExhaustedError(Exception):
    """The process took more memory or time than it may, or was killed."""


class BrokenProcessError(Exception):
    """The process failed at what nobody foresaw; the log says how."""


class ConfinedProcess:
    """A process that answers one request after another, within limits.

    After any error but a refusal it has to be closed.
    """

    def __init__(self, command: Sequence[str], memory: int, refusal: type[StudioError]) -> None:
        """Start the process, which goes on loading while this one does other things.

        Args:
            command: Python's arguments: ("-m", the module that calls `serve`).
            memory: The bytes of address space that it may have.
            refusal: What is raised where it refuses a request.
        """
        self._refusal = refusal
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *command, str(theirs.fileno()), str(memory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd=ROOT,
                env=environment_with(ONE_THREAD),
            )

    @property
    def is_alive(self) -> bool:
        """Tell whether the process is there to be asked."""
        return self._process.poll() is None

    def ask(
        self,
        request: object,
        data: bytes = b"",
        *,
        seconds: int,
        patience: int,
        largest: int,
        heard: Tell = lambda _: None,
    ) -> tuple[Any, bytes]:
        """Have a request answered.

        Args:
            request: What is asked, as JSON.
            data: The bytes that go with it.
            seconds: The processor time that it may take.
            patience: The seconds that it may take by the clock, beside other work.
            largest: The most bytes that come back.
            heard: Called with each text that the process tells on its way.

        Raises:
            StudioError: If the request is refused.
            ExhaustedError: If it takes too much memory or time.
            OSError: If the disk fails.
            BrokenProcessError: If the process fails otherwise.
        """
        ends = time.monotonic() + patience
        try:
            self._connection.send_bytes(json.dumps([seconds, request]).encode())
            self._connection.send_bytes(data)
            while True:
                kind, *said = json.loads(self._received(ends, largest))
                if kind == "told":
                    heard(*said)
                elif kind == "answer":
                    return said[0], self._received(ends, largest)
                else:
                    break
        except (EOFError, ConnectionError) as error:
            raise self._ended() from error
        if kind == "refused":
            raise self._refusal(*said)
        if kind == "exhausted":
            raise ExhaustedError
        if kind == "disk":
            raise OSError(said[0], os.strerror(said[0]))
        _log.error("a confined process failed: %s", said[0])
        raise BrokenProcessError

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _received(self, ends: float, largest: int) -> bytes:
        if not self._connection.poll(max(0.0, ends - time.monotonic())):
            raise ExhaustedError
        try:
            return self._connection.recv_bytes(largest)
        except OSError as error:
            raise EOFError from error  # It was killed, or sent more than it may.

    def _ended(self) -> Exception:
        """Return what is to be raised for a process that hung up."""
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return BrokenProcessError()
        _log.error("a confined process ended with %d", code)
        return ExhaustedError() if code < 0 else BrokenProcessError()


def serve(work: Work, refusal: type[StudioError]) -> None:
    """Limit this process, and answer the requests that come, until nobody holds it any more.

    Args:
        work: Does what is asked; a `refusal` that it raises goes to whoever asked.
        refusal: What `work` raises where it refuses a request.
    """
    number, memory = map(int, sys.argv[-2:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the page, which then hangs up.
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CORE, 0)
    with Connection(number) as connection:

        def say(*words: object) -> None:
            connection.send_bytes(json.dumps(words).encode())

        while True:
            try:
                seconds, request = json.loads(connection.recv_bytes())
                data = connection.recv_bytes()
            except EOFError:
                return
            _limit(resource.RLIMIT_CPU, ceil(time.process_time()) + seconds)
            try:
                answer, result = work(request, data, lambda text: say("told", text))
            except refusal as error:
                say("refused", error.message, error.hint)
            except MemoryError:
                say("exhausted")
            except OSError as error:
                # What is wrong with a file is a refusal; this is the disk's, or has no number.
                said = ("disk", error.errno) if error.errno else ("failed", traceback.format_exc())
                say(*said)
            except Exception:
                say("failed", traceback.format_exc())
            else:
                say("answer", answer)
                connection.send_bytes(result)


def _limit(what: int, most: int) -> None:
    """Limit this process, where the system can; what it then exceeds ends it."""
    with suppress(ValueError, OSError):  # macOS has no limit on the address space
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def limits_memory() -> bool:
    """Tell whether this system can limit a process's memory."""
    return sys.platform != "darwin"
