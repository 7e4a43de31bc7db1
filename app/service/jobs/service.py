"""The training jobs, as a page and a shell ask for them.

Nothing about a job is kept in memory: where it is, the engine's store and the locks of the living
processes tell; how far it is, its run's files.
"""

import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from app.errors import JobError
from app.service.jobs.curves import CurveReader, Curves
from app.service.jobs.engine import Engine, TaskStatus
from app.service.jobs.job import Job, Sample, State
from app.service.jobs.plan import Plan, extended
from app.service.jobs.record import (
    JobFolder,
    Record,
    changing,
    checked_name,
    job_folders,
    new_id,
    owner_hash,
    taken_bytes,
)
from app.service.jobs.result import model_of, samples_of, write_zip
from app.service.jobs.status import job_of
from app.service.jobs.worker import is_worker_alive, start_worker
from app.service.model_files import ModelFiles
from app.service.models import ModelStore
from app.service.sets.store import Sets
from app.service.trainees import architecture_of
from app.settings import Settings
from app.training.config import TrainConfig, read_fields
from app.training.course import Course
from app.training.files import remove, replace_file
from app.training.material import find
from app.training.trainee import check_architecture

MAX_READERS: Final = 32
WORKER_SECONDS: Final = 5.0

ENDED: Final = frozenset({State.DONE, State.STOPPED, State.FAILED})


class Jobs:
    """The jobs in the data folder; an owner sees their own, and everybody all if single-user.

    An id is looked up among the owner's jobs: somebody else's is as unknown as an invented one.
    """

    def __init__(
        self, settings: Settings, models: ModelStore, sets: Sets, *, administrator: bool = False
    ) -> None:
        self._settings = settings
        self._data = settings.data_dir
        self._root = settings.data_dir / "jobs"
        self._models = models
        self._sets = sets
        self._sees_all = settings.single_user or administrator
        self._engine = Engine(self._data)
        self._readers: OrderedDict[str, CurveReader] = OrderedDict()
        self._lock = threading.Lock()
        self._asked_for_worker = -WORKER_SECONDS

    def start(self, owner: str, base_model: str, set_id: str, plan: Plan, name: str) -> Job:
        """Start a job; what can be known to go wrong is refused at once.

        Args:
            owner: Whose it is.
            base_model: The id of the model to begin with.
            set_id: The id of one of the owner's sets of pictures.
            plan: The settings.
            name: What the owner calls it.

        Raises:
            StudioError: If the model, the pictures and the settings don't fit together, or there
                is no room.
        """
        base, pictures = self._models.find(base_model), self._sets.show(owner, set_id)
        config = plan.config(base, pictures)
        found = find(config)
        check_architecture(architecture_of(base), config, found.classes)
        record = Record(
            id=new_id(),
            owner=owner_hash(owner),
            name=checked_name(name),
            base_model=base.id,
            set_id=pictures.id,
            total_steps=Course(config).total_steps,
            attempt=1,
            created=time.time(),
        )
        with changing(self._root):
            self._check_room()
            folder = JobFolder(self._root / record.id)
            folder.path.mkdir()
            self._sets.hold(pictures, record.id)
            replace_file(folder.config, config.to_json().encode())
            self._submit(folder, record)
        return self.show(owner, record.id)

    def list(self, owner: str) -> tuple[Job, ...]:
        """The owner's jobs, the newest first."""
        records = [(folder, folder.read()) for folder in self._folders(owner).values()]
        tasks = self._engine.tasks([record.task_id for _, record in records])
        alive = is_worker_alive(self._data)
        jobs = [job_of(f, record, tasks.get(record.task_id), alive) for f, record in records]
        return tuple(sorted(jobs, key=lambda job: job.created, reverse=True))

    def show(self, owner: str, job_id: str) -> Job:
        """One of the owner's jobs.

        Raises:
            JobError: If they have none of that id.
        """
        folder = self._find(owner, job_id)
        record = folder.read()
        task = self._engine.tasks([record.task_id]).get(record.task_id)
        return job_of(folder, record, task, is_worker_alive(self._data))

    def stop(self, owner: str, job_id: str) -> Job:
        """Stop a job; its trainer saves and is gone within five seconds.

        Raises:
            JobError: If there is no such job, or it has ended.
        """
        with changing(self._root):
            job = self.show(owner, job_id)
            if job.state in ENDED:
                raise JobError(f"The job is {job.state}.", "There is nothing to stop.")
            self._engine.cancel(self._find(owner, job_id).read().task_id)
        return self.show(owner, job_id)

    def resume(self, owner: str, job_id: str) -> Job:
        """Go on with a stopped, failed or interrupted job from its last checkpoint.

        Raises:
            JobError: If there is no such job, it goes on already, or there is no room.
        """
        with changing(self._root):
            job, folder = self.show(owner, job_id), self._find(owner, job_id)
            if job.state not in (State.STOPPED, State.FAILED, State.INTERRUPTED):
                raise JobError(f"The job is {job.state}.", "Only what was stopped can go on.")
            self._check_room()
            record = folder.read()
            task = self._engine.tasks([record.task_id]).get(record.task_id)
            if task is None or task.status is not TaskStatus.WORKING:
                self._submit(folder, record.again())
        self.tend()
        return self.show(owner, job_id)

    def extend(self, owner: str, job_id: str, steps: int) -> Job:
        """Make an ended job longer by `steps`, and go on with it.

        Raises:
            StudioError: If there is no such job, it hasn't ended, there is no room, or its
                learning rate has begun to fall.
        """
        with changing(self._root):
            job, folder = self.show(owner, job_id), self._find(owner, job_id)
            if job.state not in ENDED:
                raise JobError(f"The job is {job.state}.", "Stop it first.")
            if steps < 1:
                raise JobError(f"A job can't be {steps} steps longer.", "Give at least 1.")
            self._check_room()
            before = TrainConfig.checked(read_fields(folder.config))
            after = extended(before, steps)
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
        return self.show(owner, job_id)

    def delete(self, owner: str, job_id: str) -> None:
        """Remove a job, its checkpoints and its model.

        Raises:
            JobError: If there is no such job, or it hasn't ended.
        """
        with changing(self._root):
            job, folder = self.show(owner, job_id), self._find(owner, job_id)
            if job.state not in ENDED:
                raise JobError(f"The job is {job.state}.", "Stop it first.")
            self._engine.forget(f"{job.id}-")
            self._sets.release(job.set_id, job.id)
            remove(folder.path)

    def curves(self, owner: str, job_id: str) -> Curves:
        """The curves of one of the owner's jobs, as far as it is.

        Raises:
            JobError: If they have none of that id.
        """
        folder = self._find(owner, job_id)
        with self._lock:
            reader = self._readers.setdefault(job_id, CurveReader(folder.metrics))
            self._readers.move_to_end(job_id)
            if len(self._readers) > MAX_READERS:
                self._readers.popitem(last=False)
            return reader.read()

    def samples(self, owner: str, job_id: str) -> tuple[Sample, ...]:
        """The sample grids of one of the owner's jobs, oldest first.

        Raises:
            JobError: If they have none of that id.
        """
        return samples_of(self._find(owner, job_id))

    def log(self, owner: str, job_id: str) -> str:
        """The end of what the job's trainers said.

        Raises:
            JobError: If they have none of that id.
        """
        return self._find(owner, job_id).read_log()

    def model(self, owner: str, job_id: str) -> ModelFiles:
        """The job's newest model; its id changes with each checkpoint.

        Raises:
            JobError: If there is no such job, or it has saved no model yet.
        """
        return model_of(self._find(owner, job_id), job_id)

    def download(self, owner: str, job_id: str, target: Path) -> None:
        """Write the job's newest model to `target`, a zip of a diffusers folder.

        Raises:
            JobError: If there is no such job, or it has saved no model yet.
        """
        write_zip(self.model(owner, job_id), target)

    def tend(self) -> None:
        """See that a worker lives where there is work: what a killed one left goes on."""
        with self._lock:
            recently = time.monotonic() - self._asked_for_worker < WORKER_SECONDS
            if recently or is_worker_alive(self._data) or self._engine.is_idle():
                return
            self._asked_for_worker = time.monotonic()
            start_worker(self._settings)

    def close(self) -> None:
        """Let go of the engine's store; jobs go on."""
        self._engine.close()

    def _submit(self, folder: JobFolder, record: Record) -> None:
        folder.write(record)
        self._engine.submit(record.task_id, record.id)

    def _folders(self, owner: str) -> dict[str, JobFolder]:
        folders = job_folders(self._root)
        if self._sees_all:
            return folders
        if not owner:
            raise JobError("Nobody is named as the owner.", "Reload the page.")
        hashed = owner_hash(owner)
        return {name: f for name, f in folders.items() if f.read().owner == hashed}

    def _find(self, owner: str, job_id: str) -> JobFolder:
        folder = self._folders(owner).get(job_id)
        if folder is None:
            raise JobError("There is no such job.", "Choose one from the list.")
        return folder

    def _check_room(self) -> None:
        taken = taken_bytes(self._root)
        if taken > self._settings.job_quota_mb * 1_000_000:
            raise JobError(
                f"The jobs take {taken / 1e9:.1f} GB, more than is set aside for them.",
                "Delete some, or raise PLEIN_AIR_JOB_QUOTA_MB.",
            )
