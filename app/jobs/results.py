"""The results of a job, read from its files: its samples, and the models that painted them."""

import os
import shutil
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from app.errors import JobError, ModelError, StudioError
from app.files import remove
from app.jobs.job import SampleGrid
from app.jobs.record import JOB_MODEL, JobFolder, Record, job_folders, readable_jobs
from app.models.files import ModelFiles, ModelInfo, describe
from app.owners import owner_hash
from app.settings import Settings

MODEL: Final = "model"
EXPORTS: Final = "exports"
"""The folder in which a run keeps its models."""


def model_of(folder: JobFolder, job_id: str, step: int | None = None) -> ModelFiles:
    """Return the job's model after `step` steps, by default its newest, under its own id.

    Raises:
        JobError: If the job has no model yet, or keeps none of that step.
    """
    # The link is followed only once, as a later checkpoint changes it.
    path = (folder.run / MODEL).resolve()
    if not path.is_dir():
        raise JobError("The job has no model yet.", "Wait for its first checkpoint.")
    if step is not None:
        kept = model_steps(folder)
        if step not in kept:
            there = ", ".join(map(str, kept))
            raise JobError(f"The job keeps no model of step {step}.", f"It has those of {there}.")
        path = path.with_name(f"{step:08d}")
    return ModelFiles(f"{job_id}-{int(path.name)}", path)


def model_steps(folder: JobFolder) -> tuple[int, ...]:
    """List the steps whose models are kept, oldest first: the newest, and those with samples."""
    if not (folder.run / MODEL).is_dir():
        return ()
    return tuple(sorted(int(path.name) for path in (folder.run / EXPORTS).glob("[0-9]*")))


def kept_base(base: ModelFiles, folder: JobFolder) -> ModelFiles:
    """Copy a job's model into the new job's `folder`, so that it outlives the job that made it.

    Raises:
        JobError: If a later checkpoint has replaced the model.
    """
    try:
        # Weights files are never written to again, so both jobs can share one by hard links.
        kept = shutil.copytree(base.folder, folder.path / "base", copy_function=os.link)
    except (FileNotFoundError, shutil.Error) as error:
        remove(folder.path)
        raise JobError("A newer model took its place.", "Start the job again.") from error
    return ModelFiles(base.id, Path(kept))


def samples_of(folder: JobFolder) -> tuple[SampleGrid, ...]:
    """List the sample grids that the job has painted, oldest first."""
    found = sorted((folder.run / "samples").glob("[0-9]*.png"))
    return tuple(SampleGrid(int(path.stem), path) for path in found)


def write_zip(model: ModelFiles, target: Path) -> None:
    """Write the model's folder to the zip `target`.

    Raises:
        JobError: If a later checkpoint has replaced the model.
    """
    try:
        # Compression doesn't make weights smaller.
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(model.folder.rglob("*")):
                if path.is_file():
                    inside = path.relative_to(model.folder)
                    archive.write(path, Path(model.id, inside).as_posix())
    except FileNotFoundError as error:
        raise JobError("A newer model took its place.", "Download again.") from error


def is_job_model(model_id: str) -> bool:
    """Tell whether only a job's model could have this id."""
    return JOB_MODEL.fullmatch(model_id) is not None


class JobModels:
    """The jobs' models; owners see those of their own jobs, and a single-user studio shows all.

    Only the newest model of each job is listed; those that painted samples are found by their ids.
    """

    def __init__(self, settings: Settings) -> None:
        self._root = settings.data_dir / "jobs"
        self._sees_all = settings.single_user

    def list(self, owner: str) -> tuple[ModelInfo, ...]:
        """List the jobs' newest models, the newest job first; leave out damaged ones."""
        found = []
        for folder, record in sorted(readable_jobs(self._root), key=lambda job: -job[1].created):
            if self._may_see(owner, record):
                with suppress(StudioError):  # `find` raises the reason when somebody asks for it.
                    found.append(_described(model_of(folder, record.id), record))
        return tuple(found)

    def describe(self, owner: str, model_id: str) -> ModelInfo | None:
        """Describe one of the owner's models; return None if the owner has no such job.

        Raises:
            StudioError: As `find` does.
        """
        files, folder = self.find(owner, model_id), self._folder(owner, model_id)
        return None if files is None or folder is None else _described(files, folder.read())

    def find(self, owner: str, model_id: str) -> ModelFiles | None:
        """Find one of the owner's models; return None if the owner has no such job.

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
            "A newer model took this one's place in its training.",
            f"In Train press Paint with this, or choose the newest, {newest.id}.",
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
