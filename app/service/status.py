"""How a studio is doing, for whoever watches over it: nothing about who asks for what."""

import time
from dataclasses import dataclass
from typing import Final

from app import __version__
from app.engine.memory import available_bytes, process_bytes
from app.service.models import ModelStore

MEGA: Final = 1_000_000


@dataclass(frozen=True)
class Status:
    """A studio at one moment; memory in megabytes.

    Attributes:
        version: Plein Air's.
        model: The id of the model that the page opens with.
        uptime_seconds: Since the studio was made.
        queue_length: Requests that wait for their turn.
        models_loaded: Models in memory.
        models_mb: About what they take.
        models_budget_mb: What they may take.
        process_mb: What the whole process has in memory.
        available_mb: What the machine, or the container, has left.
    """

    version: str
    model: str
    uptime_seconds: int
    queue_length: int
    models_loaded: int
    models_mb: int
    models_budget_mb: int
    process_mb: int
    available_mb: int


class Watch:
    """Tells a studio's status."""

    def __init__(self, models: ModelStore, default_model: str) -> None:
        self._models = models
        self._model = default_model
        self._began = time.monotonic()

    def status(self, queue_length: int) -> Status:
        """The status now, with the page's `queue_length`."""
        return Status(
            version=__version__,
            model=self._model,
            uptime_seconds=int(time.monotonic() - self._began),
            queue_length=queue_length,
            models_loaded=len(self._models.shelf.ids),
            models_mb=self._models.shelf.nbytes // MEGA,
            models_budget_mb=self._models.budget.limit // MEGA,
            process_mb=process_bytes() // MEGA,
            available_mb=available_bytes() // MEGA,
        )
