"""The models that everybody has, and those that whoever asks has trained."""

from collections.abc import Callable
from functools import partial

from app.service.budget import MemoryBudget
from app.service.hub.library import HubLibrary
from app.service.jobs.models import JobModels, is_job_model
from app.service.jobs.trainer import free_processors
from app.service.model_files import ModelFiles
from app.service.models import LoadedModel, ModelInfo, ModelStore
from app.service.owners import ALONE
from app.settings import Settings


class OwnModels(ModelStore):
    """A ModelStore that also knows the jobs' models, each for its owner only.

    Attributes:
        asks: Says who asks at this moment; the page sets it to the visitor of the request.
    """

    def __init__(self, settings: Settings) -> None:
        budget = MemoryBudget(settings.model_memory_mb)
        library = HubLibrary(settings.data_dir)
        super().__init__(
            settings.model_roots,
            settings.device,
            settings.threads,
            budget,
            library,
            zero_gpu=settings.zero_gpu,
            free=partial(free_processors, settings),
        )
        self._own = JobModels(settings)
        self.asks: Callable[[], str] = lambda: ALONE

    def list(self) -> tuple[ModelInfo, ...]:
        """The models that can be used, the asker's own after everybody's."""
        return (*super().list(), *self.own())

    def own(self) -> tuple[ModelInfo, ...]:
        """The models that the asker has trained."""
        return self._own.list(self.asks())

    def describe(self, model_id: str) -> ModelInfo:
        """What is known of a model; an own one is named after its job.

        Raises:
            ModelError: If the asker has none of that name, or its files can't be used.
        """
        return self._own.describe(self.asks(), model_id) or super().describe(model_id)

    def load(self, model_id: str) -> LoadedModel:
        """The model, from memory where it is there already.

        Raises:
            ModelError: If the asker has none of that name, or its files can't be used.
        """
        if is_job_model(model_id) and not self._own.owns(self.asks(), model_id):
            # It may be in memory, where its owner left it: that doesn't make it everybody's.
            super().find(model_id)
        return super().load(model_id)

    def adopt(self, files: ModelFiles) -> None:
        """Make a model that lies elsewhere known by its id; a job's is its owner's as it is."""
        if not is_job_model(files.id):
            super().adopt(files)

    def find(self, model_id: str) -> ModelFiles:
        """The files of a model.

        Raises:
            ModelError: If the asker has none of that name.
        """
        return self._own.find(self.asks(), model_id) or super().find(model_id)
