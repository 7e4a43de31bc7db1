"""From stored bytes and a step's draws to the tensors that a step trains on."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.training.assignment import immiscible
from app.training.config import TrainConfig
from app.training.dataset import Pixels
from app.training.draws import Draws


@dataclass(frozen=True, eq=False)
class Batch:
    """A step's batch: x_0 in [-1, 1] and eps (B, C, S, S), t and labels (B,) int64."""

    x_0: Tensor
    eps: Tensor
    t: Tensor
    labels: Tensor | None

    def rows(self, rows: slice) -> "Batch":
        """A part of it."""
        labels = None if self.labels is None else self.labels[rows]
        return Batch(self.x_0[rows], self.eps[rows], self.t[rows], labels)


def stored_size(size: int, crop_scale: float) -> int:
    """The side at which pictures are kept: so that the smallest crop still has `size` pixels."""
    return math.ceil(size / math.sqrt(crop_scale))


def make_batch(
    config: TrainConfig, pixels: Pixels, labels: Tensor | None, null_label: int, draws: Draws
) -> Batch:
    """The batch of `draws` from `pixels` (N, S', S', C) and their `labels` (N,)."""
    chosen = pixels[draws.index.numpy()]
    size = draws.eps.shape[-1]
    if config.crop_scale < 1:
        chosen = _cropped(chosen, draws.boxes, size)
    x_0 = to_unit(chosen)
    x_0[draws.mirrored] = x_0[draws.mirrored].flip(-1)
    shown = None
    if labels is not None:
        shown = labels[draws.index].masked_fill(draws.unlabelled, null_label)
    eps = immiscible(x_0, draws.eps) if config.immiscible else draws.eps
    return Batch(x_0, eps, draws.t, shown)


def to_unit(pixels: Pixels) -> Tensor:
    """Bytes (B, S, S, C) as (B, C, S, S) float32 in [-1, 1], channels-last in memory."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_bytes(x_0: Tensor) -> Pixels:
    """What `to_unit` was given, of what it gave."""
    pixels = x_0.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.numpy())


def _cropped(pixels: Pixels, boxes: Tensor, size: int) -> Pixels:
    side = pixels.shape[1]
    crops = [
        Image.fromarray(picture.squeeze()).resize(
            (size, size), Image.Resampling.LANCZOS, box=tuple(min(b * side, side) for b in box)
        )
        for picture, box in zip(pixels, boxes.tolist(), strict=True)
    ]
    return np.stack([np.asarray(crop).reshape(size, size, -1) for crop in crops])
