"""Bound: the evidence lower bound of pictures, term by term."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.diffusion.bound import FixedVariance, Term, bound_terms, prior_bpd, vlb_weights
from app.diffusion.denoiser import Condition, Denoiser, Prediction
from app.diffusion.noise import SeededNoise, derived_seed
from app.diffusion.schedule import paper_t
from app.diffusion.strata import Stratum, all_steps, strata
from app.errors import RecipeError
from app.service.laboratory.bound_result import BoundResult
from app.service.laboratory.bounding import Bounding
from app.service.laboratory.bounds import (
    BoundMoment,
    StepWeights,
    SubjectBound,
    Tally,
    TermKind,
)
from app.service.laboratory.sources import Painting, Sources, at_once
from app.service.lending import lend
from app.service.models import LoadedModel, ModelInfo
from app.service.moments import Retrace
from app.service.painting import Painter
from app.service.pictures import Pixels, evenly_spaced, picture_pixels
from app.service.recipe import Recipe

MAX_POINTS: Final = 500
MAX_BATCH: Final = 16

DRAWS: Final = 0
SHUFFLING: Final = 1
PLAIN_NOISE: Final = 2
STEPS: Final = 3
"""What a derived seed is for."""


@dataclass(frozen=True, eq=False)
class InParts:
    """A Denoiser that takes large batches through the network a part at a time."""

    denoiser: Denoiser

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict at `x_t` (B, C, H, W) and `t` (B,)."""
        answers = []
        for low in range(0, len(x_t), MAX_BATCH):
            part = slice(low, low + MAX_BATCH)
            labels = None if condition is None else Condition(condition.labels[part])
            answers.append(self.denoiser.predict(x_t[part], t[part], labels))
        variances = [a.variance for a in answers if a.variance is not None]
        return Prediction(
            torch.cat([answer.output for answer in answers]),
            answers[0].target,
            torch.cat(variances) if variances else None,
        )


class BoundLab:
    """The laboratory of the bound."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._models = painter.models
        self._sources = Sources(painter)
        self._stream = lend(painter.models, _terms, _steps)

    def complete(self, bounding: Bounding) -> Bounding:
        """The experiment as it will be done here: with the weights' hash.

        Raises:
            ModelError: If the model isn't there or can't be used.
            RecipeError: If the label or the variance doesn't fit the model.
        """
        recipe = Recipe(
            model=bounding.model, label=bounding.label, precision=bounding.precision, steps=1
        )
        weights = self._painter.complete(recipe).weights
        info = self._models.describe(bounding.model)
        if bounding.variance == "learned" and not info.learned_variance:
            raise RecipeError(
                f"{info.id} did not learn its variance.", "Choose fixed_small or fixed_large."
            )
        batch = bounding.draws * len(bounding.subjects)
        self._painter.limits.check_work(self.network_steps(bounding), batch, info.size)
        return bounding.model_copy(update={"weights": weights})

    def network_steps(self, bounding: Bounding) -> int:
        """The network's steps that `bound` will take, painting the subjects included."""
        info = self._models.describe(bounding.model)
        sources = [s.source for s in bounding.subjects if s.source is not None]
        steps = sum(len(stratum.steps) for stratum in _strata(bounding, info))
        return self._sources.network_steps(*sources) + steps + 1

    def pictures(self, bounding: Bounding) -> tuple[Pixels, ...]:
        """The subjects as the model sees them, (H, W, 3) uint8 each."""
        info = self._models.describe(bounding.model)
        return tuple(
            picture_pixels(at_once(self._subject(bounding, i, info)))[0]
            for i in range(len(bounding.subjects))
        )

    def bound(self, bounding: Bounding) -> Iterator[Retrace | BoundMoment]:
        """The terms of every subject's bound, from L_T down to L_0, with running totals.

        It is `bounding.model`'s; those it is compared with have bounds of their own. Two runs
        with one seed draw the same noise, so that models compare. Yields a Retrace for each step
        of painting a subject, where that is needed, then one BoundMoment for L_T, for each step,
        and for L_0. Closing the stream ends the network's work.

        Raises:
            ModelError, PictureError, RecipeError: If the model or a source can't be used, or
                the model can't do this.
        """
        self.complete(bounding)
        model = self._models.load(bounding.model)
        x_0 = torch.cat((yield from self._all_subjects(bounding, model.info)))
        priors = prior_bpd(model.schedule, x_0).tolist()
        tallies = [Tally(s.name, p) for s, p in zip(bounding.subjects, priors, strict=True)]
        plan = [(stratum, t) for stratum in _strata(bounding, model.info) for t in stratum.steps]
        total = len(plan) + 1
        last = tuple(tally.prior() for tally in tallies)
        yield BoundMoment(0, total, "prior", model.info.num_train_timesteps, 1.0, last)
        terms = self._stream(model, bounding, x_0, [t for _, t in plan] + [0])
        for index, (term, (stratum, _)) in enumerate(
            zip(terms, [*plan, (Stratum(1, (0,)), 0)], strict=True), start=1
        ):
            lines = _lines(tallies, stratum, term, bounding.draws)
            kind: TermKind = "decoder" if index == total else "step"
            yield BoundMoment(index, total, kind, paper_t(term.t), stratum.weight, lines)

    def weights(self, model: str, variance: FixedVariance = "fixed_small") -> StepWeights:
        """The weight of each step in L_vlb, whose counterpart in L_simple is 1."""
        schedule = self._models.load(model).schedule
        values = vlb_weights(schedule, variance).tolist()
        at = evenly_spaced(MAX_POINTS, schedule.num_train_timesteps)
        return StepWeights(tuple(paper_t(i) for i in at), tuple(values[i] for i in at))

    def started(self, bounding: Bounding) -> BoundResult:
        """A result without its terms yet, for `bounding` and what it is compared with."""
        models = [self._models.describe(each.model) for each in bounding.each]
        # The weight that a learned variance gives isn't one number for a step.
        fixed: FixedVariance = (
            "fixed_large" if bounding.variance == "fixed_large" else "fixed_small"
        )
        return BoundResult(
            experiment=bounding,
            length=max(info.num_train_timesteps for info in models),
            moments=(),
            weights=self.weights(bounding.model, fixed),
        )

    def result(self, bounding: Bounding) -> BoundResult:
        """The whole bound, for each model.

        Raises:
            ModelError, PictureError, RecipeError: As `bound` does.
        """
        moments = tuple(
            tuple(item for item in self.bound(each) if isinstance(item, BoundMoment))
            for each in bounding.each
        )
        return replace(self.started(bounding), moments=moments)

    def _all_subjects(self, bounding: Bounding, info: ModelInfo) -> Painting[list[Tensor]]:
        pictures: list[Tensor] = []
        for place in range(len(bounding.subjects)):
            pictures += [(yield from self._subject(bounding, place, info))]
        return pictures

    def _subject(self, bounding: Bounding, place: int, info: ModelInfo) -> Painting[Tensor]:
        subject = bounding.subjects[place]
        if subject.source is None:
            return _plain_noise(info, derived_seed(bounding.seed, PLAIN_NOISE, place))
        x_0 = yield from self._sources.x_0(subject.source, info)
        if subject.kind == "shuffled":
            return _shuffled(x_0, derived_seed(bounding.seed, SHUFFLING, place))
        return x_0


def _strata(bounding: Bounding, info: ModelInfo) -> tuple[Stratum, ...]:
    length = info.num_train_timesteps
    # Strata of two steps are all the steps there are.
    if bounding.terms is None or bounding.terms >= length - 1:
        return all_steps(length)
    return strata(length, bounding.terms, derived_seed(bounding.seed, STEPS))


def _terms(
    model: LoadedModel, bounding: Bounding, x_0: Tensor, timesteps: list[int]
) -> Iterator[Term]:
    subjects, draws = len(x_0), bounding.draws
    seeds = [
        derived_seed(bounding.seed, DRAWS, i, draw)
        for i in range(subjects)
        for draw in range(draws)
    ]
    label = bounding.label
    condition = None if label is None else Condition(torch.full((len(seeds),), label))
    return bound_terms(
        InParts(model.denoiser(bounding.precision)),
        model.schedule,
        x_0.repeat_interleave(draws, dim=0),
        torch.tensor(timesteps),
        noise=SeededNoise(seeds),
        variance=bounding.variance,
        clip=bounding.clip,
        condition=condition,
    )


def _steps(_: ModelInfo, bounding: Bounding, x_0: Tensor, timesteps: list[int]) -> tuple[int, int]:
    return len(timesteps), len(x_0) * bounding.draws


def _lines(
    tallies: list[Tally], stratum: Stratum, term: Term, draws: int
) -> tuple[SubjectBound, ...]:
    bpd = term.bpd.view(-1, draws).tolist()
    eps_mse = term.eps_mse.view(-1, draws).mean(1).tolist()
    x_0_mse = term.x_0_mse.view(-1, draws).mean(1).tolist()
    rows = zip(tallies, bpd, eps_mse, x_0_mse, strict=True)
    if term.t == 0:
        return tuple(tally.decoder(b, e, x) for tally, b, e, x in rows)
    return tuple(tally.step(stratum, b, e, x) for tally, b, e, x in rows)


def _plain_noise(info: ModelInfo, seed: int) -> Tensor:
    shape = (1, info.channels, info.size, info.size)
    levels = np.random.default_rng(seed).integers(0, 256, shape)
    return torch.from_numpy(levels).float() / 127.5 - 1


def _shuffled(x_0: Tensor, seed: int) -> Tensor:
    """The same pixels in another order; the channels of a pixel stay together."""
    order = np.random.default_rng(seed).permutation(x_0.shape[2] * x_0.shape[3])
    return x_0.flatten(2)[:, :, torch.from_numpy(order)].view_as(x_0)
