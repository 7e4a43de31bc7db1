"""The listing of all jobs, read once for all pages that ask at the same moment.

A job's state follows from the engine's store, the locks of living processes and the run's files.
"""

import threading
import time
from pathlib import Path
from typing import Final

from dbos import WorkflowStatus

from app.jobs.curves import last_step
from app.jobs.engine import Engine
from app.jobs.estimate import seconds_left
from app.jobs.job import Job, JobState
from app.jobs.record import JobFolder, Record, readable_jobs
from app.jobs.results import MODEL, model_steps
from app.jobs.trainer_process import Ending
from app.locks import is_locked
from app.owners import owner_hash
from app.training.config import TrainConfig, read_fields
from app.training.progress import RunProgress


def job_of(
    folder: JobFolder, record: Record, task: WorkflowStatus | None, workers: frozenset[str]
) -> Job:
    """Return the job in `folder`, given the engine's `task` for it and the living `workers`."""
    state = _state(folder, task, workers)
    last = last_step(folder.metrics)
    step = last["step"] if last else 0
    speed = last["pictures_per_second"] if last else 0.0
    left, doing = None, RunProgress()
    if state in {JobState.RUNNING, JobState.SAVING}:
        doing = folder.progress()
    if last and state is JobState.RUNNING and speed > 0:
        config = TrainConfig.checked(read_fields(folder.config))
        left = seconds_left(config, step, speed, doing)
    message, hint = "", ""
    if state is JobState.FAILED:
        message, hint = "The worker failed.", "Resume the job; its log may say more."
        if task is not None and task.output:
            _, message, hint = task.output
    return Job(
        id=record.id,
        name=record.name,
        base_model=record.base_model,
        set_id=record.set_id,
        created=record.created,
        state=state,
        step=step,
        total_steps=record.total_steps,
        saved_step=folder.saved_step() if (folder.run / MODEL).is_dir() else -1,
        pictures_per_second=speed,
        seconds_left=left,
        message=message,
        hint=hint,
        kept=record.kept,
        model_steps=model_steps(folder),
        doing=doing.deed or "",
    )


def _state(folder: JobFolder, task: WorkflowStatus | None, workers: frozenset[str]) -> JobState:
    match task.status if task else None:
        case "ENQUEUED" | "DELAYED":
            return JobState.QUEUED
        case "PENDING" if task and task.executor_id in workers:
            return JobState.RUNNING
        case "PENDING" | "CANCELLED" if is_locked(folder.alive):
            return JobState.SAVING
        case "CANCELLED":
            return JobState.STOPPED
        case "SUCCESS" | "ERROR" | "MAX_RECOVERY_ATTEMPTS_EXCEEDED" if task:
            done = task.output and task.output[0] == Ending.DONE
            return JobState.DONE if done else JobState.FAILED
        case _:
            return JobState.INTERRUPTED


FRESH_SECONDS: Final = 0.9


class JobListing:
    """The jobs in a data folder, for pages that ask every second: ten pages cost as much as one."""

    def __init__(self, data: Path, engine: Engine, *, sees_all: bool) -> None:
        self._data = data
        self._engine = engine
        self._sees_all = sees_all
        self._lock = threading.Lock()
        self._read = -FRESH_SECONDS
        self._jobs: list[tuple[str, Job]] = []

    def jobs(self, owner: str) -> tuple[Job, ...]:
        """Return the owner's jobs, the newest first, as they were at most a second ago."""
        with self._lock:
            if time.monotonic() - self._read > FRESH_SECONDS:
                self._jobs = listed(self._data, self._engine)
                self._read = time.monotonic()
            found = self._jobs
        hashed = owner_hash(owner)
        return tuple(job for whose, job in found if self._sees_all or (owner and whose == hashed))

    def forget(self) -> None:
        """Drop the cached jobs, so that the next call reads them again."""
        with self._lock:
            self._read = -FRESH_SECONDS


def listed(data: Path, engine: Engine) -> list[tuple[str, Job]]:
    """Read all jobs, each with its owner's hash, the newest first; leave out damaged ones."""
    found = readable_jobs(data / "jobs")
    living = engine.workers()  # first, as it raises if the database can't be reached
    tasks = engine.tasks([record.task_id for _, record in found])
    jobs = [
        (record.owner, job_of(folder, record, tasks.get(record.task_id), living))
        for folder, record in found
    ]
    return sorted(jobs, key=lambda pair: pair[1].created, reverse=True)
