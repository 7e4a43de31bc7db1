"""The novelty index that a run leaves with its model."""

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from app.datasets.labels import paintings
from app.images.arrays import Pixels
from app.images.encoding import image_of
from app.images.pixels import to_bytes
from app.images.reading import square
from app.networks.unet import bottleneck
from app.novelty.index import LEAST, build_index, save_index
from app.novelty.nearest import Bottleneck, bottleneck_space
from app.training.architecture import Architecture
from app.training.data import Decoded

UNET: Final = "unet"

MOST: Final = 10_000
"""The most pictures whose features (64 KB each) are held in memory together."""


def stored_bottleneck(folder: Path) -> Bottleneck:
    """Read the U-Net in a model's `folder`, on the CPU, for its bottleneck."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    unet = UNet2DModel.from_pretrained(folder / UNET, use_safetensors=True, local_files_only=True)
    return partial(bottleneck, unet.eval().requires_grad_(False))


def why_no_index(pictures: int) -> str:
    """Say why there can be no index of so many `pictures`, or ""."""
    if LEAST <= pictures <= MOST:
        return ""
    return f"a novelty index is of {LEAST} to {MOST:,} pictures, not {pictures:,}"


def index_model(
    folder: Path,
    activations: Bottleneck,
    architecture: Architecture,
    decoded: Decoded,
    *,
    weights: str,
    size: int,
    titles: str | None = None,
) -> str:
    """Write the index of the pictures that a model was trained on into its `folder`.

    `activations` are the model's own, of pictures, `decoded` has its training and held-out
    pictures, `weights` is the hash of its weights, `size` the side of its pictures in pixels, and
    `titles` a CSV file with the columns file, artist and title; without it files' names are titles.

    Returns:
        Why there is no index, or "": too few pictures tell nothing about nearness, too many don't
        fit in memory.

    Raises:
        OSError: If the index can't be written.
    """
    pictures, held_out = decoded.training.pictures, decoded.held_out.get(size)
    count = len(pictures)
    if reason := why_no_index(count):
        return reason
    timesteps = architecture.schedule.num_train_timesteps
    control = None
    if held_out is not None:
        control = _shown(to_bytes(held_out.x_0[: held_out.count]), size)
    index = build_index(
        _shown(pictures.pixels[max(pictures.pixels)], size),
        paintings(pictures.names, Path(titles) if titles else None),
        bottleneck_space(activations, architecture.picture_channels, timesteps),
        weights=weights,
        held_out=control,
    )
    save_index(index, folder)
    return ""


def _shown(pixels: Pixels, size: int) -> Pixels:
    """Return the pictures (N, S, S, C) in three channels at the model's `size`, in pixels."""
    shown = np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else np.asarray(pixels)
    if shown.shape[1] == size:
        return shown
    return np.stack([np.asarray(square(image_of(picture), size)) for picture in shown])
