"""The durable engine: DBOS, behind what jobs need of it.

A task that was submitted is carried out to its end by whichever worker lives; one whose worker died
is begun again by another. The tasks are kept in SQLite in the data folder, where one worker serves
them, one at a time and in order; or in a Postgres database, where several do, on several machines.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from dbos import DBOS, DBOSClient, WorkflowStatus

from app.service.jobs.leases import Leases
from app.service.jobs.record import is_locked
from app.settings import Settings

QUEUE: Final = "training"
WORKFLOW: Final = "train"
ONLY: Final = "worker"
"""The name of the one worker of a SQLite store, so that each takes up what the one before left."""

VERSION: Final = "1"
"""DBOS recovers only tasks of the same version, by default a hash of the source. This one changes
when a task's meaning does, so that an upgraded studio goes on with the jobs of the older."""

POLL_SECONDS: Final = 0.3

_log = logging.getLogger(__name__)


class TaskStatus(StrEnum):
    """Where a task is."""

    WAITING = "waiting"
    WORKING = "working"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    BROKEN = "broken"


_STATUSES: Final = {
    "ENQUEUED": TaskStatus.WAITING,
    "DELAYED": TaskStatus.WAITING,
    "PENDING": TaskStatus.WORKING,
    "CANCELLED": TaskStatus.CANCELLED,
    "SUCCESS": TaskStatus.FINISHED,
    "ERROR": TaskStatus.BROKEN,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": TaskStatus.BROKEN,
}


@dataclass(frozen=True)
class Task:
    """A task: where it is, who worked on it last, and once it finished what its work returned."""

    id: str
    status: TaskStatus
    worker: str
    result: tuple[str, ...]


@dataclass(frozen=True)
class Orders:
    """What a task's work is to heed.

    Attributes:
        is_cancelled: Whether the task was cancelled meanwhile.
        is_lost: Whether another worker has it now.
    """

    is_cancelled: Callable[[], bool]
    is_lost: Callable[[], bool]


Work = Callable[[str, Orders], tuple[str, ...]]
"""Carries out a task, given the job's id and its orders."""


def worker_lock(data_dir: Path) -> Path:
    """The file that the one worker of a SQLite store holds the lock on."""
    return data_dir / "worker.lock"


class Engine:
    """The store of tasks, as those who ask for work see it.

    Attributes:
        leases: The workers' heartbeats; None for a SQLite store.

    Raises:
        StudioError: If the database can't be reached.
    """

    def __init__(self, settings: Settings) -> None:
        self._data = settings.data_dir
        self._data.mkdir(parents=True, exist_ok=True)
        # Asked first: DBOS would go on trying for ever.
        self.leases = Leases(settings.database_url) if settings.database_url else None
        self.url = settings.database_url or f"sqlite:///{(self._data / 'engine.sqlite').absolute()}"
        DBOS.migrate(self.url)
        self._client = DBOSClient(system_database_url=self.url)

    def submit(self, task_id: str, job_id: str) -> None:
        """Ask for a task; asking twice for one of the same id is asking once."""
        self._client.enqueue(
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": task_id,
                "app_version": VERSION,
            },
            job_id,
        )

    def cancel(self, task_id: str) -> None:
        """Take a waiting task back, or have its work stop."""
        self._client.cancel_workflow(task_id)

    def forget(self, prefix: str) -> None:
        """Remove all tasks whose id begins so."""
        for found in self._client.list_workflows(
            workflow_id_prefix=prefix, load_input=False, load_output=False
        ):
            self._client.delete_workflow(found.workflow_id)

    def tasks(self, ids: list[str]) -> dict[str, Task]:
        """The tasks of these ids that there are."""
        if not ids:
            return {}
        found = self._client.list_workflows(workflow_ids=ids, load_input=False)
        return {status.workflow_id: _task(status) for status in found}

    def is_idle(self) -> bool:
        """Whether no task waits or is worked on."""
        return not self._client.list_workflows(
            status=["ENQUEUED", "PENDING"], queue_name=QUEUE, limit=1, load_input=False
        )

    def workers(self) -> frozenset[str]:
        """The workers that live.

        Raises:
            StudioError: If the database can't be reached.
        """
        if self.leases is not None:
            return self.leases.living()
        return frozenset({ONLY}) if is_locked(worker_lock(self._data)) else frozenset()

    def close(self) -> None:
        """Let go of the store."""
        self._client.destroy()
        if self.leases is not None:
            self.leases.close()


def serve(engine: Engine, worker: str, work: Work) -> None:
    """Carry out the store's tasks as `worker`, in other threads, until the process ends."""
    DBOS(
        config={
            "name": "plein-air",
            "system_database_url": engine.url,
            "application_version": VERSION,
            "executor_id": worker,
            "log_level": "WARNING",
        }
    )

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
    def train(job_id: str) -> list[str]:
        task_id = DBOS.workflow_id or ""
        cancelled, lost, over = threading.Event(), threading.Event(), threading.Event()

        def look() -> None:
            # In a thread of its own: while the database is away it waits, and the work must not.
            while not over.wait(POLL_SECONDS):
                try:
                    task = engine.tasks([task_id]).get(task_id)
                except Exception:
                    _log.exception("what became of a job's task couldn't be asked")
                    over.wait(10 * POLL_SECONDS)
                    continue
                if task is None or task.status is TaskStatus.CANCELLED:
                    cancelled.set()
                elif task.status is not TaskStatus.WORKING or task.worker != worker:
                    lost.set()

        threading.Thread(target=look, daemon=True).start()
        try:
            return list(work(job_id, Orders(cancelled.is_set, lost.is_set)))
        finally:
            over.set()

    DBOS.launch()
    DBOS.register_queue(
        QUEUE,
        worker_concurrency=1,
        global_concurrency=None if engine.leases else 1,
        polling_interval_sec=POLL_SECONDS,
    )


def take_over(engine: Engine) -> None:
    """Have the tasks of dead workers wait for a living one; for a worker that serves.

    Raises:
        StudioError: If the database can't be reached.
    """
    if engine.leases is None:
        return
    for worker in engine.leases.dead():
        # Does nothing to a task that another worker has taken over already.
        DBOS._recover_pending_workflows([worker])
        engine.leases.forget(worker)


def _task(status: WorkflowStatus) -> Task:
    result = status.output if isinstance(status.output, list) else ()
    worker = status.executor_id or ""
    return Task(status.workflow_id, _STATUSES[status.status], worker, tuple(map(str, result)))
