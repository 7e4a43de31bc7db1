"""The training painting that a picture comes nearest to, by the features of a model's own network.

The features are the activations of the U-Net's bottleneck.
"""

import threading
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.errors import StudioError
from app.images.arrays import Floats, Pixels
from app.images.pixels import to_unit
from app.models.files import Stamp
from app.models.loading import LoadedModel
from app.novelty.index import FeatureSpace, Nearest, NoveltyIndex, load_index

FEATURE_T: Final = 0.3
"""The timestep at which the bottleneck is read, as a share of T. At 0 the network looks at grain;
at this share it looks at what the picture shows, and finds blurred or cropped copies as well."""

_BATCH: Final = 32


Bottleneck = Callable[[Tensor, Tensor], Tensor]
"""A U-Net's activations (B, D) at x (B, C, H, W) and t (B,), float32, on the CPU."""


def bottleneck_space(
    activations: Bottleneck, channels: int, num_train_timesteps: int
) -> FeatureSpace:
    """Return the space of a U-Net's `activations` at FEATURE_T, of pictures without noise."""
    timestep = round(FEATURE_T * (num_train_timesteps - 1))

    def features(pictures: Pixels) -> Floats:
        parts = []
        for i in range(0, len(pictures), _BATCH):
            x = to_unit(pictures[i : i + _BATCH], channels)
            parts.append(activations(x, torch.full((len(x),), timestep)).numpy())
        return np.concatenate(parts).astype(np.float64)

    return features


def model_features(model: LoadedModel) -> FeatureSpace:
    """Return the space of `model`'s own features of pictures (N, S, S, 3).

    The features take turns with the model's steps.
    """
    return bottleneck_space(model.features, model.info.channels, model.info.num_train_timesteps)


def nearness(found: Nearest) -> str:
    """Put `found` into words, for example "Poplars, Claude Monet: taken for a copy of it"."""
    name = ", ".join(filter(None, (found.title, found.artist)))
    if found.is_copy:
        return f"{name}: taken for a copy of it"
    share = f"{found.percentile:.0f}%"
    if found.control == "held-out":
        return f"{name}. Of paintings the model never saw, {share} come as near to one that it did."
    return f"{name}. Of the model's training paintings, {share} come as near to another."


class Novelty:
    """The novelty indexes of models, each read when it is first asked for, or was replaced."""

    def __init__(self) -> None:
        self._indexes: dict[str, tuple[Stamp, NoveltyIndex | None]] = {}
        self._lock = threading.Lock()

    def nearest_paintings(self, model: LoadedModel, pictures: Pixels) -> tuple[Nearest, ...] | None:
        """Find the training painting nearest to each of `pictures` (N, S, S, 3), of model size.

        Returns None where the model has no index. All pictures together take one pass through
        half of the network.

        Raises:
            StudioError: If the model's index is broken, or was built with other weights.
        """
        index = self._index(model)
        return None if index is None else index.nearest(pictures, model_features(model))

    def in_words(self, model: LoadedModel, pictures: Pixels) -> tuple[str, ...]:
        """Put the nearest paintings into words, which are empty where the model has no index."""
        try:
            found = self.nearest_paintings(model, pictures)
        except StudioError as error:
            # For example an index of other weights: the paintings themselves are fine.
            return (str(error),) * len(pictures)
        return ("",) * len(pictures) if found is None else tuple(map(nearness, found))

    def _index(self, model: LoadedModel) -> NoveltyIndex | None:
        files = model.files
        with self._lock:
            stamp, index = self._indexes.get(files.id, (None, None))
            if stamp != files.stamp:
                index = load_index(files.folder, model.weights)
                self._indexes[files.id] = files.stamp, index
            return index
