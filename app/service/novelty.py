"""Which painting of the training set a picture comes nearest to, for a page."""

import threading

from app.errors import StudioError
from app.service.models import LoadedModel, ModelStore
from app.service.pictures import Pixels
from app.training.features import FeatureSpace, bottleneck_space
from app.training.novelty import Nearest, NoveltyIndex
from app.training.novelty_files import load_index


def model_features(model: LoadedModel) -> FeatureSpace:
    """What `model` itself sees in pictures (N, S, S, 3); its steps and these take turns."""
    return bottleneck_space(model, model.info.channels, model.info.num_train_timesteps)


def nearness(found: Nearest) -> str:
    """`found` in words: "Poplars, Claude Monet: 37% of paintings it never saw come that near"."""
    name = ", ".join(filter(None, (found.title, found.artist)))
    if found.is_copy:
        return f"{name}: taken for a copy of it"
    others = (
        "of paintings it never saw come that near to one it was trained on"
        if found.control == "held-out"
        else "of its training paintings come that near to another"
    )
    return f"{name}: {found.percentile:.0f}% {others}"


class Novelty:
    """The novelty indexes of a store's models, each read when it is first asked for."""

    def __init__(self, models: ModelStore) -> None:
        self._models = models
        self._indexes: dict[str, NoveltyIndex | None] = {}
        self._lock = threading.Lock()

    def nearest_paintings(self, model_id: str, pictures: Pixels) -> tuple[Nearest, ...] | None:
        """The training painting nearest to each of `pictures`, (N, S, S, 3) of the model's size.

        None where the model has no index. One pass through half of the network for all.

        Raises:
            ModelError: If the model isn't there or can't be used.
            StudioError: If its index is broken, or was built with other weights.
        """
        model = self._models.load(model_id)
        index = self._index(model)
        return None if index is None else index.nearest(pictures, model_features(model))

    def in_words(self, model_id: str, pictures: Pixels) -> tuple[str, ...]:
        """`nearest_paintings` as a person reads it; empty words where the model has no index."""
        try:
            found = self.nearest_paintings(model_id, pictures)
        except StudioError as error:
            # An index of other weights, say: the paintings are none the worse.
            return (str(error),) * len(pictures)
        return ("",) * len(pictures) if found is None else tuple(map(nearness, found))

    def _index(self, model: LoadedModel) -> NoveltyIndex | None:
        with self._lock:
            if model.weights not in self._indexes:
                self._indexes[model.weights] = load_index(model.folder, model.weights)
            return self._indexes[model.weights]
