"""A bound as far as it has come: running totals, and the figure that carries its experiment."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import TypeAdapter

from app.diffusion.bound import Stratum
from app.images.pixels import HALF_RANGE
from app.images.plots import (
    OCHRE,
    SERIES,
    STYLES,
    WISTERIA,
    Axis,
    Plot,
    Series,
    TableRow,
    figure_png,
)
from app.laboratory.experiments import BoundRequest
from app.painting.recipe import file_stem

TermKind = Literal["prior", "step", "decoder"]

Unit = Literal["bits/dim", "nats/dim"]
"""For each value of a picture, or of a latent."""


@dataclass(frozen=True)
class SubjectBound:
    """One term of one subject's bound, and the totals so far, in the bound's unit.

    Attributes:
        bpd: This term, the mean over the noise draws.
        bpd_error: This term's standard error; None with a single draw, 0 for the prior.
        eps_mse: The mean squared error of eps_hat; None for the prior.
        rate: What was sent to reach x_t: L_T and the steps before this one (figure 5).
        distortion: The root mean squared error of x_0_hat at this x_t, 0 to 255; None for the
            prior, and of latents, which have no such range.
        prior: L_T.
        vb: The steps' sum so far; with strided terms each stands for its neighbours too.
        decoder: L_0; None until it comes, last.
        total: The sum of the three so far.
        total_error: The sum's standard error: of the noise draws, and of the choice of steps
            where they are strided; None with a single draw. It is itself estimated from two steps
            a stratum, so that twice it holds the bound about 9 times in 10.
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
        index: 0 for the prior, `total` for the last term.
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
    """The factor of each step's eps error in L_vlb, at up to 500 t; in L_simple it is 1.

    Attributes:
        t: The paper's timesteps.
        vlb: The factors, in the bound's unit for a mean squared error of 1 (eq. 12).
    """

    t: tuple[int, ...]
    vlb: tuple[float, ...]


DECODER: Final = (0,)
"""The timesteps of the stratum that is the decoder's."""


class Tally:
    """One subject's totals while its terms come in, strata from first to last, decoder last.

    Attributes:
        line: The latest term; at first L_T alone, which is exact.
    """

    def __init__(self, name: str, prior: float) -> None:
        self.line = SubjectBound(
            name,
            bpd=prior,
            bpd_error=0.0,
            eps_mse=None,
            rate=prior,
            distortion=None,
            prior=prior,
            vb=0.0,
            decoder=None,
            total=prior,
            total_error=0.0,
        )
        self._variance: float | None = 0.0
        self._stratum: list[tuple[float, float | None]] = []

    def add(
        self, stratum: Stratum, bpd: Sequence[float], eps_mse: float, x_0_mse: float | None
    ) -> SubjectBound:
        """Add L_{t-1} or L_0, one value for each draw, of the next step of `stratum`."""
        prior, vb = self.line.prior, self.line.vb
        rate = prior + vb
        mean, noise = _mean_and_noise(bpd)
        decoder = mean if stratum.steps == DECODER else None
        if decoder is None:
            vb += stratum.weight * mean
        self._stratum.append((mean, noise))
        if len(self._stratum) == len(stratum.steps):
            self._close(stratum)
        self.line = replace(
            self.line,
            bpd=mean,
            bpd_error=_root(noise),
            eps_mse=eps_mse,
            rate=rate,
            distortion=None if x_0_mse is None else math.sqrt(x_0_mse) * HALF_RANGE,
            vb=vb,
            decoder=decoder,
            total=prior + vb + (decoder or 0.0),
            total_error=_root(self._variance),
        )
        return self.line

    def _close(self, stratum: Stratum) -> None:
        values, noises = zip(*self._stratum, strict=True)
        self._stratum.clear()
        if self._variance is None or None in noises:
            self._variance = None
        else:
            self._variance += stratum.variance(values, noises)


def _mean_and_noise(bpd: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean over draws and its variance, None for a single draw."""
    values = np.asarray(bpd)
    noise = float(values.var(ddof=1)) / len(values) if len(values) > 1 else None
    return float(values.mean()), noise


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


HEADINGS: Final = ("$L_T$", r"$L_1 + \cdots + L_{T-1}$", "$L_0$", "sum", "\N{PLUS-MINUS SIGN}")


@dataclass(frozen=True)
class BoundLine:
    """A picture's bound under a model: its name, the places of both, and the terms so far."""

    name: str
    subject: int
    model: int
    terms: tuple[tuple[BoundMoment, SubjectBound], ...]

    def series(
        self,
        pick: Callable[[BoundMoment, SubjectBound], tuple[float, float | None]],
        error: Callable[[SubjectBound], float | None] = lambda _: None,
    ) -> Series:
        """Collect the points (x, y) that `pick` takes from the terms that have a y."""
        found = [(*pick(m, s), error(s)) for m, s in self.terms]
        kept = [((x, y), e) for x, y, e in found if y is not None]
        return Series(
            SERIES[self.subject % len(SERIES)],
            tuple(point for point, _ in kept),
            tuple(error for _, error in kept),
            STYLES[self.model % len(STYLES)],
        )

    def row(self) -> TableRow:
        """Return the table's row of the totals so far."""
        series = self.series(lambda _, __: (0, None))
        cells = ("-",) * len(HEADINGS)
        if self.terms:
            last = self.terms[-1][1]
            rest = (last.vb, last.decoder, last.total, last.total_error)
            cells = (_power(last.prior), *("-" if v is None else f"{v:.4f}" for v in rest))
        return TableRow(self.name, series.colour, series.style, cells)


TERM_BYTES: Final = 500
"""About the bytes of one subject's term."""


@dataclass(frozen=True, eq=False)
class BoundResult:
    """The bound of pictures under one or several models, whole or as far as it has come.

    Attributes:
        experiment: Says how to compute the bound again.
        length: T, the longest of the models'.
        moments: The terms so far for each model of `experiment.each`, L_T first.
        weights: The step weights of the first model.
        unit: That of all terms.
    """

    experiment: BoundRequest
    length: int
    moments: tuple[tuple[BoundMoment, ...], ...]
    weights: StepWeights
    unit: Unit = "bits/dim"

    @property
    def name(self) -> str:
        """A file name without its ending."""
        return f"{file_stem(self.experiment.model)}-bound-seed-{self.experiment.seed}"

    @property
    def latest(self) -> BoundMoment | None:
        """The latest term."""
        return self.moments[-1][-1] if self.moments else None

    @property
    def nbytes(self) -> int:
        """About the bytes of the terms."""
        return TERM_BYTES * len(self.experiment.subjects) * sum(map(len, self.moments))

    @property
    def lines(self) -> tuple[BoundLine, ...]:
        """A line for each model and picture."""
        each = self.experiment.each
        waiting = ((),) * (len(each) - len(self.moments))
        return tuple(
            BoundLine(
                f"{subject.name}, {bounding.model}" if len(each) > 1 else subject.name,
                place,
                model,
                tuple((moment, moment.subjects[place]) for moment in moments),
            )
            for model, (bounding, moments) in enumerate(
                zip(each, (*self.moments, *waiting), strict=True)
            )
            for place, subject in enumerate(bounding.subjects)
        )

    def png(self, *, log_t: bool = False) -> bytes:
        """Draw the table and the plots, over t or its logarithm, with the experiment inside."""
        rows = tuple(line.row() for line in self.lines)
        return figure_png(
            self._title(),
            (self.unit, *HEADINGS),
            rows,
            self.plots(log_t=log_t),
            recipe=self.experiment,
        )

    def plots(self, *, log_t: bool = False) -> tuple[Plot, ...]:
        """Plot the terms over t twice, their sum, rate and distortion, eps's error, the weights."""
        x = Axis("$t$, noise to picture", log_t, (float(log_t), self.length), reverse=True)
        terms = tuple(
            line.series(
                lambda m, s: (m.t, None if m.kind == "prior" else s.bpd), lambda s: s.bpd_error
            )
            for line in self.lines
        )
        sums = tuple(line.series(lambda m, s: (m.t, s.total)) for line in self.lines)
        rates = tuple(line.series(lambda _, s: (s.rate, s.distortion)) for line in self.lines)
        errors = tuple(line.series(lambda m, s: (m.t, s.eps_mse)) for line in self.lines)
        weights = (
            Series(
                WISTERIA,
                tuple(zip(self.weights.t, self.weights.vlb, strict=True)),
                name=rf"$L_{{\mathrm{{vlb}}}}$, {self.unit}",
            ),
            Series(OCHRE, ((1, 1), (self.length, 1)), name=r"$L_{\mathrm{simple}}$"),
        )
        unit = self.unit
        term, sum_so_far = f"$L_{{t-1}}$, {unit}", rf"$L_T + \cdots + L_{{t-1}}$, {unit}"
        distortion = (
            Plot(
                "Rate and distortion",
                Axis(f"rate, {unit}"),
                Axis(r"rmse of $\hat x_0$, 0 to 255"),
                rates,
            ),
        )
        error = r"mean of $(\epsilon - \hat\epsilon)^2$"
        return (
            Plot("Terms", x, Axis(term), terms),
            Plot("Terms, logarithmic", x, Axis(term, log=True), terms),
            Plot("Sum so far, from noise on", x, Axis(sum_so_far), sums),
            *(distortion if unit == "bits/dim" else ()),
            Plot("Error of the predicted noise", x, Axis(error, log=True), errors),
            Plot("Weight of that error in the loss", x, Axis("weight", log=True), weights),
        )

    def _title(self) -> str:
        it = self.experiment
        models = ", ".join(bounding.model for bounding in it.each)
        last = self.latest
        whole = len(self.moments) == len(it.each) and last is not None and last.index == last.total
        far = "" if whole or last is None else f", stopped at term {last.index} of {last.total}"
        clip = "clipped" if it.clip else "not clipped"
        variance = it.variance.replace("_", " ")
        return f"The bound under {models}: {it.draws} draws, {variance} variance, {clip}{far}"


def bound_of(path: Path) -> BoundResult:
    """Read a bound kept as JSON.

    Raises:
        pydantic.ValidationError: If the file holds anything else.
    """
    return TypeAdapter(BoundResult).validate_json(path.read_bytes())


def _power(value: float) -> str:
    """Write `value` as mathematics, in powers of ten."""
    digits, _, exponent = f"{value:.1e}".partition("e")
    return rf"${digits} \times 10^{{{int(exponent)}}}$" if exponent else digits
