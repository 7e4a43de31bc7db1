"""A latent model's data: pictures encoded once, and shown by the decoder.

Rombach et al. (2022), https://arxiv.org/abs/2112.10752, section 4.1: latents are divided by the
deviation that they have over the training pictures, so that noise of variance 1 fits them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.datasets.folder import DecodedPictures
from app.datasets.labels import PictureLabels
from app.files import TEMPORARY
from app.images.arrays import Pixels
from app.images.pixels import to_bytes, to_unit
from app.images.sheets import tiled
from app.models.autoencoders import AutoencoderFiles, load_autoencoder
from app.networks.autoencoder import latents_of
from app.training.architecture import Architecture
from app.training.batches import Batch, batch_of, draw
from app.training.config import TrainConfig
from app.training.trainer import TrainState
from app.training.validation import BATCH, GoesOn, sampled

VQVAE: Final = "vqvae"
"""The folder of a run with a copy of its autoencoder."""

Latents = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class LatentCache:
    """An autoencoder, and where its latents of a run's pictures are kept.

    Attributes:
        files: The autoencoder's.
        cache: The folder of the latents.
        scaling_factor: By what latents are multiplied; None until it is measured.
    """

    files: AutoencoderFiles
    cache: Path
    scaling_factor: float | None = None

    def latents(self, pixels: Pixels, *, mirrored: bool) -> Latents:
        """Encode pictures (N, S, S, C) uint8, unless that was done before.

        Args:
            pixels: The pictures.
            mirrored: Whether each is encoded as its mirror image, too.

        Returns:
            (N, 1 or 2, L, S / f, S / f), unscaled, memory-mapped.
        """
        path = self.cache / f"latents-{self._key(pixels, mirrored)}.npy"
        if not path.is_file():
            self.cache.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(TEMPORARY + path.name)
            with temporary.open("wb") as file:
                np.save(file, self._encode(pixels, mirrored))
            temporary.replace(path)
        found: Latents = np.load(path, mmap_mode="r")
        return found

    def _key(self, pixels: Pixels, mirrored: bool) -> str:
        digest = hashlib.sha256(json.dumps([*pixels.shape, mirrored]).encode())
        for path in self.files.weights_files:
            digest.update(path.read_bytes())
        digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()[:16]

    def _encode(self, pixels: Pixels, mirrored: bool) -> Latents:
        autoencoder = load_autoencoder(self.files)
        parts = []
        with torch.no_grad():
            for start in range(0, len(pixels), BATCH):
                x = to_unit(pixels[start : start + BATCH])
                views = (x, x.flip(-1)) if mirrored else (x,)
                latents = [latents_of(autoencoder, view) for view in views]
                parts.append(torch.stack(latents, 1).half())
        return torch.cat(parts).numpy()

    def sheet(
        self,
        config: TrainConfig,
        architecture: Architecture,
        state: TrainState,
        weights: Mapping[str, Tensor],
        size: int,
        *,
        goes_on: GoesOn = lambda done, total: True,
    ) -> Pixels | None:
        """Paint as `sample_grid` does, and decode.

        Raises:
            ValueError: If the scaling factor isn't measured yet.
        """
        if self.scaling_factor is None:
            raise ValueError("latents have no scaling factor yet")
        side = size // architecture.factor
        z = sampled(config, architecture, state, weights, side, goes_on=goes_on)
        if z is None:
            return None
        decoder: Any = load_autoencoder(self.files)
        with torch.no_grad():
            parts = (decoder.decode(each).sample for each in (z / self.scaling_factor).split(1))
            return tiled(to_bytes(torch.cat(list(parts))))


def measured_scaling(latents: Latents) -> float:
    """Return one over the deviation of latents (N, ...)."""
    return float(1 / np.std(latents[:, 0], dtype=np.float64))


@dataclass(frozen=True, eq=False)
class LatentData:
    """The latents to train on, by the pictures' size, and their labels.

    Attributes:
        pictures: The pictures.
        latents: Of each size (N, 1 or 2, L, s, s), unscaled; the second is of the mirror image.
        scaling_factor: By what they are multiplied.
        labels: The pictures' labels; None if there are no classes.
    """

    pictures: DecodedPictures
    latents: Mapping[int, Latents]
    scaling_factor: float
    labels: PictureLabels | None = None

    def views(self, config: TrainConfig, step: int, timesteps: int) -> Batch:
        """Return the batch of `step`, counted from 0, with t in [0, `timesteps`)."""
        latents = self.latents[config.size_at(step)]
        shape = latents.shape[2], latents.shape[3], latents.shape[4]
        draws = draw(config, step, pictures=len(latents), shape=shape, timesteps=timesteps)
        chosen = latents[draws.index.numpy(), draws.mirrored.long().numpy()]
        x_0 = torch.from_numpy(chosen).float() * self.scaling_factor
        return batch_of(config, x_0, self.labels, draws)
