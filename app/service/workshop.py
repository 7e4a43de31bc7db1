"""Training, for whoever has a studio: the sets of pictures, and the jobs."""

import logging
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Final

from app.errors import JobError, StudioError
from app.service.jobs.job import Job
from app.service.jobs.pace import Stopwatch
from app.service.jobs.plan import Plan
from app.service.models import ModelStore
from app.service.sets.store import Sets
from app.settings import Settings

if TYPE_CHECKING:
    from app.service.jobs.service import Jobs

TEND_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class Workshop:
    """Uploads and jobs; the job engine is imported when jobs are first asked for.

    Attributes:
        settings: How this studio runs.
        sets: The sets of pictures.
    """

    def __init__(self, settings: Settings, models: ModelStore) -> None:
        self.settings = settings
        self.sets = Sets(settings)
        self._stopwatch = Stopwatch(settings)
        self._models = models
        self._making = threading.Lock()

    @property
    def jobs(self) -> "Jobs":
        """The jobs."""
        with self._making:
            return self._jobs

    @property
    def can_train(self) -> bool:
        """Whether a training may run here: ZeroGPU lends its GPU for moments only."""
        return not self.settings.zero_gpu

    def start(self, owner: str, base_model: str, set_id: str, plan: Plan, name: str) -> Job:
        """Start a job, and see that a worker takes it.

        Raises:
            StudioError: If nothing can be trained here, or as `Jobs.start` says.
        """
        if not self.can_train:
            raise JobError("Nothing can be trained here.", "Run the job on another machine.")
        job = self.jobs.start(owner, base_model, set_id, plan, name)
        self.jobs.tend()
        return job

    def seconds(self, owner: str, base_model: str, set_id: str, plan: Plan) -> float:
        """How long a job would take here, by a few real steps; the first time that takes seconds.

        Raises:
            StudioError: If it couldn't be started, or its steps can't be measured.
        """
        config = plan.config(self._models.find(base_model), self.sets.show(owner, set_id))
        return self._stopwatch.pace(config).seconds(config)

    def tend(self, ending: threading.Event) -> None:
        """Until `ending` is set, see that a worker lives wherever there is work for one.

        What a killed worker or page left goes on by this.
        """
        folder = self.settings.data_dir / "jobs"
        while self.can_train and not ending.wait(TEND_SECONDS):
            if folder.is_dir():  # Where nobody has trained yet, nothing is made or imported.
                # A full disk or a database that is away may not be so any more at the next look.
                try:
                    self.jobs.tend()
                except StudioError:
                    pass
                except Exception:
                    _log.exception("the jobs could not be looked after")

    def end_worker(self) -> None:
        """End the worker that was started here, if one was; what it trains is saved first."""
        if "_jobs" in self.__dict__:
            self._jobs.end_worker()

    @cached_property
    def _jobs(self) -> "Jobs":
        from app.service.jobs.service import Jobs  # noqa: PLC0415 - painting does without

        return Jobs(self.settings, self._models, self.sets)
