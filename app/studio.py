"""The service layer's root: one studio from one set of settings, for page, shell and API."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import ref

from app import __version__
from app.datasets.uploads import Sets
from app.errors import HubError, JobError, ModelError, StudioError
from app.hub.download import HubModels
from app.hub.library import HubLibrary
from app.hub.publish import HubPublisher
from app.jobs.estimate import TrainingTimer
from app.jobs.job import Job
from app.jobs.plan import TrainingPlan
from app.jobs.results import JobModels, is_job_model
from app.jobs.trainer_process import free_processors
from app.laboratory.bound import BoundLab
from app.laboratory.mix import MixLab
from app.laboratory.noise import NoiseLab
from app.laboratory.sheet import SheetLab
from app.limits import Limits
from app.models.cache import MemoryBudget
from app.models.files import ModelFiles, ModelInfo
from app.models.store import ModelStore, warm_up
from app.networks.executor import DeviceExecutor
from app.networks.machine import available_bytes, process_bytes
from app.novelty.nearest import Novelty
from app.owners import ALONE
from app.painting.painter import Painter
from app.settings import Settings

if TYPE_CHECKING:
    from app.jobs.jobs import Jobs

WATCH_SECONDS: Final = 1.0


class StudioModels(ModelStore):
    """The models that `settings` name: bundled, in a folder, and of the Hub."""

    def __init__(self, settings: Settings, device: str | None = None) -> None:
        super().__init__(
            settings.model_roots,
            device or settings.device,
            settings.threads,
            MemoryBudget(settings.model_memory_mb),
            HubLibrary(settings.data_dir).models,
            zero_gpu=settings.zero_gpu,
        )


class OwnModels(StudioModels):
    """StudioModels that also know the jobs' models, each for its owner only.

    Attributes:
        asks: Returns the owner who asks at this moment; the page sets it to the request's visitor.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if self.gpu is None and self._device.type == "cpu":
            arguments = (ref(self.executor), settings)
            threading.Thread(target=_keep_to_free, args=arguments, daemon=True).start()
        self._own = JobModels(settings)
        self.asks: Callable[[], str] = lambda: ALONE

    def list(self) -> tuple[ModelInfo, ...]:
        """List the models that can be used, the asker's own after everybody's."""
        return (*super().list(), *self.own())

    def own(self) -> tuple[ModelInfo, ...]:
        """List the models that the asker has trained."""
        return self._own.list(self.asks())

    def describe(self, model_id: str) -> ModelInfo:
        """Describe a model; one of the asker's own is named after its job.

        Raises:
            ModelError: If the asker has none of that name, or its files can't be used.
        """
        return self._own.describe(self.asks(), model_id) or super().describe(model_id)

    def adopt(self, files: ModelFiles) -> None:
        """Let a model that lies elsewhere be found by its id; a job's is left to its owner."""
        if not is_job_model(files.id):
            super().adopt(files)

    def find(self, model_id: str) -> ModelFiles:
        """Find the files of a model.

        Raises:
            ModelError: If the asker has none of that name.
        """
        if is_job_model(model_id):
            if found := self._own.find(self.asks(), model_id):
                return found
            raise ModelError(
                "There is no model of that training any more: it was deleted.",
                "Choose another model.",
            )
        return super().find(model_id)


def _keep_to_free(device: ref[DeviceExecutor], settings: Settings) -> None:
    """Tell the executor once a second, as long as there is one, how many processors are free."""
    while (executor := device()) is not None:
        try:
            executor.keep_to(free_processors(settings))
        except OSError:  # Too many open files, for example: that may pass.
            _log.exception("how many processors a training leaves free can't be seen")
        except RuntimeError:  # It is shut down.
            return
        del executor
        time.sleep(WATCH_SECONDS)


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
        self._stopwatch = TrainingTimer(settings)
        self._models = models
        self._making = threading.Lock()
        self._jobs: Jobs | None = None

    @property
    def jobs(self) -> "Jobs":
        """The studio's jobs."""
        with self._making:
            if self._jobs is None:
                from app.jobs.jobs import Jobs  # noqa: PLC0415 - painting does without

                self._jobs = Jobs(self.settings, self._models, self.sets)
            return self._jobs

    @property
    def can_train(self) -> bool:
        """Tell whether a training may run here: ZeroGPU lends its GPU for moments only."""
        return not self.settings.zero_gpu

    def start(self, owner: str, base_model: str, set_id: str, plan: TrainingPlan, name: str) -> Job:
        """Start a job, and make sure that a worker takes it.

        Raises:
            StudioError: If nothing can be trained here, or as `Jobs.start` says.
        """
        if not self.can_train:
            raise JobError("Nothing can be trained here.", "Run the job on another machine.")
        job = self.jobs.start(owner, base_model, set_id, plan, name)
        self.jobs.tend()
        return job

    def seconds(self, owner: str, base_model: str, set_id: str, plan: TrainingPlan) -> float:
        """Estimate a job's seconds here from a few real steps, which take seconds the first time.

        Raises:
            StudioError: If the job couldn't be started, or its steps can't be measured.
        """
        config = plan.config(self._models.find(base_model), self.sets.show(owner, set_id))
        return self._stopwatch.pace(config).seconds(config)

    def tend(self, ending: threading.Event) -> None:
        """Keep a worker alive wherever there is work for one, until `ending` is set.

        Jobs that a killed worker or page left unfinished are resumed in this way.
        """
        folder = self.settings.data_dir / "jobs"
        while self.can_train and not ending.wait(TEND_SECONDS):
            if folder.is_dir():  # Where nobody has trained yet, nothing is made or imported.
                # A full disk or an unreachable database may have recovered by the next look.
                try:
                    self.jobs.tend()
                except StudioError:
                    pass
                except Exception:
                    _log.exception("the jobs could not be looked after")

    def end_worker(self) -> None:
        """End the worker that was started here, if one was; what it trains is saved first."""
        if self._jobs is not None:
            self._jobs.end_worker()


MEGA: Final = 1_000_000


@dataclass(frozen=True)
class Status:
    """How a studio is doing, and nothing about who asks for what; memory in megabytes.

    Attributes:
        version: Plein Air's version.
        model: The id of the model that the page opens with.
        uptime_seconds: Since the studio was made.
        queue_length: Requests that wait for their turn.
        network_steps: The steps that networks have taken since the start.
        models_loaded: Models in memory.
        models_mb: About what the models in memory take.
        models_budget_mb: What the models may take.
        process_mb: What the whole process has in memory.
        available_mb: What the machine, or the container, has left.
    """

    version: str
    model: str
    uptime_seconds: int
    queue_length: int
    network_steps: int
    models_loaded: int
    models_mb: int
    models_budget_mb: int
    process_mb: int
    available_mb: int


class Studio:
    """A studio, as the page, the shell and the API call it.

    Attributes:
        settings: How this studio runs.
        limits: What one request, and one visitor, may ask for.
        models: The models there are; the asker's own among them.
        painter: Paints with the models.
        noise_lab: Takes the forward process apart.
        mix_lab: Mixes two pictures.
        bound_lab: Computes the bound.
        sheet_lab: Paints the same seed side by side.
        novelty: Finds the training painting nearest to what was painted.
        hub: Brings models from the Hub. For strangers it asks the Hub without a token, never with
            the HF_TOKEN of whoever runs the studio.
        publisher: Publishes models on the Hub.
        workshop: Trains models.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = Limits.of(settings)
        self.models = OwnModels(settings)
        self.painter = Painter(self.models, self.limits)
        self.noise_lab = NoiseLab(self.painter)
        self.mix_lab = MixLab(self.painter)
        self.bound_lab = BoundLab(self.painter)
        self.sheet_lab = SheetLab(self.painter)
        self.novelty = Novelty()
        token = None if settings.single_user else False
        self.hub = HubModels(HubLibrary(settings.data_dir), self.models, token=token)
        self.publisher = HubPublisher(self.painter)
        self._began = time.monotonic()
        self.workshop = Workshop(settings, self.models)

    def own_model(self, model_id: str) -> ModelFiles:
        """Find the model called `model_id`, if whoever asks may publish it.

        Such models are the jobs' models, which the store gives to their owners only, and in a
        single-user studio those of the folder of further models.

        Raises:
            HubError: If the model came with Plein Air, from the Hub, or is everybody's.
            ModelError: If there is none of that name.
        """
        files, further = self.models.find(model_id), self.settings.models_dir
        if files.folder.resolve().is_relative_to((self.settings.data_dir / "jobs").resolve()):
            return files
        if self.settings.single_user and further and files.folder.parent == further:
            return files
        raise HubError(
            f"{model_id} is no model of your own.",
            "Choose a model that you trained: publishing it is a matter of its maker.",
        )

    def status(self, queue_length: int) -> Status:
        """Return how the studio is doing now, with the page's `queue_length`."""
        shelf = self.models.shelf
        return Status(
            version=__version__,
            model=self.settings.default_model,
            uptime_seconds=int(time.monotonic() - self._began),
            queue_length=queue_length,
            network_steps=self.models.executor.steps,
            models_loaded=len(shelf.ids),
            models_mb=shelf.nbytes // MEGA,
            models_budget_mb=self.models.budget.limit // MEGA,
            process_mb=process_bytes() // MEGA,
            available_mb=available_bytes() // MEGA,
        )

    def warm_up(self) -> None:
        """Load the default model in each precision, so that the first painting needn't wait."""
        warm_up(self.models, self.settings.default_model)
