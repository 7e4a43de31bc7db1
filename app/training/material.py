"""The pictures of a run: found, told apart into trained and held out, labelled, decoded."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.errors import StudioError
from app.training.batch import stored_size
from app.training.config import LabelConfig, TrainConfig
from app.training.dataset import (
    Pictures,
    Skipped,
    Treatment,
    find_pictures,
    fingerprint,
    is_held_out,
    load_pictures,
)
from app.training.held_out import HeldOut
from app.training.labels import Classes, class_names, find_classes, label_pictures
from app.training.reference import paintings
from app.training.trainee import Architecture
from app.training.trainer import Material

MAX_HELD_OUT: Final = 512
"""Held-out pictures that are measured on; of more, every second one, or third, and so on."""

Counter = Callable[[int], Callable[[], object]]
"""Given how many pictures there are, makes what is called once for each."""


@dataclass(frozen=True)
class Source:
    """A folder of pictures, and which of them are meant."""

    folder: Path
    names: tuple[str, ...]

    @property
    def files(self) -> frozenset[Path]:
        """Where they are, whatever links lead there."""
        return frozenset((self.folder / name).resolve() for name in self.names)


@dataclass(frozen=True)
class Found:
    """What a look at the folders tells, before a picture is decoded."""

    training: Source
    held_out: Source
    labels: LabelConfig | None
    classes: Classes | None

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Hashes by which it is seen that pictures or labels changed."""
        hashes = {
            "data": fingerprint(self.training.folder, self.training.names),
            "held_out": fingerprint(self.held_out.folder, self.held_out.names),
        }
        if self.labels is not None:
            named = class_names(self.labels, (*self.training.names, *self.held_out.names))
            hashes["labels"] = hashlib.sha256(
                json.dumps(sorted(named.items())).encode()
            ).hexdigest()
        return hashes


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a run trains on and is measured on, and what was left out."""

    material: Material
    held_out: dict[int, HeldOut]
    skipped: tuple[Skipped, ...]


def find(config: TrainConfig) -> Found:
    """Look into the folders that `config` names.

    Raises:
        StudioError: If there are no pictures to train on or to hold out, no classes, or no titles
            in the file that should have them.
    """
    folder = Path(config.data)
    names = find_pictures(folder)
    held_out = Source(folder, ())
    if config.held_out is not None:
        other = Path(config.held_out)
        held_out = Source(other, find_pictures(other))
        if both := Source(folder, names).files & held_out.files:
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
        held_out = Source(folder, chosen)
    classes = find_classes(config.labels, names) if config.labels else None
    if config.titles:
        paintings(names, Path(config.titles))  # read once to see that it can be, before any time
    return Found(Source(folder, names), held_out, config.labels, classes)


def decode_all(
    config: TrainConfig,
    found: Found,
    architecture: Architecture,
    cache: Path,
    counter: Counter = lambda total: lambda: None,
) -> Decoded:
    """Decode what was `found`; `cache` is for arrays that don't fit in memory.

    Raises:
        StudioError: If no picture of either folder can be used.
    """
    names = found.held_out.names
    some = names[:: -(-len(names) // MAX_HELD_OUT) or 1]
    count = counter(len(found.training.names) + len(some))
    pictures = _load(
        config, found.training, architecture, cache, count, crop_scale=config.crop_scale
    )
    classes = found.classes
    material = Material(pictures)
    if classes is not None:
        material = Material(pictures, _labels(config, classes, pictures), classes.null_label)
    if not some:
        return Decoded(material, {}, pictures.skipped)
    # Never cropped at random: its loss is to be the same whenever it is measured.
    measured = _load(
        config,
        Source(found.held_out.folder, some),
        architecture,
        cache / "held-out",
        count,
        crop_scale=1.0,
    )
    labels = None if classes is None else _labels(config, classes, measured)
    timesteps = architecture.schedule.num_train_timesteps
    held_out = {
        size: HeldOut.made(pixels, labels, timesteps) for size, pixels in measured.pixels.items()
    }
    return Decoded(material, held_out, pictures.skipped + measured.skipped)


def _load(
    config: TrainConfig,
    source: Source,
    architecture: Architecture,
    cache: Path,
    count: Callable[[], object],
    *,
    crop_scale: float,
) -> Pictures:
    treatment = Treatment(
        sizes=tuple(stored_size(size, crop_scale) for size in config.sizes),
        channels=architecture.channels,
        fit=config.fit,
        min_side=config.sizes[-1] if config.min_side is None else config.min_side,
    )
    return load_pictures(
        source.folder,
        source.names,
        treatment,
        memory_bytes=config.memory_mb * 2**20,
        cache=cache,
        progress=count,
    )


def _labels(config: TrainConfig, classes: Classes, pictures: Pictures) -> Tensor:
    if config.labels is None:
        return torch.full((len(pictures),), classes.null_label)
    return label_pictures(config.labels, classes, pictures.names)
