"""Workers that were started by what is tested, and outlive it."""

import os
import signal
from pathlib import Path


def worker_ids(data: Path) -> list[int]:
    """The processes of the workers of a data folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"worker" in words and f"PLEIN_AIR_DATA={data}".encode() in environment:
            found.append(int(path.name))
    return found


def end_workers(data: Path) -> None:
    """End the workers of a data folder, which outlive the page that started them."""
    for process in worker_ids(data):
        os.kill(process, signal.SIGTERM)
