"""Writing that a power cut, a full disk or a kill can't leave half done."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

TEMPORARY: Final = ".tmp-"
"""How the names of unfinished folders and files begin."""


FULL: Final = ("The disk is full.", "Make room on it, then try again.")
"""What a person is told where `is_disk_full`, and what to do."""


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether `error` came from a disk, or a person's share of it, that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # One made by Python itself has no code.
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, sqlite3.Error) and code == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in `folder`; of a file, its contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_below(folder: Path) -> None:
    """Wait until the disk has all files and folders below `folder`."""
    for path in folder.rglob("*"):
        sync_folder(path)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, renamed to `folder` at the end, removed on an error."""
    temporary = folder.with_name(TEMPORARY + folder.name)
    remove(temporary)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        sync_folder(temporary)
        os.rename(temporary, folder)
    except BaseException:
        remove(temporary)
        raise
    sync_folder(folder.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Give the file at `path` new contents: a reader sees the old or the new, never a part."""
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        write_bytes(temporary, data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_json(path: Path, value: object) -> None:
    """Give the file at `path` a new value as JSON."""
    replace_file(path, json.dumps(value, indent=2).encode())


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read the value in a JSON file; raise ValueError if it holds no JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def remove(folder: Path) -> None:
    """Remove a folder, if it is there, renamed first so that nobody takes a part for the whole."""
    if folder.name.startswith(TEMPORARY):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.is_dir():
        condemned = folder.with_name(f"{TEMPORARY}old-{folder.name}")
        os.rename(folder, condemned)
        shutil.rmtree(condemned, ignore_errors=True)


def empty(folder: Path) -> None:
    """Remove what is in a folder, as far as that can be removed."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what an interrupted process left unfinished in `folder`."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            remove(leftover)
        else:
            leftover.unlink()
