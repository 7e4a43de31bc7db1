"""Sample grids: what the weights of the moment paint from noise that never changes."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.diffusion.denoiser import Condition, Prediction
from app.diffusion.noise import SeededNoise, derived_seed
from app.diffusion.reverse import reverse_process, spaced_timesteps
from app.engine.solvers import dpm_solver
from app.training.config import TrainConfig
from app.training.dataset import Pixels
from app.training.trainee import Architecture
from app.training.trainer import Forward, Learner

_NOISE = 4


@dataclass(frozen=True, eq=False)
class WeightsDenoiser:
    """A Denoiser of the learner's network with other weights than its own."""

    learner: Learner
    weights: Mapping[str, Tensor]
    forward: Forward
    architecture: Architecture

    @torch.no_grad()
    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict at `x_t` (B, C, H, W) and `t` (B,)."""
        labels = None if condition is None else condition.labels
        network = self.learner.network
        out = self.forward.with_weights(network, self.weights, x_t, t, labels).cpu().contiguous()
        return Prediction(out[:, : self.architecture.channels], self.architecture.target)


def sample_grid(config: TrainConfig, denoiser: WeightsDenoiser, size: int) -> Image.Image:
    """`sample_count` pictures of `size` px; with classes, each shows the next one.

    By DPM-Solver++ 2M SDE, whose noise never changes either: without fresh noise the first steps'
    errors stay, and a network that is still learning makes many.
    """
    architecture = denoiser.architecture
    schedule = architecture.schedule
    noise = SeededNoise([derived_seed(_NOISE, i) for i in range(config.sample_count)])
    x_t = noise.draw((architecture.channels, size, size))
    condition = None
    if architecture.labels:
        condition = Condition(torch.arange(config.sample_count) % len(architecture.labels))
    timesteps = spaced_timesteps(config.sample_steps, schedule.num_train_timesteps)
    for frame in reverse_process(
        denoiser,
        schedule,
        x_t,
        timesteps,
        sampler=dpm_solver(schedule, timesteps, sde=True),
        noise=noise,
        condition=condition,
    ):
        x_t = frame.x_t
    pixels = ((x_t / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return tiled(pixels.permute(0, 2, 3, 1).numpy())


def tiled(pixels: Pixels) -> Image.Image:
    """(N, S, S, C) uint8 as one picture, in as many columns as rows or one more."""
    count, size, _, channels = pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    sheet = np.full((rows * columns, size, size, channels), 255, np.uint8)
    sheet[:count] = pixels
    sheet = sheet.reshape(rows, columns, size, size, channels).swapaxes(1, 2)
    return Image.fromarray(sheet.reshape(rows * size, columns * size, channels).squeeze())


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()
