"""Having an upload read by a process of its own, and what it says of its end."""

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from app.errors import UploadError
from app.service.sets.ingest import RESULT, SECONDS
from app.service.uploads import Fit
from app.settings import ROOT, environment_with
from app.training.files import read_json

_log = logging.getLogger(__name__)

READER: Final = ("-m", "app.service.sets.ingest")


def read_files(
    files: Sequence[tuple[Path, str]], out: Path, fit: Fit, *, labels: bool
) -> dict[str, Any]:
    """Read files into the empty folder `out`, as app.service.sets.ingest does.

    Args:
        files: Each with the name that the person gave it.
        out: Where to.
        fit: How a picture becomes square.
        labels: Whether a zip's folders are classes.

    Returns:
        What it has to say of them.

    Raises:
        UploadError: If they are refused as a whole.
    """
    request = {
        "files": [(str(path.absolute()), name) for path, name in files],
        "out": str(out.absolute()),
        "fit": fit,
        "labels": labels,
    }
    try:
        done = subprocess.run(
            [sys.executable, *READER],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=environment_with({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UploadError(
            "Reading the upload took too long.", "Send fewer pictures, or smaller ones."
        ) from error
    if done.returncode or not (out / RESULT).is_file():
        names = done.stdout.splitlines()
        last = json.loads(names[-1]) if names else files[0][1]
        _log.error("reading an upload ended with %d: %s", done.returncode, done.stderr)
        if done.returncode < 0 or "MemoryError" in done.stderr:
            raise UploadError(
                f"The upload is refused: reading {last!r} took too much memory or time.",
                "Leave that file out.",
            )
        raise UploadError(
            f"The upload could not be read to its end, which was at {last!r}.",
            "Try again without that file; the server's log says what happened.",
        )
    fields: dict[str, Any] = read_json(out / RESULT)
    refused = fields.get("refused")
    if isinstance(refused, list):
        raise UploadError(*refused)
    return fields
