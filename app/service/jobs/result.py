"""What a job has made: its samples and its newest model."""

import zipfile
from pathlib import Path
from typing import Final

from app.errors import JobError
from app.service.jobs.job import Sample
from app.service.jobs.record import JobFolder
from app.service.model_files import ModelFiles

MODEL: Final = "model"


def model_of(folder: JobFolder, job_id: str) -> ModelFiles:
    """The job's newest model, under an id that no other model has.

    Raises:
        JobError: If it has saved none yet.
    """
    # The link is followed once: a later checkpoint leads it elsewhere.
    path = (folder.run / MODEL).resolve()
    if not path.is_dir():
        raise JobError("The job has no model yet.", "Wait for its first checkpoint.")
    return ModelFiles(f"{job_id}-{int(path.name)}", path)


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
