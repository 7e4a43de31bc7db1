"""The novelty index that a run leaves with its model."""

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
from diffusers.models.unets.unet_2d import UNet2DModel
from PIL import Image
from torch import Tensor

from app.engine.bottleneck import bottleneck
from app.training.batch import to_bytes
from app.training.dataset import Pixels
from app.training.features import BottleneckNetwork, bottleneck_space
from app.training.material import Decoded
from app.training.novelty import LEAST, build_index
from app.training.novelty_files import save_index
from app.training.reference import paintings
from app.training.trainee import Architecture

UNET: Final = "unet"

MOST: Final = 10_000
"""Pictures whose features (64 KB each) are still held in memory together."""


class StoredNetwork:
    """The U-Net of a model's `folder`, on the processor, for its bottleneck."""

    def __init__(self, folder: Path) -> None:
        unet = UNet2DModel.from_pretrained(
            folder / UNET, use_safetensors=True, local_files_only=True
        )
        self._unet = unet.eval().requires_grad_(False)

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """The middle block's activations (B, D) at `x` (B, C, H, W) and `t` (B,)."""
        return bottleneck(self._unet, x, t)


def index_model(
    folder: Path,
    network: BottleneckNetwork,
    architecture: Architecture,
    decoded: Decoded,
    *,
    size: int,
    titles: Path | None = None,
) -> str:
    """Write the index of the pictures that a model was trained on into its `folder`.

    Args:
        folder: As `export_model` writes it.
        network: The model's own.
        architecture: The model without its weights.
        decoded: What it was trained on, and never on.
        size: The side of its pictures.
        titles: A CSV file with the columns file, artist and title; else files' names are titles.

    Returns:
        Why there is none, or nothing: too few pictures say nothing of nearness, too many don't fit.

    Raises:
        OSError: If it can't be written.
    """
    pictures, held_out = decoded.material.pictures, decoded.held_out.get(size)
    count = len(pictures)
    if not LEAST <= count <= MOST:
        return f"a novelty index is of {LEAST} to {MOST:,} pictures, not {count:,}"
    timesteps = architecture.schedule.num_train_timesteps
    with (folder / UNET / "diffusion_pytorch_model.safetensors").open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    control = None
    if held_out is not None:
        control = _shown(to_bytes(held_out.x_0[: held_out.count]), size)
    index = build_index(
        _shown(pictures.pixels[max(pictures.pixels)], size),
        paintings(pictures.names, titles),
        bottleneck_space(network, architecture.channels, timesteps),
        weights=weights,
        held_out=control,
    )
    save_index(index, folder)
    return ""


def _shown(pixels: Pixels, size: int) -> Pixels:
    """The pictures (N, S, S, C) in three channels at the model's `size`."""
    shown = np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else np.asarray(pixels)
    if shown.shape[1] == size:
        return shown
    scaled = [Image.fromarray(p).resize((size, size), Image.Resampling.LANCZOS) for p in shown]
    return np.stack([np.asarray(picture) for picture in scaled])
