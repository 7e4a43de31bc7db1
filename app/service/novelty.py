"""Which painting of the training set a picture comes nearest to, for a page."""

import threading

from app.service.models import LoadedModel, ModelStore
from app.service.pictures import Pixels
from app.training.features import FeatureSpace, bottleneck_space
from app.training.novelty import Nearest, NoveltyIndex
from app.training.novelty_files import load_index


def model_features(model: LoadedModel) -> FeatureSpace:
    """What `model` itself sees in pictures (N, S, S, 3); its steps and these take turns."""
    return bottleneck_space(model, model.info.channels, model.info.num_train_timesteps)


class Novelty:
    """The novelty indexes of a store's models, each read when it is first asked for."""

    def __init__(self, models: ModelStore) -> None:
        self._models = models
        self._indexes: dict[str, NoveltyIndex | None] = {}
        self._lock = threading.Lock()

    def nearest_painting(self, model_id: str, picture: Pixels) -> Nearest | None:
        """The training painting that comes nearest to `picture`, (S, S, 3) of the model's size.

        None where the model has no index. One pass through half of the network.

        Raises:
            ModelError: If the model isn't there or can't be used.
            StudioError: If its index is broken, or was built with other weights.
        """
        model = self._models.load(model_id)
        index = self._index(model)
        return None if index is None else index.nearest(picture, model_features(model))

    def _index(self, model: LoadedModel) -> NoveltyIndex | None:
        with self._lock:
            if model.weights not in self._indexes:
                self._indexes[model.weights] = load_index(model.folder, model.weights)
            return self._indexes[model.weights]
