"""The models that jobs have made, told from their files alone."""

from dataclasses import replace

from app.errors import ModelError, StudioError
from app.service.jobs.record import JOB_MODEL, JobFolder, Record, job_folders
from app.service.jobs.result import model_of, model_steps
from app.service.model_files import ModelFiles
from app.service.models import ModelInfo, describe
from app.service.owners import owner_hash
from app.settings import Settings


def is_job_model(model_id: str) -> bool:
    """Whether a model of this id could only be a job's."""
    return JOB_MODEL.fullmatch(model_id) is not None


class JobModels:
    """The jobs' models; an owner sees those of their own jobs, or all if single-user.

    The newest of each job is listed; those that painted its samples are known by their ids.
    """

    def __init__(self, settings: Settings) -> None:
        self._root = settings.data_dir / "jobs"
        self._sees_all = settings.single_user

    def list(self, owner: str) -> tuple[ModelInfo, ...]:
        """What there is to paint with, the newest job's first; what is damaged is left out."""
        found: list[tuple[float, ModelInfo]] = []
        for folder in job_folders(self._root).values():
            try:
                record = folder.read()
                if self._may_see(owner, record):
                    found.append((-record.created, _described(model_of(folder, record.id), record)))
            except StudioError:
                continue  # `find` says what is wrong with it to whoever asks for it.
        return tuple(info for _, info in sorted(found, key=lambda pair: pair[0]))

    def owns(self, owner: str, model_id: str) -> bool:
        """Whether the model is, or was, of one of the owner's jobs."""
        return self._folder(owner, model_id) is not None

    def describe(self, owner: str, model_id: str) -> ModelInfo | None:
        """What is known of one of the owner's models; None where they have no such job.

        Raises:
            StudioError: As `find` does.
        """
        files, folder = self.find(owner, model_id), self._folder(owner, model_id)
        return None if files is None or folder is None else _described(files, folder.read())

    def find(self, owner: str, model_id: str) -> ModelFiles | None:
        """One of the owner's models; None where they have no such job.

        Raises:
            StudioError: If the job has no model, or keeps none of that step.
        """
        folder = self._folder(owner, model_id)
        if folder is None:
            return None
        for step in model_steps(folder):
            if model_id == f"{folder.path.name}-{step}":
                return model_of(folder, folder.path.name, step)
        newest = model_of(folder, folder.path.name)
        raise ModelError(
            f"A newer model took the place of {model_id!r}.",
            f"Choose {newest.id!r}, or in Train press Paint with this.",
        )

    def _folder(self, owner: str, model_id: str) -> JobFolder | None:
        match = JOB_MODEL.fullmatch(model_id)
        folder = job_folders(self._root).get(match[1]) if match else None
        return folder if folder and self._may_see(owner, folder.read()) else None

    def _may_see(self, owner: str, record: Record) -> bool:
        return self._sees_all or bool(owner and record.owner == owner_hash(owner))


def _described(files: ModelFiles, record: Record) -> ModelInfo:
    step = int(files.folder.name)
    return replace(describe(files), name=f"{record.name}, step {step:,}")
