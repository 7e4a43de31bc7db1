"""All jobs as they are now, read once for everybody who looks at the same moment."""

import threading
import time
from pathlib import Path
from typing import Final

from app.service.jobs.engine import Engine
from app.service.jobs.job import Job
from app.service.jobs.record import readable_jobs
from app.service.jobs.status import job_of
from app.service.owners import owner_hash

FRESH_SECONDS: Final = 0.9


class Board:
    """The jobs in a data folder, for pages that ask every second: ten cost as much as one."""

    def __init__(self, data: Path, engine: Engine, *, sees_all: bool) -> None:
        self._data = data
        self._engine = engine
        self._sees_all = sees_all
        self._lock = threading.Lock()
        self._read = -FRESH_SECONDS
        self._jobs: list[tuple[str, Job]] = []

    def jobs(self, owner: str) -> tuple[Job, ...]:
        """The owner's jobs, the newest first, as they were at most a second ago."""
        with self._lock:
            if time.monotonic() - self._read > FRESH_SECONDS:
                self._jobs = listed(self._data, self._engine)
                self._read = time.monotonic()
            found = self._jobs
        hashed = owner_hash(owner)
        return tuple(job for whose, job in found if self._sees_all or (owner and whose == hashed))

    def forget(self) -> None:
        """Read anew at the next question: something was changed."""
        with self._lock:
            self._read = -FRESH_SECONDS


def listed(data: Path, engine: Engine) -> list[tuple[str, Job]]:
    """All jobs with the hash of their owner, the newest first; a damaged one is left out."""
    found = readable_jobs(data / "jobs")
    living = engine.workers()  # asked first: it says where the database is away
    tasks = engine.tasks([record.task_id for _, record in found])
    jobs = [
        (record.owner, job_of(folder, record, tasks.get(record.task_id), living))
        for folder, record in found
    ]
    return sorted(jobs, key=lambda pair: pair[1].created, reverse=True)
