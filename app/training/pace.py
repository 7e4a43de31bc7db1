"""How fast a machine trains a model, by a few real steps on pictures of noise."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from app.diffusion.noise import derived_seed
from app.errors import StudioError
from app.training.batch import stored_size
from app.training.config import TrainConfig
from app.training.course import Course
from app.training.dataset import Pictures
from app.training.held_out import ROWS
from app.training.trainee import Trainee
from app.training.trainer import Forward, Learner, Material, train

STEPS: Final = 3
PICTURES: Final = 64
_NOISE: Final = 5


@dataclass(frozen=True)
class Pace:
    """What a machine takes, in seconds.

    Attributes:
        step: For a step of training.
        look: For one picture through the network, without training on it.
    """

    step: float
    look: float

    def seconds(self, config: TrainConfig) -> float:
        """The seconds of a whole run: its steps, its held-out losses and its sample grids."""
        return Course(config).total_steps * self.step + looks(config) * self.look


def looks(config: TrainConfig) -> int:
    """The pictures that go through the network beside a run's steps: for losses and samples."""
    steps, found = Course(config).total_steps, 0
    if config.held_out is not None or config.held_out_share is not None:
        measurements = 1 + -(-steps // config.save_every)
        found += measurements * ROWS * (1 + len(config.ema_sigma_rels))
    if config.sample_every:
        found += -(-steps // config.sample_every) * config.sample_count * config.sample_steps
    return found


def measured_pace(config: TrainConfig, trainee: Trainee, device: torch.device) -> Pace:
    """Train `trainee` for a few steps as `config` says, on noise, and time them.

    Raises:
        StudioError: If `config` has fewer steps than that.
    """
    size, channels = config.sizes[-1], trainee.architecture.channels
    stored = stored_size(size, config.crop_scale)
    random = np.random.default_rng(derived_seed(_NOISE))
    pixels = random.integers(0, 256, (PICTURES, stored, stored, channels), dtype=np.uint8)
    labels, null_label = None, trainee.architecture.null_label
    if null_label is not None:
        labels = torch.full((PICTURES,), null_label)
    names = tuple(map(str, range(PICTURES)))
    material = Material(Pictures(names, {stored: pixels}), labels, null_label or 0)
    if Course(config).total_steps <= STEPS:
        raise StudioError(f"A run of {STEPS} steps is too short to time.", "Give it more views.")
    learner = Learner.new(trainee, config, device)
    stream = train(config, trainee.architecture, learner, material)
    next(stream)  # warms up
    step = statistics.median(_timed(lambda: next(stream)) for _ in range(STEPS))
    forward = Forward.chosen(config, device)
    x_t = torch.zeros(config.sample_count, channels, size, size)
    t = torch.zeros(config.sample_count, dtype=torch.int64)
    shown = None if labels is None else labels[: config.sample_count]
    with torch.no_grad():
        forward(learner.network, x_t, t, shown)
        look = statistics.median(
            _timed(lambda: forward(learner.network, x_t, t, shown)) for _ in range(STEPS)
        )
    return Pace(step, look / config.sample_count)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
