"""The training jobs, as the page and the shell use them on behalf of an owner.

Nothing about a job is kept in memory: its state is read from the engine's store and the locks of
living processes, its progress from the files of its run.
"""

import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from app.datasets.uploads import Sets
from app.errors import JobError
from app.files import empty, remove, replace_file
from app.jobs.copies import CopyCheck, likenesses, why_no_likeness
from app.jobs.curves import CurveReaders, TrainingCurves, curves_csv
from app.jobs.engine import Engine
from app.jobs.estimate import looks
from app.jobs.job import ENDED, GOING, Job, JobState, SampleGrid
from app.jobs.listing import JobListing, job_of, listed
from app.jobs.plan import TrainingPlan, check_sizes, extended
from app.jobs.record import (
    JobFolder,
    Record,
    changing,
    checked_name,
    condemn,
    job_folders,
    leftovers,
    readable_jobs,
    root_model,
    taken_bytes,
)
from app.jobs.results import MODEL, kept_base, model_of, samples_of, write_zip
from app.jobs.storage import disk_usage, needed_bytes
from app.jobs.worker import start_worker
from app.limits import Limits
from app.models.files import ModelFiles
from app.models.store import ModelStore
from app.owners import check_owner, owner_hash
from app.settings import Settings
from app.training.architecture import architecture_of, check_architecture
from app.training.config import TrainConfig, read_fields
from app.training.data import find

WORKER_SECONDS: Final = 5.0
SAVING_SECONDS: Final = 9.0
"""The time to save on ending: less than the 10 s a container has from SIGTERM to SIGKILL."""


class Jobs:
    """The jobs in the data folder; owners see their own, and a single-user studio shows them all.

    An id is looked up among the owner's jobs, so a stranger's id is as unknown as an invented one:
    every method that takes one raises JobError if the owner has no such job.

    Attributes:
        board: The listing of all jobs, for pages that ask every second.
    """

    def __init__(
        self, settings: Settings, models: ModelStore, sets: Sets, *, administrator: bool = False
    ) -> None:
        self._settings = settings
        self._limits = Limits() if administrator else Limits.of(settings)
        self._sets = sets
        self._data = settings.data_dir
        self._root = settings.data_dir / "jobs"
        self._models = models
        self._sees_all = settings.single_user or administrator
        self._engine = Engine(settings)
        self.board = JobListing(self._data, self._engine, sees_all=self._sees_all)
        self._readers = CurveReaders()
        self._lock = threading.Lock()
        self._asked_for_worker = -WORKER_SECONDS
        self._worker: subprocess.Popen[bytes] | None = None

    def list(self, owner: str) -> tuple[Job, ...]:
        """Return the owner's jobs, the newest first."""
        self._check_owner(owner)
        self.board.forget()
        return self.board.jobs(owner)

    def show(self, owner: str, job_id: str) -> Job:
        """Return one of the owner's jobs."""
        folder = self._find(owner, job_id)
        record = folder.read()
        living = self._engine.workers()
        task = self._engine.tasks([record.task_id]).get(record.task_id)
        return job_of(folder, record, task, living)

    def curves(self, owner: str, job_id: str) -> TrainingCurves:
        """Read the curves of one of the owner's jobs, up to now."""
        return self._readers.read(self._find(owner, job_id).metrics)

    def curves_csv(self, owner: str, job_id: str) -> str:
        """Write the curves of one of the owner's jobs, each step of them, as a table."""
        return curves_csv(self._find(owner, job_id).metrics)

    def config(self, owner: str, job_id: str) -> TrainConfig:
        """Read the settings of one of the owner's jobs.

        Raises:
            StudioError: If the job is damaged.
        """
        return TrainConfig.checked(read_fields(self._find(owner, job_id).config))

    def samples(self, owner: str, job_id: str) -> tuple[SampleGrid, ...]:
        """Return the sample grids of one of the owner's jobs, oldest first."""
        return samples_of(self._find(owner, job_id))

    def log(self, owner: str, job_id: str) -> str:
        """Return the end of the log of the job's trainers."""
        return self._find(owner, job_id).read_log().replace(str(self._data), "DATA")

    def model(self, owner: str, job_id: str, step: int | None = None) -> ModelFiles:
        """Return the job's model after `step` steps, by default its newest.

        Raises:
            JobError: If the job has no model of that step, or none yet.
        """
        return model_of(self._find(owner, job_id), job_id, step)

    def why_no_likeness(self, owner: str, job_id: str) -> str:
        """Say why the job's samples can't be compared with its pictures; "" if they can."""
        return why_no_likeness(self._find(owner, job_id))

    def likenesses(self, owner: str, job_id: str) -> tuple[CopyCheck, ...]:
        """Pair each of the job's newest samples with the training picture nearest to it.

        Raises:
            JobError: If the job has no samples yet, or has too few pictures.
        """
        folder = self._find(owner, job_id)
        samples = samples_of(folder)
        if not samples:
            raise JobError("The job has painted nothing yet.", "Wait for its first samples.")
        return likenesses(folder, self.model(owner, job_id), samples[-1], self._models)

    def download(self, owner: str, job_id: str, target: Path, step: int | None = None) -> None:
        """Write one of the job's models to `target`, a zip of a diffusers folder.

        Raises:
            JobError: As `model` does.
        """
        write_zip(self.model(owner, job_id, step), target)

    def start(self, owner: str, base_model: str, set_id: str, plan: TrainingPlan, name: str) -> Job:
        """Start a job with the ids of a model and of one of the owner's sets of pictures.

        A job that can be known to fail is refused at once.

        Raises:
            StudioError: If the owner isn't known, the model, the pictures and the settings don't
                fit together, the disk quota is used up, or the job exceeds an open studio's limits.
        """
        self._check_owner(owner)
        base, pictures = self._models.find(base_model), self._sets.show(owner, set_id)
        config = plan.config(base, pictures)
        found = find(config)
        check_architecture(architecture_of(base), config, found.classes)
        check_sizes(config, found)
        record = Record(
            id=secrets.token_hex(8),
            owner=owner_hash(owner),
            name=checked_name(name),
            base_model=base.id,
            set_id=pictures.id,
            total_steps=config.total_steps,
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
        """Stop a job; its trainer ends its step and saves, however long that takes.

        Raises:
            JobError: If the job has ended.
        """
        self._make_up()
        with changing(self._root):
            folder = self._find_in(
                owner, job_id, GOING | {JobState.SAVING}, "There is nothing to stop."
            )
            self._engine.cancel(folder.read().task_id)
            self.board.forget()
        return self.show(owner, job_id)

    def resume(self, owner: str, job_id: str) -> Job:
        """Resume a stopped, failed or interrupted job from its last checkpoint.

        Raises:
            StudioError: If the job is not in one of these states, the disk quota is used up, or
                the job exceeds an open studio's limits.
        """
        with changing(self._root):
            stopped = {JobState.STOPPED, JobState.FAILED, JobState.INTERRUPTED}
            folder = self._find_in(owner, job_id, stopped, "Only what was stopped can go on.")
            record, config = folder.read(), self.config(owner, job_id)
            self._check_share(record, config)
            self._check_room(folder, config)
            task = self._engine.tasks([record.task_id]).get(record.task_id)
            if task is None or task.status != "PENDING":
                self._submit(folder, record.again())
        self.tend()
        return self.show(owner, job_id)

    def extend(self, owner: str, job_id: str, steps: int) -> Job:
        """Make an ended job longer by `steps`, and resume it.

        Raises:
            StudioError: If the job hasn't ended, the disk quota is used up, the job exceeds an
                open studio's limits, or its learning rate has begun to fall.
        """
        with changing(self._root):
            folder = self._find_in(owner, job_id, ENDED, "Stop it first.")
            if steps < 1:
                raise JobError(f"A job can't be {steps} steps longer.", "Give at least 1.")
            before = self.config(owner, job_id)
            after = extended(before, steps)
            self._check_share(folder.read(), after)
            self._check_room(folder, after)
            if not before.agrees(after, max(0, folder.saved_step())):
                raise JobError(
                    "The job's learning rate has begun to fall.",
                    "Start a new job with its model instead.",
                )
            replace_file(folder.config, after.to_json().encode())
            self._submit(folder, folder.read().again(after.total_steps))
        return self.show(owner, job_id)

    def rename(self, owner: str, job_id: str, name: str) -> Job:
        """Rename a job.

        Raises:
            JobError: If the name is empty or too long.
        """
        return self._rewrite(owner, job_id, lambda old: replace(old, name=checked_name(name)))

    def keep(self, owner: str, job_id: str, *, kept: bool = True) -> Job:
        """Set whether a job, and with it its pictures, is never offered for deletion."""
        return self._rewrite(owner, job_id, lambda old: replace(old, kept=kept))

    def delete(self, owner: str, job_id: str) -> None:
        """Delete a job with its checkpoints and models, even if it is kept.

        Raises:
            JobError: If the job hasn't ended.
        """
        with changing(self._root):
            folder = self._find_in(owner, job_id, ENDED, "Stop it first.")
            self._bury(job_id, condemn(folder))
            self.board.forget()
            disk_usage.cache_clear()

    def tend(self) -> None:
        """Finish the changes that killed processes left half done, and start a worker if needed.

        With a shared database no worker is started: that is up to whoever runs the machines.

        Raises:
            StudioError: If the disk is full, or the database can't be reached.
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
        """End the worker that this process started, and wait until it has saved its training."""
        if self._worker is not None:
            self._worker.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._worker.wait(SAVING_SECONDS)

    def close(self) -> None:
        """Close the engine's store."""
        self._engine.close()

    def _check_owner(self, owner: str) -> None:
        if not self._sees_all:
            check_owner(owner)

    def _find(self, owner: str, job_id: str) -> JobFolder:
        self._check_owner(owner)
        folder = job_folders(self._root).get(job_id)
        if folder is None or not (self._sees_all or folder.read().owner == owner_hash(owner)):
            raise JobError("There is no such job.", "Choose one from the list.")
        return folder

    def _find_in(
        self, owner: str, job_id: str, states: Collection[JobState], hint: str
    ) -> JobFolder:
        """Find one of the owner's jobs; refuse it with the `hint` if it is in no such state."""
        job = self.show(owner, job_id)
        if job.state not in states:
            raise JobError(f"The job is {job.state}.", hint)
        return self._find(owner, job_id)

    def _rewrite(self, owner: str, job_id: str, change: Callable[[Record], Record]) -> Job:
        """Change the record of one of the owner's jobs, and return the job."""
        with changing(self._root):
            folder = self._find(owner, job_id)
            folder.write(change(folder.read()))
            self.board.forget()
        return self.show(owner, job_id)

    def _make_up(self) -> None:
        """Finish starting, resuming and deleting jobs where a killed process broke off."""
        if not leftovers(self._root) and not self._unasked():
            return
        with changing(self._root):  # A change that is under way has ended by then.
            for job_id, path in leftovers(self._root).items():
                self._bury(job_id, path)
            for record in self._unasked():
                self._engine.submit(record.task_id, record.id)
            self.board.forget()

    def _unasked(self) -> Sequence[Record]:
        """Return the jobs whose newest attempt, and only that, was never submitted to the engine.

        If the engine knows nothing of a job that was trained, its store is lost or another one: a
        job that was stopped or done before must not start again.
        """
        jobs = readable_jobs(self._root)
        self._engine.workers()  # raises if the database can't be reached
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
        """Remove everything that belongs to a job, its folder last, as the rest is found by it."""
        empty(path)  # First of all, for on a full disk the rest needs room.
        self._engine.forget(f"{job_id}-")
        self._sets.release_all(job_id)
        remove(path)

    def _submit(self, folder: JobFolder, record: Record) -> None:
        folder.write(record)
        self._engine.submit(record.task_id, record.id)
        self.board.forget()

    def _check_share(self, record: Record, config: TrainConfig) -> None:
        """Refuse a job that exceeds an open studio's limits for its owner."""
        views = sum(phase.views for phase in config.phases)
        self._limits.check_training(views, looks(config), config.sizes[-1])
        found = listed(self._data, self._engine)
        going = [whose for whose, job in found if job.state in GOING and job.id != record.id]
        self._limits.check_jobs(going.count(record.owner), len(going))

    def _check_room(
        self, folder: JobFolder, config: TrainConfig, base: ModelFiles | None = None
    ) -> None:
        """Refuse a job that, with all it has yet to write, would exceed the jobs' disk quota."""
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
