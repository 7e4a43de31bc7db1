"""The panel: how good a model's samples are, by several measures, for one alone misleads.

Each figure has its bootstrap interval and can be held against the floor: the same figure for
paintings against paintings, which a perfect model would reach and not beat.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.diffusion.denoiser import Condition, Denoiser, estimate
from app.diffusion.forward import q_sample
from app.diffusion.schedule import NoiseSchedule
from app.training.features import FeatureSpace, Pixels
from app.training.intervals import Floats, Interval, bootstrap, bootstrap_mean
from app.training.metrics import manifolds, squared_mmd
from app.training.novelty import Neighbours
from app.training.patches import PatchDistance, patch_distance
from app.training.spectrum import Spectrum, spectrum

QUARTERS: Final = 4
LOSS_DRAWS: Final = 2
"""Noises a picture and quarter of t."""

NEAR_QUANTILE: Final = 0.05
"""A picture counts as near the training set below this quantile of the held-out distances."""

_BATCH: Final = 16


@dataclass(frozen=True)
class HeldOutLoss:
    """L_simple (eq. 14) on pictures, with noise that is the same each time it is measured.

    Attributes:
        pictures: N.
        draws: Noises a picture and quarter.
        mean: Over all t.
        quarters: For t in each quarter of [0, T), the least noisy first.
    """

    pictures: int
    draws: int
    mean: Interval
    quarters: tuple[Interval, ...]


def held_out_loss(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    x_0: Tensor,
    *,
    label: int | None = None,
    draws: int = LOSS_DRAWS,
    seed: int = 0,
    step: Callable[[], object] = lambda: None,
) -> HeldOutLoss:
    """Measure L_simple on `x_0` (N, C, S, S) in [-1, 1], whatever the network predicts.

    Args:
        denoiser: In exact precision: rounding to 16 bits adds about as much as the noisiest
            quarter's whole loss.
        schedule: The schedule that it was trained with.
        x_0: Clean pictures.
        label: The class given to all of them, where the model has classes.
        draws: Noises a picture and quarter.
        seed: Of the noise and of which picture gets which t.
        step: Called after each of ceil(4 N draws / 16) batches.
    """
    generator = torch.Generator().manual_seed(seed)
    count, total = len(x_0), schedule.num_train_timesteps
    # The quarter's timesteps are spread evenly over the pictures, in an order of its own.
    spread = torch.stack(
        [torch.randperm(count * draws, generator=generator) for _ in range(QUARTERS)]
    )
    share = (spread + 0.5) / (count * draws)
    t = ((torch.arange(QUARTERS)[:, None] + share) / QUARTERS * total).long().flatten()
    picture = torch.arange(count).repeat(draws).repeat(QUARTERS)
    errors = []
    for i in range(0, len(t), _BATCH):
        x, t_now = x_0[picture[i : i + _BATCH]], t[i : i + _BATCH]
        eps = torch.randn(x.shape, generator=generator)
        x_t = q_sample(schedule, x, t_now, eps)
        condition = None if label is None else Condition(torch.full((len(x),), label))
        prediction = denoiser.predict(x_t, t_now, condition)
        eps_hat = estimate(schedule, prediction, x_t, t_now, clip=False).eps_hat
        errors.append((eps_hat - eps).square().mean((1, 2, 3)))
        step()
    losses = torch.cat(errors).double().view(QUARTERS, draws, count).mean(1).numpy()
    return HeldOutLoss(
        count,
        draws,
        bootstrap_mean(losses.mean(0), seed=seed),
        tuple(bootstrap_mean(quarter, seed=seed) for quarter in losses),
    )


def loss_batches(pictures: int, draws: int = LOSS_DRAWS) -> int:
    """How many batches `held_out_loss` takes for that many pictures."""
    return -(-QUARTERS * pictures * draws // _BATCH)


@dataclass(frozen=True)
class SpaceFigures:
    """What one feature space says.

    Attributes:
        space: Its name.
        squared_mmd: KID's estimator; unbiased, so it may be below 0 where the sets are alike.
        precision: The share of samples within the paintings' manifold: are they good?
        recall: The share of paintings within the samples' manifold: is all of it there?
    """

    space: str
    squared_mmd: Interval
    precision: Interval
    recall: Interval


@dataclass(frozen=True)
class Comparison:
    """N samples against M paintings."""

    samples: int
    reference: int
    spaces: tuple[SpaceFigures, ...]
    patches: PatchDistance
    spectrum: Spectrum


class Judge:
    """Compares sets of pictures with the same reference.

    Args:
        reference: (M, S, S, 3) uint8, pictures never trained on.
        spaces: The feature spaces, by name.
        seed: Of the bootstrap, the patches and the directions.
    """

    def __init__(
        self, reference: Pixels, spaces: Mapping[str, FeatureSpace], seed: int = 0
    ) -> None:
        self.reference = reference
        self.spaces = dict(spaces)
        self.seed = seed
        self._features = {name: space(reference) for name, space in self.spaces.items()}

    def compare(self, samples: Pixels) -> Comparison:
        """All figures of `samples` (N, S, S, 3) uint8."""
        return Comparison(
            len(samples),
            len(self.reference),
            tuple(
                self._in_space(name, space(samples), self._features[name])
                for name, space in self.spaces.items()
            ),
            patch_distance(samples, self.reference, seed=self.seed),
            spectrum(samples, self.reference, seed=self.seed),
        )

    def _in_space(self, name: str, ours: Floats, theirs: Floats) -> SpaceFigures:
        inside = manifolds(ours, theirs)
        return SpaceFigures(
            name,
            bootstrap(squared_mmd(ours, theirs), len(ours), len(theirs), seed=self.seed),
            bootstrap_mean(inside.precision, seed=self.seed),
            bootstrap_mean(inside.recall, seed=self.seed),
        )


@dataclass(frozen=True)
class NoveltyFigures:
    """How near N pictures come to the training set.

    Attributes:
        pictures: N.
        distance: The mean distance from the nearest training picture.
        ratio: The mean of nearest over second-nearest distance; about 1 without copies.
        near: The share of pictures nearer than 5% of the held-out ones are: about 0.05 where the
            model copies no more than a painter who has never seen the training set.
        copies: How many are taken for copies.
    """

    pictures: int
    distance: Interval
    ratio: Interval
    near: Interval
    copies: int


def novelty_figures(found: Neighbours, held_out: Neighbours, *, seed: int = 0) -> NoveltyFigures:
    """Summarise what an index `found`, beside what it found for the pictures held out."""
    threshold = np.quantile(held_out.distance, NEAR_QUANTILE)
    near = np.asarray(found.distance <= threshold, dtype=np.float64)
    return NoveltyFigures(
        len(found.distance),
        bootstrap_mean(found.distance, seed=seed),
        bootstrap_mean(found.ratio, seed=seed),
        bootstrap_mean(near, seed=seed),
        int(found.copies.sum()),
    )
