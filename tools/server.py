"""A server in a process of its own, for tools that use the page from outside."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from app.errors import StudioError
from app.settings import ROOT, environment_with

PATIENCE_SECONDS: Final = 120


@dataclass(frozen=True)
class Server:
    """A running server of the page.

    Attributes:
        url: The page's address, ending in a slash.
        pid: The id of the server's process.
        startup_seconds: The time from the process's start to the page's first answer.
    """

    url: str
    pid: int
    startup_seconds: float


@contextmanager
def running_server(environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run `python -m app serve` on a free port of 127.0.0.1 inside the context.

    Args:
        environment: Variables in addition to those of this process.

    Raises:
        StudioError: If the page does not answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve"],
        cwd=ROOT,
        env=environment_with({"GRADIO_SERVER_PORT": str(port), **(environment or {})}),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        while not _answers(url):
            if process.poll() is not None or time.monotonic() - began > PATIENCE_SECONDS:
                raise StudioError("The page did not start.", "Try python -m app serve by itself.")
            time.sleep(0.05)
        yield Server(url, process.pid, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False
