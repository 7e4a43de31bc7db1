"""The pictures of a run: found, split into training and held-out, labelled, decoded."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from app.datasets.folder import (
    DecodedPictures,
    Skipped,
    find_pictures,
    fingerprint,
    is_held_out,
    load_pictures,
)
from app.datasets.labels import (
    Classes,
    LabelConfig,
    PictureLabels,
    class_names,
    find_classes,
    label_pictures,
    paintings,
)
from app.errors import StudioError
from app.images.arrays import Pixels
from app.images.reading import Treatment
from app.models.autoencoders import AutoencoderFiles
from app.training.architecture import Architecture
from app.training.autoencoder_config import AutoencoderConfig
from app.training.autoencoder_data import AutoencoderData, AutoencoderHeldOut
from app.training.batches import Examples, TrainingData, stored_size
from app.training.config import TrainConfig
from app.training.latents import LatentCache, LatentData, measured_scaling
from app.training.stage_config import StageConfig
from app.training.stage_data import StageData, band_fields, measured_bands
from app.training.stage_validation import StageHeldOut, StageSamples
from app.training.trainer import TrainState
from app.training.validation import GoesOn, HeldOut, sample_grid

MAX_HELD_OUT: Final = 512
"""The most held-out pictures measured on; of more, every second is taken, or third, and so on."""

Counter = Callable[[int], Callable[[], object]]
"""Takes the number of pictures, and makes the function to call once for each picture."""


@dataclass(frozen=True)
class PictureFolder:
    """A folder of pictures, and the names of those that count."""

    folder: Path
    names: tuple[str, ...]

    @property
    def files(self) -> frozenset[Path]:
        """The resolved paths of the pictures, links followed."""
        return frozenset((self.folder / name).resolve() for name in self.names)


@dataclass(frozen=True)
class Found:
    """The pictures and classes found in the folders, before any picture is decoded."""

    training: PictureFolder
    held_out: PictureFolder
    labels: LabelConfig | None
    classes: Classes | None

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Hashes of the pictures and labels, which show whether they changed."""
        hashes = {
            "data": fingerprint(self.training.folder, self.training.names),
            "held_out": fingerprint(self.held_out.folder, self.held_out.names),
        }
        if self.labels is not None:
            named = class_names(self.labels, (*self.training.names, *self.held_out.names))
            # One class is written as a name alone, as where there was never more than one.
            written = {p: names if len(names) > 1 else names[0] for p, names in named.items()}
            table = json.dumps(sorted(written.items())).encode()
            hashes["labels"] = hashlib.sha256(table).hexdigest()
        return hashes


class SamplePainter(Protocol):
    """Paints a run's samples: `sample_grid` does for a model."""

    def __call__(
        self,
        config: TrainConfig,
        architecture: Architecture,
        state: TrainState,
        weights: Mapping[str, Tensor],
        size: int,
        *,
        goes_on: GoesOn,
    ) -> Pixels | None:
        """Paint with `weights` at `size` pixels, while it `goes_on`; the noise never changes."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pictures that a run trains on and is measured on, and those left out.

    Attributes:
        training: What it trains on.
        held_out: What it is measured on, by the size of the training pictures.
        skipped: The pictures that were left out.
        paint: Paints its samples.
        bands: A second stage's bands.json; None for a model.
        scaling_factor: By what a latent model's latents are multiplied; None for any other.
    """

    training: Examples
    held_out: Mapping[int, HeldOut]
    skipped: tuple[Skipped, ...]
    paint: SamplePainter = sample_grid
    bands: dict[str, Any] | None = None
    scaling_factor: float | None = None


def find(config: TrainConfig) -> Found:
    """Find the pictures and classes in the folders that `config` names.

    Raises:
        StudioError: If there are no pictures to train on or to hold out, no classes, no titles
            in the file that should have them, or held-out pictures among the training pictures.
    """
    folder = Path(config.data)
    names = find_pictures(folder)
    held_out = PictureFolder(folder, ())
    if config.held_out is not None:
        other = Path(config.held_out)
        held_out = PictureFolder(other, find_pictures(other))
        if both := PictureFolder(folder, names).files & held_out.files:
            raise StudioError(
                f"{len(both)} of {len(held_out.names)} held-out pictures are training pictures.",
                "Name two folders, neither inside the other.",
            )
    elif config.held_out_share is not None:
        share = config.held_out_share
        chosen = tuple(name for name in names if is_held_out(name, share))
        if not 0 < len(chosen) < len(names):
            raise StudioError(
                f"A held_out_share of {share} holds out {len(chosen)} of {len(names)} pictures.",
                "Choose another share, or name a held_out folder.",
            )
        names = tuple(name for name in names if not is_held_out(name, share))
        held_out = PictureFolder(folder, chosen)
    classes = find_classes(config.labels, names) if config.labels else None
    if config.titles:
        paintings(names, Path(config.titles))  # read now, so that a bad file fails at once
    return Found(PictureFolder(folder, names), held_out, config.labels, classes)


def decode_all(
    config: TrainConfig,
    found: Found,
    architecture: Architecture,
    cache: Path,
    *,
    counter: Counter = lambda total: lambda: None,
    autoencoder: AutoencoderFiles | None = None,
) -> Decoded:
    """Decode the pictures of `found`, and encode them where an `autoencoder` is given.

    Args:
        config: The run's settings.
        found: The pictures.
        architecture: The model's.
        cache: The folder for arrays that don't fit in memory, and for latents.
        counter: Counts pictures as they are decoded.
        autoencoder: A latent model's.

    Raises:
        StudioError: If no picture of either folder can be used.
    """
    names = found.held_out.names
    some = names[:: -(-len(names) // MAX_HELD_OUT) or 1]
    count = counter(len(found.training.names) + len(some))
    classes = found.classes

    def decoded(
        source: PictureFolder, cache: Path, crop_scale: float
    ) -> tuple[DecodedPictures, PictureLabels | None]:
        sizes = tuple(stored_size(size, crop_scale) for size in config.sizes)
        if kept := config.stage or config.autoencoder:
            sizes = (kept.side,)
        channels = architecture.picture_channels
        pictures = load_pictures(
            source.folder,
            source.names,
            Treatment(sizes, channels, config.fit, config.least_side),
            memory_bytes=config.memory_mb * 2**20,
            cache=cache,
            progress=count,
        )
        if config.labels is None or classes is None:
            return pictures, None
        return pictures, label_pictures(config.labels, classes, pictures.names)

    pictures, labels = decoded(found.training, cache, config.crop_scale)
    measured, held_out_labels = None, None
    if some:
        # These are never cropped at random, so that the loss is always of the same pixels.
        held_out_folder = replace(found.held_out, names=some)
        measured, held_out_labels = decoded(held_out_folder, cache / "held-out", 1.0)
    if config.stage is not None:
        return _stage_data(config, config.stage, architecture, pictures, measured)
    if config.autoencoder is not None:
        return _autoencoder_data(config, config.autoencoder, pictures, measured)
    timesteps = architecture.schedule.num_train_timesteps
    shown = None if held_out_labels is None else held_out_labels.rarest
    if autoencoder is not None:
        begun = config.init is not None and architecture.vqvae is not None
        factor = float((architecture.vqvae or {})["scaling_factor"]) if begun else None
        space = LatentCache(autoencoder, cache, factor)
        return _latent_data(config, space, (pictures, labels), (measured, shown), timesteps)
    training = TrainingData(pictures, labels)
    if measured is None:
        return Decoded(training, {}, pictures.skipped)
    held_out = {
        size: HeldOut.made(pixels, shown, timesteps) for size, pixels in measured.pixels.items()
    }
    return Decoded(training, held_out, pictures.skipped + measured.skipped)


def _latent_data(
    config: TrainConfig,
    space: LatentCache,
    training: tuple[DecodedPictures, PictureLabels | None],
    held_out: tuple[DecodedPictures | None, Tensor | None],
    timesteps: int,
) -> Decoded:
    """Encode the pictures to train on, and those to measure on, each with their labels."""
    pictures, labels = training
    found = {size: space.latents(p, mirrored=config.flip) for size, p in pictures.pixels.items()}
    factor = space.scaling_factor or measured_scaling(found[config.sizes[-1]])
    space = replace(space, scaling_factor=factor)
    data = LatentData(pictures, found, factor, labels)
    measured, shown = held_out
    if measured is None:
        return Decoded(data, {}, pictures.skipped, space.sheet, scaling_factor=factor)
    by_size = {}
    for size, pixels in measured.pixels.items():
        latents = np.array(space.latents(pixels, mirrored=False)[:, 0])
        x_0 = torch.from_numpy(latents).float() * factor
        by_size[size] = HeldOut.noised(x_0, shown, timesteps)
    skipped = pictures.skipped + measured.skipped
    return Decoded(data, by_size, skipped, space.sheet, scaling_factor=factor)


def _autoencoder_data(
    config: TrainConfig,
    wish: AutoencoderConfig,
    pictures: DecodedPictures,
    measured: DecodedPictures | None,
) -> Decoded:
    """Make an autoencoder's data of its decoded pictures, and of those to measure on."""
    data = AutoencoderData(pictures)
    shown = (measured or pictures).pixels[wish.side]
    held_out = AutoencoderHeldOut.whole(shown[:MAX_HELD_OUT], wish)
    if measured is None:
        return Decoded(data, {}, pictures.skipped, held_out.sheet)
    by_size = dict.fromkeys(config.sizes, held_out)
    return Decoded(data, by_size, pictures.skipped + measured.skipped, held_out.sheet)


def _stage_data(
    config: TrainConfig,
    stage: StageConfig,
    architecture: Architecture,
    pictures: DecodedPictures,
    measured: DecodedPictures | None,
) -> Decoded:
    """Make a second stage's data of its decoded pictures, and of those to measure on."""
    if architecture.bands is None:
        bands = measured_bands(config, pictures.pixels[stage.side])
    else:
        bands = architecture.stage_bands
    fields = band_fields(bands, stage)
    data, timesteps = StageData(pictures, bands), architecture.schedule.num_train_timesteps
    if measured is None:
        samples = StageSamples.of(pictures.pixels[stage.side], stage.held_out_side)
        return Decoded(data, {}, pictures.skipped, samples.sheet, fields)
    held_out = StageHeldOut.of(measured.pixels[stage.side], stage.held_out_side, bands, timesteps)
    by_size = dict.fromkeys(config.sizes, held_out)
    skipped = pictures.skipped + measured.skipped
    return Decoded(data, by_size, skipped, held_out.samples.sheet, fields)
