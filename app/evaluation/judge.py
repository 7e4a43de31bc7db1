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

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Denoiser, estimate
from app.diffusion.forward import q_sample
from app.diffusion.schedule import NoiseSchedule
from app.evaluation.bootstrap import Interval, bootstrap, bootstrap_mean
from app.evaluation.metrics import (
    PatchDistance,
    Spectrum,
    manifolds,
    patch_distance,
    spectrum,
    squared_mmd,
)
from app.images.arrays import Floats, Pixels
from app.novelty.index import FeatureSpace, Neighbours
from app.training.trainer import QUARTERS
from app.training.validation import HeldOutLoss

LOSS_DRAWS: Final = 2
"""Noise draws for each picture and quarter of t."""

NEAR_QUANTILE: Final = 0.05
"""A picture counts as near the training set below this quantile of the held-out distances."""

LOSS_BATCH: Final = 16
"""Pictures and noises that go through the network at once."""


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

    The 4 N `draws` losses are ordered by quarter of t, then by draw, then by picture.

    Args:
        denoiser: The network in exact precision: rounding to 16 bits adds about as much as the
            noisiest quarter's whole loss.
        schedule: The schedule that the network was trained with.
        x_0: Clean pictures.
        label: The class given to all pictures, where the model has classes.
        draws: Noise draws for each picture and quarter.
        seed: The seed of the noise and of which picture gets which t.
        step: Called after each of ceil(4 N draws / 16) batches.
    """
    generator = torch.Generator().manual_seed(seed)
    picture, t = stratified(len(x_0), draws, schedule.num_train_timesteps, generator)
    errors = []
    for i in range(0, len(t), LOSS_BATCH):
        x, t_now = x_0[picture[i : i + LOSS_BATCH]], t[i : i + LOSS_BATCH]
        eps = torch.randn(x.shape, generator=generator)
        x_t = q_sample(schedule, x, t_now, eps)
        prediction = denoiser.predict(x_t, t_now, Condition.of_label(label, len(x)))
        eps_hat = estimate(prediction, x_t, schedule.alpha_bar(t_now), clip=False).eps_hat
        errors.append((eps_hat - eps).square().mean((1, 2, 3)))
        step()
    return HeldOutLoss(torch.cat(errors), t, schedule.num_train_timesteps)


def stratified(
    count: int, draws: int, total: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Give each of `count` pictures `draws` timesteps in each quarter of [0, `total`).

    Returns:
        Which picture and which t, (4 count draws,) each, ordered by quarter, by draw, by picture.
    """
    # The quarter's timesteps are spread evenly over the pictures, in an order of its own.
    spread = torch.stack(
        [torch.randperm(count * draws, generator=generator) for _ in range(QUARTERS)]
    )
    share = (spread + 0.5) / (count * draws)
    t = ((torch.arange(QUARTERS)[:, None] + share) / QUARTERS * total).long().flatten()
    return torch.arange(count).repeat(draws).repeat(QUARTERS), t


def loss_batches(pictures: int, draws: int = LOSS_DRAWS) -> int:
    """Count the batches that `held_out_loss` takes for that many pictures."""
    return -(-QUARTERS * pictures * draws // LOSS_BATCH)


@dataclass(frozen=True)
class LossFigures:
    """The loss on N pictures, over all t and in quarters of t.

    Attributes:
        pictures: N.
        draws: Noise draws for each picture and quarter.
        mean: The mean over all t.
        quarters: The mean over each quarter of [0, T), the least noisy first.
    """

    pictures: int
    draws: int
    mean: Interval
    quarters: tuple[Interval, ...]


def loss_figures(loss: HeldOutLoss, pictures: int, *, seed: int = 0) -> LossFigures:
    """Summarise `held_out_loss`, with intervals over the pictures that it was measured on."""
    each = loss.losses.double().view(QUARTERS, -1, pictures)
    by_picture = each.mean(1).numpy()
    return LossFigures(
        pictures,
        each.shape[1],
        bootstrap_mean(by_picture.mean(0), seed=seed),
        tuple(bootstrap_mean(quarter, seed=seed) for quarter in by_picture),
    )


@dataclass(frozen=True)
class SpaceFigures:
    """The figures of one feature space.

    Attributes:
        space: The space's name.
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
        seed: The seed of the bootstrap, the patches and the directions.
    """

    def __init__(
        self, reference: Pixels, spaces: Mapping[str, FeatureSpace], seed: int = 0
    ) -> None:
        self.reference = reference
        self.spaces = dict(spaces)
        self.seed = seed
        self._features = self.features(reference)

    def features(self, pictures: Pixels) -> dict[str, Floats]:
        """Compute the features of `pictures` (N, S, S, 3) uint8 in each space."""
        return {name: space(pictures) for name, space in self.spaces.items()}

    def compare(self, samples: Pixels, features: Mapping[str, Floats] | None = None) -> Comparison:
        """Compute all figures of `samples` (N, S, S, 3) uint8, whose `features` may be known."""
        features = self.features(samples) if features is None else features
        return Comparison(
            len(samples),
            len(self.reference),
            tuple(
                self._in_space(name, features[name], self._features[name]) for name in self.spaces
            ),
            patch_distance(samples, self.reference, seed=self.seed),
            spectrum(samples, self.reference, seed=self.seed),
        )

    def _in_space(self, name: str, ours: Floats, theirs: Floats) -> SpaceFigures:
        precision, recall = manifolds(ours, theirs)
        return SpaceFigures(
            name,
            bootstrap(squared_mmd(ours, theirs), len(ours), len(theirs), seed=self.seed),
            bootstrap_mean(precision, seed=self.seed),
            bootstrap_mean(recall, seed=self.seed),
        )


@dataclass(frozen=True)
class NoveltyFigures:
    """The nearness of N pictures to the training set.

    Attributes:
        pictures: N.
        distance: The mean distance from the nearest training picture.
        ratio: The mean of nearest over second-nearest distance; about 1 without copies.
        near: The share of pictures nearer than 5% of the held-out ones are: about 0.05 where the
            model copies no more than a painter who has never seen the training set.
        copies: The number of pictures taken for copies.
    """

    pictures: int
    distance: Interval
    ratio: Interval
    near: Interval
    copies: int


def novelty_figures(found: Neighbours, held_out: Neighbours, *, seed: int = 0) -> NoveltyFigures:
    """Summarise the neighbours `found`, beside those of the `held_out` pictures."""
    threshold = np.quantile(held_out.distance, NEAR_QUANTILE)
    near = np.asarray(found.distance <= threshold, dtype=np.float64)
    return NoveltyFigures(
        len(found.distance),
        bootstrap_mean(found.distance, seed=seed),
        bootstrap_mean(found.ratio, seed=seed),
        bootstrap_mean(near, seed=seed),
        int(found.copies.sum()),
    )
