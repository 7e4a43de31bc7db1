"""The training jobs, as a page and a shell ask for them.

Nothing about a job is kept in memory: where it is, the engine's store and the locks of the living
processes tell; how far it is, its run's files.
"""

import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.errors import JobError
from app.service.jobs.board import listed
from app.service.jobs.engine import TaskStatus
from app.service.jobs.job import ENDED, GOING, Job, State
from app.service.jobs.leftovers import condemn, leftovers
from app.service.jobs.plan import Plan, check_sizes, extended
from app.service.jobs.reader import JobReader
from app.service.jobs.record import (
    JobFolder,
    Record,
    changing,
    checked_name,
    new_id,
    readable_jobs,
    root_model,
    taken_bytes,
)
from app.service.jobs.result import MODEL, kept_base, model_of
from app.service.jobs.storage import needed_bytes
from app.service.jobs.worker import start_worker
from app.service.limits import Limits
from app.service.model_files import ModelFiles
from app.service.models import ModelStore
from app.service.owners import owner_hash
from app.service.sets.store import Sets
from app.service.trainees import architecture_of
from app.settings import Settings
from app.training.config import TrainConfig
from app.training.course import Course
from app.training.files import remove, replace_file
from app.training.material import find
from app.training.pace import looks
from app.training.trainee import check_architecture

WORKER_SECONDS: Final = 5.0
SAVING_SECONDS: Final = 9.0
"""Less than the 10 s that a container has from SIGTERM to SIGKILL."""


class Jobs(JobReader):
    """Jobs that can be started, stopped and changed, too."""

    def __init__(
        self, settings: Settings, models: ModelStore, sets: Sets, *, administrator: bool = False
    ) -> None:
        super().__init__(settings, models, administrator=administrator)
        self._settings = settings
        self._limits = Limits() if administrator else Limits.of(settings)
        self._sets = sets
        self._lock = threading.Lock()
        self._asked_for_worker = -WORKER_SECONDS
        self._worker: subprocess.Popen[bytes] | None = None

    def start(self, owner: str, base_model: str, set_id: str, plan: Plan, name: str) -> Job:
        """Start a job; what can be known to go wrong is refused at once.

        Args:
            owner: Whose it is.
            base_model: The id of the model to begin with.
            set_id: The id of one of the owner's sets of pictures.
            plan: The settings.
            name: What the owner calls it.

        Raises:
            StudioError: If the owner isn't known, the model, the pictures and the settings don't
                fit together, there is no room, or it is more than an open studio does for the
                owner.
        """
        self._check_owner(owner)
        base, pictures = self._models.find(base_model), self._sets.show(owner, set_id)
        config = plan.config(base, pictures)
        found = find(config)
        check_architecture(architecture_of(base), config, found.classes)
        check_sizes(config, found)
        record = Record(
            id=new_id(),
            owner=owner_hash(owner),
            name=checked_name(name),
            base_model=base.id,
            set_id=pictures.id,
            total_steps=Course(config).total_steps,
            attempt=1,
            created=time.time(),
            root_model=root_model(self._root, base.id),
        )
        self._make_up()
        with changing(self._root):
            self._check_share(record, config)
            folder = JobFolder(self._root / record.id)
            self._check_room(folder, config, base)
            folder.path.mkdir()
            if base.folder.is_relative_to(self._root.resolve()):
                base = kept_base(base, folder)
            config = plan.config(base, self._sets.hold(pictures, record.id))
            replace_file(folder.config, config.to_json().encode())
            self._submit(folder, record)
        return self.show(owner, record.id)

    def stop(self, owner: str, job_id: str) -> Job:
        """Stop a job; its trainer saves and is gone within five seconds.

        Raises:
            JobError: If there is no such job, or it has ended.
        """
        self._make_up()
        with changing(self._root):
            job = self.show(owner, job_id)
            if job.state in ENDED:
                raise JobError(f"The job is {job.state}.", "There is nothing to stop.")
            self._engine.cancel(self._find(owner, job_id).read().task_id)
            self.board.forget()
        return self.show(owner, job_id)

    def resume(self, owner: str, job_id: str) -> Job:
        """Go on with a stopped, failed or interrupted job from its last checkpoint.

        Raises:
            StudioError: If there is no such job, it goes on already, there is no room, or it is
                more than an open studio does for the owner.
        """
        with changing(self._root):
            job, folder = self.show(owner, job_id), self._find(owner, job_id)
            if job.state not in (State.STOPPED, State.FAILED, State.INTERRUPTED):
                raise JobError(f"The job is {job.state}.", "Only what was stopped can go on.")
            record, config = folder.read(), self.config(owner, job_id)
            self._check_share(record, config)
            self._check_room(folder, config)
            task = self._engine.tasks([record.task_id]).get(record.task_id)
            if task is None or task.status is not TaskStatus.WORKING:
                self._submit(folder, record.again())
        self.tend()
        return self.show(owner, job_id)

    def extend(self, owner: str, job_id: str, steps: int) -> Job:
        """Make an ended job longer by `steps`, and go on with it.

        Raises:
            StudioError: If there is no such job, it hasn't ended, there is no room, it is more
                than an open studio does for the owner, or its learning rate has begun to fall.
        """
        with changing(self._root):
            job, folder = self.show(owner, job_id), self._find(owner, job_id)
            if job.state not in ENDED:
                raise JobError(f"The job is {job.state}.", "Stop it first.")
            if steps < 1:
                raise JobError(f"A job can't be {steps} steps longer.", "Give at least 1.")
            before = self.config(owner, job_id)
            after = extended(before, steps)
            self._check_share(folder.read(), after)
            self._check_room(folder, after)
            if not Course(before).agrees(Course(after), max(0, folder.saved_step())):
                raise JobError(
                    "The job's learning rate has begun to fall.",
                    "Start a new job with its model instead.",
                )
            replace_file(folder.config, after.to_json().encode())
            self._submit(folder, folder.read().again(Course(after).total_steps))
        return self.show(owner, job_id)

    def rename(self, owner: str, job_id: str, name: str) -> Job:
        """Call a job something else.

        Raises:
            JobError: If there is no such job, or the name is empty or too long.
        """
        with changing(self._root):
            folder = self._find(owner, job_id)
            folder.write(folder.read().renamed(checked_name(name)))
            self.board.forget()
        return self.show(owner, job_id)

    def keep(self, owner: str, job_id: str, *, kept: bool = True) -> Job:
        """Never offer a job, and so its pictures, for deletion; or do so again.

        Raises:
            JobError: If there is no such job.
        """
        with changing(self._root):
            folder = self._find(owner, job_id)
            folder.write(folder.read().keeping(kept))
            self.board.forget()
        return self.show(owner, job_id)

    def delete(self, owner: str, job_id: str) -> None:
        """Remove a job, its checkpoints and its models; a kept one, too.

        Raises:
            JobError: If there is no such job, or it hasn't ended.
        """
        with changing(self._root):
            job, folder = self.show(owner, job_id), self._find(owner, job_id)
            if job.state not in ENDED:
                raise JobError(f"The job is {job.state}.", "Stop it first.")
            self._bury(job.id, condemn(folder))
            self.board.forget()

    def tend(self) -> None:
        """See that what killed processes left goes on, and a worker lives where there is work.

        The worker not where a database is shared: there they are started by whoever has the
        machines.

        Raises:
            StudioError: If the disk is full, or the database is away.
        """
        self._make_up()
        if self._settings.database_url:
            return
        with self._lock:
            recently = time.monotonic() - self._asked_for_worker < WORKER_SECONDS
            if recently or self._engine.workers() or self._engine.is_idle():
                return
            self._asked_for_worker = time.monotonic()
            self._worker = start_worker(self._settings)

    def end_worker(self) -> None:
        """End the worker that was started here, and wait until it has saved what it trains."""
        if self._worker is not None:
            self._worker.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._worker.wait(SAVING_SECONDS)

    def close(self) -> None:
        """Let go of the engine's store."""
        self._engine.close()

    def _make_up(self) -> None:
        """Finish what killed processes left of starting, resuming and deleting jobs."""
        if not leftovers(self._root) and not self._unasked():
            return
        with changing(self._root):  # What is being done at this moment is done by then.
            for job_id, path in leftovers(self._root).items():
                self._bury(job_id, path)
            for record in self._unasked():
                self._engine.submit(record.task_id, record.id)
            self.board.forget()

    def _unasked(self) -> list[Record]:
        """The jobs of whose newest attempt the engine was never told, though of all before it was.

        An engine that knows nothing of a job that was trained has lost its store, or has another
        one: what was stopped or done before mustn't begin again.
        """
        jobs = readable_jobs(self._root)
        self._engine.workers()  # says where the database is away
        known = self._engine.tasks(
            [task for _, record in jobs for task in (record.task_id, record.task_before)]
        )
        return [
            record
            for folder, record in jobs
            if record.task_id not in known
            and (record.task_before in known if record.attempt > 1 else not folder.run.exists())
        ]

    def _bury(self, job_id: str, path: Path) -> None:
        """Remove all that there is of a job, its folder last: by it the rest is found again."""
        self._engine.forget(f"{job_id}-")
        self._sets.release_all(job_id)
        remove(path)

    def _submit(self, folder: JobFolder, record: Record) -> None:
        folder.write(record)
        self._engine.submit(record.task_id, record.id)
        self.board.forget()

    def _check_share(self, record: Record, config: TrainConfig) -> None:
        """Refuse what is more than an open studio does for the owner of a job."""
        views = sum(phase.views for phase in config.phases)
        self._limits.check_training(views, looks(config), config.sizes[-1])
        found = listed(self._data, self._engine)
        going = [whose for whose, job in found if job.state in GOING and job.id != record.id]
        self._limits.check_jobs(going.count(record.owner), len(going))

    def _check_room(
        self, folder: JobFolder, config: TrainConfig, base: ModelFiles | None = None
    ) -> None:
        """Refuse what would need more than is set aside, with what the job has yet to write."""
        if base is None:
            has_model = (folder.run / MODEL).is_dir()
            start = Path(config.init or "")
            base = model_of(folder, "its model") if has_model else ModelFiles("its base", start)
        own = taken_bytes(folder.path)
        missing = max(0, needed_bytes(config, base.num_parameters) - own)
        taken, allowed = taken_bytes(self._root), self._settings.job_quota_mb * 1_000_000
        if taken + missing > allowed:
            raise JobError(
                f"The jobs take {taken / 1e9:.1f} of the {allowed / 1e9:.1f} GB that are set aside "
                f"for them, and this one needs up to {missing / 1e9:.1f} GB more.",
                "Delete some, have samples painted less often, or raise PLEIN_AIR_JOB_QUOTA_MB.",
            )
