"""Bound: the evidence lower bound of pictures, term by term.

Of a latent model it is what the diffusion process bounds, D_KL(q(z_0 | x) || p(z_0)) but for its
last term, L_0: in nats for each of a latent's values, for bits of the picture they are not. How
likely the decoder makes a picture of a latent isn't known.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.diffusion.bound import (
    NATS_PER_BIT,
    Stratum,
    Term,
    all_steps,
    bound_terms,
    prior_bpd,
    strata,
    vlb_weights,
)
from app.diffusion.denoiser import InParts
from app.diffusion.schedule import paper_t
from app.diffusion.seeds import SeededNoise, derived_seed
from app.diffusion.variance import FixedVariance
from app.errors import RecipeError
from app.images.pixels import evenly_spaced, levels_to_unit, to_unit
from app.laboratory.bound_results import (
    DECODER,
    BoundMoment,
    BoundResult,
    StepWeights,
    SubjectBound,
    Tally,
    TermKind,
    Unit,
)
from app.laboratory.experiments import BoundRequest
from app.laboratory.laboratory import MAX_POINTS, checked_model
from app.models.files import ModelInfo, Stamp
from app.models.loading import LoadedModel
from app.models.store import lend
from app.painting.film import ReplayStep
from app.painting.painter import Painter
from app.painting.runs import CheckedRun, Runs
from app.painting.sources import Replaying, Sources

OF_A_BIT: Final[dict[Unit, float]] = {"bits/dim": 1.0, "nats/dim": NATS_PER_BIT}
"""What a bit is in each unit."""

DRAWS, SHUFFLING, PLAIN_NOISE, STEPS = range(4)
"""The purposes of derived seeds."""


class BoundLab:
    """The laboratory of the bound.

    Attributes:
        bounds: Give, for each model, a ReplayStep for each step of painting a subject, where that
            is needed; and the bound as far as it has come: without its terms first, then after
            L_T, each step and L_0 of each model. Two runs with one seed draw the same noise, so
            that models can be compared.
    """

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._models = painter.models
        self._sources = Sources(painter)
        self._stream = lend(painter.models, _terms, _steps)
        self.bounds: Runs[BoundRequest, ReplayStep | BoundResult, BoundResult] = Runs(
            self.complete, self.network_steps, self._bounds, BoundResult
        )

    def complete(self, bounding: BoundRequest) -> CheckedRun[BoundRequest]:
        """Complete the experiment as it will be done here: with the hash of each model's weights.

        Raises:
            ModelError: If the model isn't there or can't be used.
            RecipeError: If the label or the variance doesn't fit the model, or models that diffuse
                latents are compared with models that diffuse pictures.
        """
        kinds = {self._models.describe(it.model).latent is None for it in bounding.each}
        if len(kinds) > 1:
            raise RecipeError(
                "The nats of latents can't be compared with the bits of pictures.",
                "Compare models that diffuse pictures, or such as diffuse latents.",
            )
        # No loaded model is returned: of those that are compared, one is in use at a time.
        each, stamps = list[BoundRequest](), list[Stamp]()
        for it in bounding.each:
            model = self._loaded(it)
            label = model.info.label_of(it.label)
            each.append(it.model_copy(update={"weights": model.weights, "label": label}))
            stamps.append(model.files.stamp)
        return CheckedRun(BoundRequest.joined(each), stamps=tuple(stamps))

    def _loaded(self, bounding: BoundRequest) -> LoadedModel:
        model = checked_model(self._painter, bounding)
        info = model.info
        info.require_variance(bounding.variance)
        batch = bounding.draws * len(bounding.subjects)
        self._painter.limits.check_work(self._steps_of(bounding), batch, info.size)
        return model

    def network_steps(self, bounding: BoundRequest) -> int:
        """Count the network steps of all models, painting the subjects included."""
        return sum(map(self._steps_of, bounding.each))

    def _steps_of(self, bounding: BoundRequest) -> int:
        info = self._models.describe(bounding.model)
        sources = [s.source for s in bounding.subjects if s.source is not None]
        steps = sum(len(stratum.steps) for stratum in _strata(bounding, info))
        return self._sources.network_steps(*sources) + steps

    def _bounds(self, run: CheckedRun[BoundRequest]) -> Iterator[ReplayStep | BoundResult]:
        result = self._started(run.request)
        yield result
        for bounding in run.request.each:
            before, moments = result.moments, list[BoundMoment]()
            for item in self._bound(bounding):
                if isinstance(item, BoundMoment):
                    moments.append(item)
                    result = replace(result, moments=(*before, tuple(moments)))
                    yield result
                else:
                    yield item

    def _bound(self, bounding: BoundRequest) -> Iterator[ReplayStep | BoundMoment]:
        """Yield the terms of every subject's bound under the first model, with running totals."""
        model = self._loaded(bounding)
        x_0 = yield from self._x_0(bounding, model)
        unit = _unit_of(model.info)
        priors = (OF_A_BIT[unit] * prior_bpd(model.schedule, x_0)).tolist()
        tallies = [Tally(s.name, p) for s, p in zip(bounding.subjects, priors, strict=True)]
        plan = [(stratum, t) for stratum in _strata(bounding, model.info) for t in stratum.steps]
        total = len(plan)
        first = tuple(tally.line for tally in tallies)
        yield BoundMoment(0, total, "prior", model.info.num_train_timesteps, 1.0, first)
        terms = self._stream(model, bounding, x_0, [t for _, t in plan])
        for index, (term, (stratum, t)) in enumerate(zip(terms, plan, strict=True), start=1):
            lines = _lines(tallies, stratum, term, bounding.draws, unit)
            kind: TermKind = "step" if t else "decoder"
            yield BoundMoment(index, total, kind, paper_t(t), stratum.weight, lines)

    def weights(self, model: str, variance: FixedVariance = "fixed_small") -> StepWeights:
        """Compute the weight of each step in L_vlb (eq. 12); in L_simple each weighs 1."""
        loaded = self._models.load(model)
        schedule, unit = loaded.schedule, _unit_of(loaded.info)
        values = (OF_A_BIT[unit] * vlb_weights(schedule, variance)).tolist()
        at = evenly_spaced(MAX_POINTS, schedule.num_train_timesteps)
        return StepWeights(tuple(paper_t(i) for i in at), tuple(values[i] for i in at))

    def _started(self, bounding: BoundRequest) -> BoundResult:
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
            unit=_unit_of(models[0]),
        )

    def _x_0(self, bounding: BoundRequest, model: LoadedModel) -> Replaying[Tensor]:
        """Return what the model diffuses of the subjects, (N, C, H, W), painted if need be."""
        info, diffused = model.info, list[Tensor]()
        for place, subject in enumerate(bounding.subjects):
            if subject.source is None:
                picture = _plain_noise(info, derived_seed(bounding.seed, PLAIN_NOISE, place))
            else:
                pixels = yield from self._sources.pixels(subject.source, info)
                picture = to_unit(pixels[None], info.channels)
            if subject.kind == "shuffled":
                picture = _shuffled(picture, derived_seed(bounding.seed, SHUFFLING, place))
            diffused.append(model.encode(picture))
        return torch.cat(diffused)


def _unit_of(info: ModelInfo) -> Unit:
    return "nats/dim" if info.latent else "bits/dim"


def _strata(bounding: BoundRequest, info: ModelInfo) -> tuple[Stratum, ...]:
    """Return the strata of the steps, latest first, and then the decoder's, of no latents."""
    length = info.num_train_timesteps
    # With so many terms every step is evaluated.
    if bounding.terms is None or bounding.terms >= length - 1:
        steps = all_steps(length)
    else:
        steps = strata(length, bounding.terms, derived_seed(bounding.seed, STEPS))
    return steps if info.latent else (*steps, Stratum(1, DECODER))


def _terms(
    model: LoadedModel, bounding: BoundRequest, x_0: Tensor, timesteps: list[int]
) -> Iterator[Term]:
    subjects, draws = len(x_0), bounding.draws
    seeds = [
        derived_seed(bounding.seed, DRAWS, i, draw)
        for i in range(subjects)
        for draw in range(draws)
    ]
    return bound_terms(
        InParts(model.denoiser(bounding.precision)),
        model.schedule,
        x_0.repeat_interleave(draws, dim=0),
        torch.tensor(timesteps),
        noise=SeededNoise(seeds),
        variance=model.variance(bounding.variance),
        clip=bounding.clip and model.latents is None,
        condition=model.condition(bounding.label, len(seeds)),
    )


def _steps(
    _: ModelInfo, bounding: BoundRequest, x_0: Tensor, timesteps: list[int]
) -> tuple[int, int]:
    return len(timesteps), len(x_0) * bounding.draws


def _lines(
    tallies: list[Tally], stratum: Stratum, term: Term, draws: int, unit: Unit
) -> tuple[SubjectBound, ...]:
    bpd = (OF_A_BIT[unit] * term.bpd).view(-1, draws).tolist()
    eps_mse = term.eps_mse.view(-1, draws).mean(1).tolist()
    x_0_mse = term.x_0_mse.view(-1, draws).mean(1).tolist()
    rows = zip(tallies, bpd, eps_mse, x_0_mse, strict=True)
    ranged = unit == "bits/dim"
    return tuple(tally.add(stratum, b, e, x if ranged else None) for tally, b, e, x in rows)


def _plain_noise(info: ModelInfo, seed: int) -> Tensor:
    shape = (1, info.channels, info.size, info.size)
    levels = np.random.default_rng(seed).integers(0, 256, shape)
    return levels_to_unit(torch.from_numpy(levels))


def _shuffled(x_0: Tensor, seed: int) -> Tensor:
    """Shuffle the pixels of `x_0` (B, C, H, W); the channels of a pixel stay together."""
    order = np.random.default_rng(seed).permutation(x_0.shape[2] * x_0.shape[3])
    return x_0.flatten(2)[:, :, torch.from_numpy(order)].view_as(x_0)
