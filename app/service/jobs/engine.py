"""The durable engine: DBOS, with its store in the data folder, behind what jobs need of it.

A task that was submitted is carried out to its end, one at a time and in order, by whichever
worker lives; one whose worker died is begun again by the next. Only one worker may serve a
store at a time: the worker sees to that.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from dbos import DBOS, DBOSClient, WorkflowStatus

QUEUE: Final = "training"
WORKFLOW: Final = "train"
EXECUTOR: Final = "worker"
"""The same for every worker, so that each takes up what the one before it left."""

VERSION: Final = "1"
"""DBOS recovers only tasks of the same version, by default a hash of the source. This one changes
when a task's meaning does, so that an upgraded studio goes on with the jobs of the older."""

POLL_SECONDS: Final = 0.3


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
    """A task: where it is, and once it finished what its work returned."""

    id: str
    status: TaskStatus
    result: tuple[str, ...]


Work = Callable[[str, Callable[[], bool]], tuple[str, ...]]
"""Carries out a task, given the job's id and whether the task was cancelled meanwhile."""


class Engine:
    """The store of tasks, as those who ask for work see it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        DBOS.migrate(_url(folder))
        self._client = DBOSClient(system_database_url=_url(folder))

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

    def close(self) -> None:
        """Let go of the store."""
        self._client.destroy()


def serve(folder: Path, engine: Engine, work: Work) -> None:
    """Carry out the store's tasks with `work`, in other threads, until the process ends."""
    DBOS(
        config={
            "name": "plein-air",
            "system_database_url": _url(folder),
            "application_version": VERSION,
            "executor_id": EXECUTOR,
            "log_level": "WARNING",
        }
    )

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
    def train(job_id: str) -> list[str]:
        task_id = DBOS.workflow_id or ""
        checked = time.monotonic()
        cancelled = False

        def is_cancelled() -> bool:
            nonlocal checked, cancelled
            if not cancelled and time.monotonic() - checked > POLL_SECONDS:
                checked = time.monotonic()
                task = engine.tasks([task_id]).get(task_id)
                cancelled = task is None or task.status is TaskStatus.CANCELLED
            return cancelled

        return list(work(job_id, is_cancelled))

    DBOS.launch()
    DBOS.register_queue(QUEUE, concurrency=1, polling_interval_sec=POLL_SECONDS)


def _task(status: WorkflowStatus) -> Task:
    result = status.output if isinstance(status.output, list) else ()
    return Task(status.workflow_id, _STATUSES[status.status], tuple(map(str, result)))


def _url(folder: Path) -> str:
    return f"sqlite:///{(folder / 'engine.sqlite').absolute()}"
