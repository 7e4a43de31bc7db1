"""The training jobs, as they can be looked at: each by its owner."""

from pathlib import Path

from app.errors import JobError
from app.service.jobs.board import Board, listed
from app.service.jobs.curves import CurveReaders, Curves
from app.service.jobs.engine import Engine
from app.service.jobs.job import Job, Sample
from app.service.jobs.likeness import Likeness, likenesses
from app.service.jobs.record import JobFolder, job_folders
from app.service.jobs.result import model_of, samples_of, write_zip
from app.service.jobs.status import job_of
from app.service.model_files import ModelFiles
from app.service.models import ModelStore
from app.service.owners import check_owner, owner_hash
from app.settings import Settings
from app.training.config import TrainConfig, read_fields


class JobReader:
    """The jobs in the data folder; an owner sees their own, and everybody all if single-user.

    An id is looked up among the owner's jobs: somebody else's is as unknown as an invented one.

    Attributes:
        board: All jobs for those who ask every second.
    """

    def __init__(
        self, settings: Settings, models: ModelStore, *, administrator: bool = False
    ) -> None:
        self._data = settings.data_dir
        self._root = settings.data_dir / "jobs"
        self._models = models
        self._sees_all = settings.single_user or administrator
        self._engine = Engine(settings)
        self.board = Board(self._data, self._engine, sees_all=self._sees_all)
        self._readers = CurveReaders()

    def list(self, owner: str) -> tuple[Job, ...]:
        """The owner's jobs, the newest first."""
        self._check_owner(owner)
        hashed = owner_hash(owner)
        found = listed(self._data, self._engine)
        return tuple(job for whose, job in found if self._sees_all or whose == hashed)

    def show(self, owner: str, job_id: str) -> Job:
        """One of the owner's jobs.

        Raises:
            JobError: If they have none of that id.
        """
        folder = self._find(owner, job_id)
        record = folder.read()
        living = self._engine.workers()
        task = self._engine.tasks([record.task_id]).get(record.task_id)
        return job_of(folder, record, task, living)

    def curves(self, owner: str, job_id: str) -> Curves:
        """The curves of one of the owner's jobs, as far as it is.

        Raises:
            JobError: If they have none of that id.
        """
        folder = self._find(owner, job_id)
        return self._readers.read(folder.metrics)

    def config(self, owner: str, job_id: str) -> TrainConfig:
        """The settings of one of the owner's jobs.

        Raises:
            StudioError: If they have none of that id, or it is damaged.
        """
        return TrainConfig.checked(read_fields(self._find(owner, job_id).config))

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
        return self._find(owner, job_id).read_log().replace(str(self._data), "DATA")

    def model(self, owner: str, job_id: str, step: int | None = None) -> ModelFiles:
        """The job's model after `step` steps, by default its newest.

        Raises:
            JobError: If there is no such job, it has saved no model yet, or keeps none of that
                step.
        """
        return model_of(self._find(owner, job_id), job_id, step)

    def likenesses(self, owner: str, job_id: str) -> tuple[Likeness, ...]:
        """The job's newest samples, each beside the training picture that comes nearest.

        Raises:
            JobError: If there is no such job, it has painted nothing yet, or has too few pictures.
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

    def _check_owner(self, owner: str) -> None:
        if not self._sees_all:
            check_owner(owner)

    def _find(self, owner: str, job_id: str) -> JobFolder:
        self._check_owner(owner)
        folder = job_folders(self._root).get(job_id)
        if folder is None or not (self._sees_all or folder.read().owner == owner_hash(owner)):
            raise JobError("There is no such job.", "Choose one from the list.")
        return folder
