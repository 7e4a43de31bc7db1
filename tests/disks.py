"""A disk that is soon full."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.lacking import lacking


@contextmanager
def small_disk(where: Path) -> Iterator[Path]:
    """Mount a disk of 16 MB in the folder `where`, and unmount it at the end."""
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(where)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        lacking("a small disk needs the right to mount one")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def fill(path: Path) -> None:
    """Write a file that takes what is left of its disk."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"a" * 4096)
