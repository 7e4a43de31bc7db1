"""The Hub, as a page asks for it: bring models here, publish one's own there."""

from typing import Final

from app.errors import HubError
from app.service.hub.download import HubModels
from app.service.hub.library import HubLibrary
from app.service.hub.publish import HubPublisher
from app.service.model_files import ModelFiles
from app.service.painting import Painter
from app.settings import Settings

NOT_OWN: Final = "Choose a model that you trained: publishing it is a matter of its maker."


class Hub:
    """What a studio does with the Hub.

    Attributes:
        models: Brings models here. Strangers ask in nobody's name, never in that of whoever runs
            the studio and may have set HF_TOKEN.
        publisher: Publishes models.
    """

    def __init__(self, settings: Settings, painter: Painter) -> None:
        self._settings = settings
        self._store = painter.models
        token = None if settings.single_user else False
        self.models = HubModels(HubLibrary(settings.data_dir), painter.models, token=token)
        self.publisher = HubPublisher(painter)

    def own(self, model_id: str) -> ModelFiles:
        """The model called `model_id`, if whoever asks may publish it.

        Those are the jobs' models, which the store gives to their owners only, and in a
        single-user studio those of the folder of further models.

        Raises:
            HubError: If it came with Plein Air, from the Hub, or is everybody's.
            ModelError: If there is none of that name.
        """
        files = self._store.find(model_id)
        folder, further = files.folder.resolve(), self._settings.models_dir
        if folder.is_relative_to((self._settings.data_dir / "jobs").resolve()):
            return files
        if self._settings.single_user and further and files.folder.parent == further:
            return files
        raise HubError(f"{model_id} is no model of your own.", NOT_OWN)
