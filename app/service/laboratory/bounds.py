"""What the Bound laboratory hands over, and how its running totals are kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from app.diffusion.strata import Stratum

TermKind = Literal["prior", "step", "decoder"]
HALF_RANGE: Final = 127.5
"""From x_0 in [-1, 1] to the 0 to 255 in which figure 5 measures distortion."""


@dataclass(frozen=True)
class SubjectBound:
    """One term of one subject's bound, and the totals so far; bits/dim where nothing else is said.

    Attributes:
        name: The subject's.
        bpd: This term, the mean over the noise draws.
        bpd_error: Its standard error; None with a single draw, 0 for the prior.
        eps_mse: The mean squared error of eps_hat; None for the prior.
        rate: What was sent to reach x_t: L_T and the steps before this one (figure 5).
        distortion: The root mean squared error of x_0_hat at this x_t, 0 to 255; None for the
            prior.
        prior: L_T.
        vb: The steps' sum so far; with strided terms each stands for its neighbours too.
        decoder: L_0; None until it comes, last.
        total: The sum of the three so far.
        total_error: Its standard error: of the noise draws, and of the choice of steps where
            they are strided; None with a single draw.
    """

    name: str
    bpd: float
    bpd_error: float | None
    eps_mse: float | None
    rate: float
    distortion: float | None
    prior: float
    vb: float
    decoder: float | None
    total: float
    total_error: float | None


@dataclass(frozen=True)
class BoundMoment:
    """One term of the bound, for every subject.

    Attributes:
        index: 0 for the prior, `total` for the decoder.
        total: The network's steps.
        kind: Which of the three sorts of term it is.
        t: The paper's timestep of x_t: L_{t-1}, with t = 1 for the decoder and T for the prior.
        weight: How many steps the term stands for.
        subjects: In the experiment's order.
    """

    index: int
    total: int
    kind: TermKind
    t: int
    weight: float
    subjects: tuple[SubjectBound, ...]


@dataclass(frozen=True)
class StepWeights:
    """What L_vlb multiplies each step's eps error by, at up to 500 t; L_simple multiplies by 1.

    Attributes:
        t: The paper's timesteps.
        vlb: In bits/dim for a mean squared error of 1 (eq. 12).
    """

    t: tuple[int, ...]
    vlb: tuple[float, ...]


class Tally:
    """One subject's totals while its terms come in, strata from first to last, decoder last."""

    def __init__(self, name: str, prior: float) -> None:
        self._name = name
        self._prior = prior
        self._vb = 0.0
        self._variance: float | None = 0.0
        self._stratum: list[tuple[float, float | None]] = []

    def prior(self) -> SubjectBound:
        """The first line: L_T alone, which is exact."""
        return self._line(self._prior, 0.0, rate=self._prior)

    def step(
        self, stratum: Stratum, bpd: Sequence[float], eps_mse: float, x_0_mse: float
    ) -> SubjectBound:
        """Add L_{t-1}, one value for each draw, of the next step of `stratum`."""
        rate = self._prior + self._vb
        mean, noise = _mean_and_noise(bpd)
        self._vb += stratum.weight * mean
        self._stratum.append((mean, noise))
        if len(self._stratum) == len(stratum.steps):
            self._close(stratum)
        return self._line(mean, _root(noise), rate=rate, eps_mse=eps_mse, x_0_mse=x_0_mse)

    def decoder(self, bpd: Sequence[float], eps_mse: float, x_0_mse: float) -> SubjectBound:
        """Add L_0."""
        rate = self._prior + self._vb
        mean, noise = _mean_and_noise(bpd)
        self._add(noise)
        return self._line(
            mean, _root(noise), rate=rate, eps_mse=eps_mse, x_0_mse=x_0_mse, decoder=mean
        )

    def _close(self, stratum: Stratum) -> None:
        values, noises = zip(*self._stratum, strict=True)
        self._stratum.clear()
        known = [noise for noise in noises if noise is not None]
        self._add(stratum.variance(values, known) if len(known) == len(noises) else None)

    def _add(self, variance: float | None) -> None:
        both = self._variance is not None and variance is not None
        self._variance = (self._variance or 0.0) + (variance or 0.0) if both else None

    def _line(
        self,
        bpd: float,
        error: float | None,
        *,
        rate: float,
        eps_mse: float | None = None,
        x_0_mse: float | None = None,
        decoder: float | None = None,
    ) -> SubjectBound:
        return SubjectBound(
            name=self._name,
            bpd=bpd,
            bpd_error=error,
            eps_mse=eps_mse,
            rate=rate,
            distortion=None if x_0_mse is None else math.sqrt(x_0_mse) * HALF_RANGE,
            prior=self._prior,
            vb=self._vb,
            decoder=decoder,
            total=self._prior + self._vb + (decoder or 0.0),
            total_error=_root(self._variance),
        )


def _mean_and_noise(bpd: Sequence[float]) -> tuple[float, float | None]:
    """The mean over draws and its variance, which a single draw doesn't tell."""
    values = np.asarray(bpd)
    noise = float(values.var(ddof=1)) / len(values) if len(values) > 1 else None
    return float(values.mean()), noise


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)
