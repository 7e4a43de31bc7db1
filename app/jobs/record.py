"""A job's folder on the disk, also where a killed process left it half made or half deleted.

DATA/jobs/<id>/job.json     the record
DATA/jobs/<id>/config.json  the configuration for `python -m app train --config`
DATA/jobs/<id>/run/         the run, as app.training keeps it
DATA/jobs/<id>/log.txt      the trainers' output
DATA/jobs/<id>/alive        locked as long as a trainer of the job lives
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

from pydantic import TypeAdapter

from app.errors import JobError
from app.files import (
    FULL,
    TEMPORARY,
    is_disk_full,
    read_json,
    replace_json,
    sync_folder,
)
from app.locks import locked
from app.training.progress import RunProgress

JOB_MODEL: Final = re.compile(r"([0-9a-f]{16})-[0-9]{1,10}")
"""The id of a job's model: the job's id and the step."""

MAX_NAME: Final = 80
LOG_BYTES: Final = 20_000


@dataclass(frozen=True)
class Record:
    """A job as its owner ordered it.

    Attributes:
        id: A random id, which can't be guessed.
        owner: The hash of the owner.
        name: The owner's name for the job.
        base_model: The id of the model that the training begins with.
        set_id: The id of the set of pictures.
        total_steps: The steps of the whole run.
        attempt: How often the job was started, resumed or extended; each time is an engine's task.
        created: When the job was started, in seconds since 1970.
        kept: Whether the job is never to be offered for deletion.
        root_model: The id of the model that the first job of this line began with, which no job
            made; empty where that isn't known.
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
        """The id of the engine's task for the newest attempt."""
        return f"{self.id}-{self.attempt}"

    @property
    def task_before(self) -> str:
        """The id of the engine's task for the attempt before the newest, if there was one."""
        return f"{self.id}-{self.attempt - 1}"

    def again(self, total_steps: int | None = None) -> Self:
        """Return the record of the job's next attempt."""
        steps = self.total_steps if total_steps is None else total_steps
        return replace(self, attempt=self.attempt + 1, total_steps=steps)


class JobFolder:
    """A job's folder.

    Attributes:
        path: The folder.
        config: The trainer's configuration.
        run: The run's folder.
        metrics: The run's metrics, which exist once the run has begun.
        log: The trainers' log.
        alive: The file that is locked as long as a trainer lives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.run = path / "run"
        self.metrics = self.run / "metrics.jsonl"
        self.log = path / "log.txt"
        self.alive = path / "alive"

    def write(self, record: Record) -> None:
        """Write the record into the folder."""
        replace_json(self.path / "job.json", asdict(record))

    def read(self) -> Record:
        """Read the record.

        Raises:
            JobError: If the record can't be read.
        """
        try:
            return TypeAdapter(Record).validate_python(read_json(self.path / "job.json"))
        except (OSError, ValueError) as error:
            raise JobError(
                f"The job {self.path.name} is damaged.", "Delete its folder; its run is in it."
            ) from error

    def read_log(self) -> str:
        """Read the end of the trainers' log."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_BYTES))
            return file.read().decode("utf-8", "replace")

    def progress(self) -> RunProgress:
        """Read what the run does at this moment, if its trainer lives."""
        try:
            return RunProgress.read(self.run)
        except ValueError:
            return RunProgress()  # damaged by somebody else; the trainer writes it anew

    def saved_step(self) -> int:
        """Return the step of the newest checkpoint; -1 before the first."""
        folder = self.run / "checkpoints"
        return max((int(f.name) for f in folder.glob("[0-9]*")), default=-1)


def job_folders(root: Path) -> dict[str, JobFolder]:
    """List the jobs in `root` by id; a person's words are looked up here, never used as a path."""
    if not root.is_dir():
        return {}
    return {
        path.name: JobFolder(path)
        for path in sorted(root.iterdir())
        if (path / "job.json").is_file() and not path.name.startswith(".")
    }


def root_model(root: Path, model_id: str) -> str:
    """Return the id of the model at the root of the line of jobs in `root` that made `model_id`.

    A model that no job made is its own root. The answer is empty if a job of the line was deleted
    before it was recorded where the line began.

    Raises:
        JobError: If a job of the line is damaged.
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
    """Read the jobs in `root` with their records; leave out damaged ones."""
    found: list[tuple[JobFolder, Record]] = []
    for folder in job_folders(root).values():
        with suppress(JobError):  # Reading a damaged job by its id raises the reason.
            found.append((folder, folder.read()))
    return found


def checked_name(name: str) -> str:
    """Return a job's name on one line.

    Raises:
        JobError: If the name is empty or too long.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME:
        raise JobError("The job's name is empty or too long.", f"Give 1 to {MAX_NAME} letters.")
    return name


def taken_bytes(root: Path) -> int:
    """Sum the sizes of all files below `root`, in bytes."""
    return sum(
        path.lstat().st_size
        for where, _, names in os.walk(root)
        for path in (Path(where, name) for name in names)
        if path.is_symlink() or path.exists()  # a checkpoint may be removed meanwhile
    )


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """Hold the lock under which the jobs in `root` are changed, by one process at a time.

    Raises:
        JobError: If the disk is full, or can't be written.
    """
    try:
        with locked(root / ".lock"):
            yield
    except Exception as error:
        if is_disk_full(error):
            raise JobError(*FULL) from error
        if isinstance(error, OSError):
            raise JobError(
                f"The jobs can't be written: {error.strerror}.", "Make room on it, then try again."
            ) from error
        raise


_ID: Final = re.compile(r"[0-9a-f]{16}")
_CONDEMNED: Final = f"{TEMPORARY}old-"


def condemn(folder: JobFolder) -> Path:
    """Take a job off the list in one instant; return where its folder lies until it is removed."""
    path = folder.path.with_name(f"{_CONDEMNED}{folder.path.name}")
    os.rename(folder.path, path)
    sync_folder(path.parent)
    return path


def leftovers(root: Path) -> dict[str, Path]:
    """List by id the folders in `root` of jobs that were never fully started, or are condemned."""
    if not root.is_dir():
        return {}
    listed = job_folders(root)
    paths = (path for path in root.iterdir() if path.name not in listed and path.is_dir())
    found = {path.name.removeprefix(_CONDEMNED): path for path in paths}
    return {job_id: path for job_id, path in found.items() if _ID.fullmatch(job_id)}
