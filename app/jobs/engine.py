"""The durable engine: DBOS, behind the few calls that jobs need.

A submitted task is carried out to its end by any living worker; if its worker dies, another one
starts it again. The tasks are kept in SQLite in the data folder, where one worker carries them out,
one at a time and in order; or in a Postgres database, shared by workers on several machines.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dbos import DBOS, DBOSClient, WorkflowStatus

from app.jobs.leases import Leases
from app.locks import is_locked
from app.settings import Settings

QUEUE: Final = "training"
WORKFLOW: Final = "train"
ONLY: Final = "worker"
"""The name of every worker of a SQLite store, so that each takes up the tasks of the one before."""

VERSION: Final = "1"
"""The version of the tasks: DBOS recovers only tasks of the same one, by default a hash of the
source. It changes only when the meaning of a task does, so an upgraded studio resumes old jobs."""

POLL_SECONDS: Final = 0.3

_log = logging.getLogger(__name__)


Work = Callable[[str, Callable[[], bool], Callable[[], bool]], tuple[str, ...]]
"""The work of a task, given the job's id, and two functions: the first tells whether the task has
been cancelled, the second whether another worker has taken it over."""


def worker_lock(data_dir: Path) -> Path:
    """Return the path of the file that the worker of a SQLite store keeps locked."""
    return data_dir / "worker.lock"


class Engine:
    """The store of tasks, as seen by those who submit them.

    Attributes:
        leases: The workers' heartbeats; None for a SQLite store.

    Raises:
        StudioError: If the database can't be reached.
    """

    def __init__(self, settings: Settings) -> None:
        self._data = settings.data_dir
        self._data.mkdir(parents=True, exist_ok=True)
        # Before DBOS, which would retry for ever if the database can't be reached.
        self.leases = Leases(settings.database_url) if settings.database_url else None
        self.url = settings.database_url or f"sqlite:///{(self._data / 'engine.sqlite').absolute()}"
        DBOS.migrate(self.url)
        self._client = DBOSClient(system_database_url=self.url)

    def submit(self, task_id: str, job_id: str) -> None:
        """Submit a task; submitting the same id again changes nothing."""
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
        """Cancel a task: take it back if it waits, or have its work stop."""
        self._client.cancel_workflow(task_id)

    def forget(self, prefix: str) -> None:
        """Remove all tasks whose id begins with `prefix`."""
        for found in self._client.list_workflows(
            workflow_id_prefix=prefix, load_input=False, load_output=False
        ):
            self._client.delete_workflow(found.workflow_id)

    def tasks(self, ids: list[str]) -> dict[str, WorkflowStatus]:
        """Return what DBOS knows of the tasks among `ids` that exist, by id."""
        if not ids:
            return {}
        found = self._client.list_workflows(workflow_ids=ids, load_input=False)
        return {status.workflow_id: status for status in found}

    def is_idle(self) -> bool:
        """Tell whether no task is waiting or being worked on."""
        return not self._client.list_workflows(
            status=["ENQUEUED", "PENDING"], queue_name=QUEUE, limit=1, load_input=False
        )

    def workers(self) -> frozenset[str]:
        """Return the names of the living workers.

        Raises:
            StudioError: If the database can't be reached.
        """
        if self.leases is not None:
            return self.leases.living()
        return frozenset({ONLY}) if is_locked(worker_lock(self._data)) else frozenset()

    def close(self) -> None:
        """Close the connections to the store."""
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
            # In its own thread: it waits while the database is away, and the work must not.
            while not over.wait(POLL_SECONDS):
                try:
                    task = engine.tasks([task_id]).get(task_id)
                except Exception:
                    _log.exception("what became of a job's task couldn't be asked")
                    over.wait(10 * POLL_SECONDS)
                    continue
                if task is None or task.status == "CANCELLED":
                    cancelled.set()
                elif task.status != "PENDING" or task.executor_id != worker:
                    lost.set()

        threading.Thread(target=look, daemon=True).start()
        try:
            return list(work(job_id, cancelled.is_set, lost.is_set))
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
    """Queue the tasks of dead workers again; only a worker that is serving may call this.

    Raises:
        StudioError: If the database can't be reached.
    """
    if engine.leases is None:
        return
    for worker in engine.leases.dead():
        # A task that another worker has already taken over stays with that worker.
        DBOS._recover_pending_workflows([worker])
        engine.leases.forget(worker)
