"""A job's model, and its curves, as files to fetch."""

import hashlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.ui.endpoints.files import saved_file, upload_folder

if TYPE_CHECKING:
    from app.jobs.jobs import Jobs

KEPT_SECONDS: Final = 3_600


def model_zip(jobs: "Jobs", owner: str, job_id: str, step: int | None = None) -> Path:
    """Zip a model of one of the owner's jobs, once, where the server serves files from.

    Args:
        jobs: The jobs.
        owner: Who asks.
        job_id: The job.
        step: The steps after which the model was saved; None is the newest.

    Raises:
        JobError: If there is no such job, it has saved no model yet, or keeps none of that step.
    """
    name = _slug(jobs, owner, job_id)
    after = "" if step is None else f"-step-{step}"
    root = upload_folder() / "models"
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    model = jobs.model(owner, job_id, step)
    # The folder's name is as hard to guess as the job's id; a model written anew has another.
    written = model.folder.stat().st_mtime_ns
    folder = root / hashlib.sha256(f"{model.id} {written}".encode()).hexdigest()[:32]
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    target = folder / f"{name}{after}.zip"
    if not target.is_file():
        unfinished = folder / secrets.token_hex(8)
        jobs.download(owner, job_id, unfinished, step)
        os.replace(unfinished, target)
    return target


def curves_file(jobs: "Jobs", owner: str, job_id: str) -> Path:
    """Write the curves of one of the owner's jobs as CSV, where the server serves files from.

    Raises:
        JobError: If there is no such job.
    """
    table = jobs.curves_csv(owner, job_id)
    file: Any = saved_file(f"{_slug(jobs, owner, job_id)}-curves.csv", table.encode())
    return Path(file["path"])


def _slug(jobs: "Jobs", owner: str, job_id: str) -> str:
    """Make a file's name of the job's."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", jobs.show(owner, job_id).name).strip("-").lower()
    return name or "model"


def _sweep(root: Path) -> None:
    """Remove the folders of zips that were asked for long ago."""
    for folder in root.iterdir():
        if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
