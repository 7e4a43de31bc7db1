"""What a run does besides its steps, kept in progress.json for whoever watches it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from app.files import read_json, replace_json

PROGRESS: Final = "progress.json"
TELL_SECONDS: Final = 0.5


class Deed(StrEnum):
    """What a run does besides its steps."""

    SAVING = "saving"
    MEASURING = "measuring what it has learnt"
    PAINTING = "painting samples"


@dataclass(frozen=True)
class RunProgress:
    """What a run does at this moment, and how fast it paints.

    Attributes:
        deed: None while it takes its steps.
        share: The share of the grid of samples that is painted, from 0 to 1.
        look_seconds: The time that a picture took through the network while samples were painted;
            None before the first.
    """

    deed: Deed | None = None
    share: float = 0.0
    look_seconds: float | None = None

    @classmethod
    def read(cls, run: Path) -> "RunProgress":
        """Read the progress of the run in the folder `run`; of none, or an older one, the default.

        Raises:
            ValueError: If the file holds anything else.
        """
        path = run / PROGRESS
        return TypeAdapter(cls).validate_python(read_json(path)) if path.is_file() else cls()


class ProgressFile:
    """The progress.json that a run writes.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / PROGRESS
        self._told = RunProgress()
        self._began = self._written = 0.0

    @contextmanager
    def during(self, deed: Deed) -> Iterator[None]:
        """Tell that the run does `deed`, until the context ends."""
        self._began = time.monotonic()
        self._tell(replace(self._told, deed=deed, share=0.0))
        yield
        self._tell(replace(self._told, deed=None))

    def painted(self, looks: int, total: int) -> None:
        """Tell that so many pictures, of `total`, have been through the network for a grid."""
        now = time.monotonic()
        if looks:
            pace = (now - self._began) / looks
            self._told = replace(self._told, share=looks / total, look_seconds=pace)
        if now - self._written >= TELL_SECONDS:
            self._tell(self._told)

    def _tell(self, progress: RunProgress) -> None:
        self._told, self._written = progress, time.monotonic()
        replace_json(self._path, asdict(progress))
