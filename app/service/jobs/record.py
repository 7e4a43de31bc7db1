"""What is kept of a job on the disk, beside its run.

DATA/jobs/<id>/job.json     the record
DATA/jobs/<id>/config.json  what `python -m app train --config` is given
DATA/jobs/<id>/run/         the run, as app.training keeps it
DATA/jobs/<id>/log.txt      what the trainer said
DATA/jobs/<id>/alive        locked as long as a trainer of the job lives
"""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from app.errors import JobError
from app.training.files import read_json, replace_json

JOB_MODEL: Final = re.compile(r"([0-9a-f]{16})-[0-9]{1,10}")
"""The id of a job's model: the job's, and the step."""

MAX_NAME: Final = 80
LOG_BYTES: Final = 20_000


@dataclass(frozen=True)
class Record:
    """A job as it was asked for.

    Attributes:
        id: Random, so that it can't be guessed.
        owner: The hash of who owns it.
        name: What they call it.
        base_model: The id of the model that it begins with.
        set_id: Its pictures.
        total_steps: The steps of the whole run.
        attempt: How often it was started, resumed or extended; each time is a task of the engine.
        created: When, in seconds since 1970.
        kept: Whether its owner wants it never to be offered for deletion.
        root_model: The id of the model that its line of jobs began with, which is no job's; empty
            where that isn't known.
    """

    id: str
    owner: str
    name: str
    base_model: str
    set_id: str
    total_steps: int
    attempt: int
    created: float
    kept: bool = False
    root_model: str = ""

    @property
    def task_id(self) -> str:
        """The engine's name for the newest attempt."""
        return f"{self.id}-{self.attempt}"

    @property
    def task_before(self) -> str:
        """The engine's name for the attempt before it, if there was one."""
        return f"{self.id}-{self.attempt - 1}"

    def again(self, total_steps: int | None = None) -> Self:
        """The record of the next attempt."""
        steps = self.total_steps if total_steps is None else total_steps
        return replace(self, attempt=self.attempt + 1, total_steps=steps)

    def renamed(self, name: str) -> Self:
        """The record with another name."""
        return replace(self, name=name)

    def keeping(self, kept: bool) -> Self:
        """The record of a job that is kept, or isn't any more."""
        return replace(self, kept=kept)


@dataclass(frozen=True)
class JobFolder:
    """A job's folder."""

    path: Path

    @property
    def config(self) -> Path:
        """The trainer's configuration."""
        return self.path / "config.json"

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.path / "run"

    @property
    def metrics(self) -> Path:
        """The run's metrics; there once it began."""
        return self.run / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """What the trainer said."""
        return self.path / "log.txt"

    @property
    def alive(self) -> Path:
        """The file that is locked as long as a trainer lives."""
        return self.path / "alive"

    def write(self, record: Record) -> None:
        """Keep the record."""
        replace_json(self.path / "job.json", asdict(record))

    def read(self) -> Record:
        """The record.

        Raises:
            JobError: If it can't be read.
        """
        try:
            fields: dict[str, Any] = read_json(self.path / "job.json")
            return Record(**fields)
        except (OSError, ValueError, TypeError) as error:
            raise JobError(
                f"The job {self.path.name} is damaged.", "Delete its folder; its run is in it."
            ) from error

    def read_log(self) -> str:
        """The end of what the job's trainers said."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_BYTES))
            return file.read().decode("utf-8", "replace")

    def saved_step(self) -> int:
        """The step of the newest checkpoint; -1 before the first."""
        folder = self.run / "checkpoints"
        return max((int(f.name) for f in folder.glob("[0-9]*")), default=-1)


def job_folders(root: Path) -> dict[str, JobFolder]:
    """The jobs in `root`, by id: what a person names is looked up here, never used as a path."""
    if not root.is_dir():
        return {}
    return {
        path.name: JobFolder(path)
        for path in sorted(root.iterdir())
        if (path / "job.json").is_file() and not path.name.startswith(".")
    }


def root_model(root: Path, model_id: str) -> str:
    """The model that the jobs in `root` which led to `model_id` began with, itself if it is none's.

    Empty if a job on the way is gone, and nobody noted it.

    Raises:
        JobError: If a job on the way is damaged.
    """
    folders = job_folders(root)
    while match := JOB_MODEL.fullmatch(model_id):
        folder = folders.pop(match[1], None)
        if folder is None:
            return ""
        record = folder.read()
        model_id = record.root_model or record.base_model
    return model_id


def readable_jobs(root: Path) -> list[tuple[JobFolder, Record]]:
    """The jobs in `root` with their records; a damaged one is left out."""
    found: list[tuple[JobFolder, Record]] = []
    for folder in job_folders(root).values():
        with suppress(JobError):  # Asked for by its id, it says what is wrong with it.
            found.append((folder, folder.read()))
    return found


def new_id() -> str:
    """A new job's id."""
    return secrets.token_hex(8)


def checked_name(name: str) -> str:
    """A job's name on one line.

    Raises:
        JobError: If it is empty or too long.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME:
        raise JobError("The job's name is empty or too long.", f"Give 1 to {MAX_NAME} letters.")
    return name


def taken_bytes(root: Path) -> int:
    """What all files below `root` take on the disk."""
    return sum(
        path.lstat().st_size
        for where, _, names in os.walk(root)
        for path in (Path(where, name) for name in names)
        if path.is_symlink() or path.exists()  # a checkpoint may be removed meanwhile
    )


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock on `path`."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """Change the jobs in `root`: one change at a time, whichever process makes it.

    Raises:
        JobError: If the disk is full, or can't be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / ".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise JobError(
            "The disk is full." if full else f"The jobs can't be written: {error}.",
            "Make room on it, then try again.",
        ) from error
