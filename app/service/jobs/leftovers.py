"""What a killed process leaves of a job that it was starting or deleting."""

import os
import re
from pathlib import Path
from typing import Final

from app.service.jobs.record import JobFolder, job_folders
from app.training.files import TEMPORARY, sync_folder

_ID: Final = re.compile(r"[0-9a-f]{16}")
_CONDEMNED: Final = f"{TEMPORARY}old-"


def condemn(folder: JobFolder) -> Path:
    """Take a job off the list in one instant; where it lies until it is removed."""
    path = folder.path.with_name(f"{_CONDEMNED}{folder.path.name}")
    os.rename(folder.path, path)
    sync_folder(path.parent)
    return path


def leftovers(root: Path) -> dict[str, Path]:
    """Folders in `root` of jobs that nobody can see: never begun in full, or condemned; by id."""
    if not root.is_dir():
        return {}
    listed = job_folders(root)
    paths = (path for path in root.iterdir() if path.name not in listed and path.is_dir())
    found = {path.name.removeprefix(_CONDEMNED): path for path in paths}
    return {job_id: path for job_id, path in found.items() if _ID.fullmatch(job_id)}
