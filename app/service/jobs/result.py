"""What a job has made: its samples, and the models that painted them."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Final

from app.errors import JobError
from app.service.jobs.job import Sample
from app.service.jobs.record import JobFolder
from app.service.model_files import ModelFiles
from app.training.files import remove

MODEL: Final = "model"
EXPORTS: Final = "exports"


def model_of(folder: JobFolder, job_id: str, step: int | None = None) -> ModelFiles:
    """The job's model after `step` steps, by default its newest, under an id of its own.

    Raises:
        JobError: If it has saved none yet, or keeps none of that step.
    """
    # The link is followed once: a later checkpoint leads it elsewhere.
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
    """The steps whose models are kept, oldest first: the newest's, and those of the samples."""
    if not (folder.run / MODEL).is_dir():
        return ()
    return tuple(sorted(int(path.name) for path in (folder.run / EXPORTS).glob("[0-9]*")))


def kept_base(base: ModelFiles, folder: JobFolder) -> ModelFiles:
    """A job's model as the base of another, which keeps it even if that job goes on or is deleted.

    Raises:
        JobError: If a later checkpoint replaced it meanwhile.
    """
    try:
        # Weights files are never written to again, so that both can have the same one.
        kept = shutil.copytree(base.folder, folder.path / "base", copy_function=os.link)
    except (FileNotFoundError, shutil.Error) as error:
        remove(folder.path)
        raise JobError("A newer model took its place.", "Start the job again.") from error
    return ModelFiles(base.id, Path(kept))


def samples_of(folder: JobFolder) -> tuple[Sample, ...]:
    """The sample grids that the job has painted, oldest first."""
    found = sorted((folder.run / "samples").glob("[0-9]*.png"))
    return tuple(Sample(int(path.stem), path) for path in found)


def write_zip(model: ModelFiles, target: Path) -> None:
    """Write the model's folder to the zip `target`.

    Raises:
        JobError: If a later checkpoint replaced it meanwhile.
    """
    try:
        # Weights don't get smaller by packing.
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(model.folder.rglob("*")):
                if path.is_file():
                    inside = path.relative_to(model.folder)
                    archive.write(path, Path(model.id, inside).as_posix())
    except FileNotFoundError as error:
        raise JobError("A newer model took its place.", "Download again.") from error
