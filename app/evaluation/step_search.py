"""Search for a few steps, each with its t and its eta, whose samples come nearest to paintings.

Every candidate paints the same seeds (common random numbers), so that what differs is the steps. A
list of steps is described by a few numbers: how densely the steps lie along log-SNR, where the last
of them is, and eta, the two curves each by its values at KNOTS places. The first step is at T.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from app.diffusion.reverse import spaced_timesteps
from app.diffusion.samplers.registry import WITH_ETA
from app.diffusion.schedule import NoiseSchedule, paper_t
from app.errors import StudioError
from app.evaluation.evaluator import EvaluationPlan, Step, paint_all, recipes
from app.evaluation.evolution import Evolution
from app.evaluation.quick_distances import QuickJudge, Score
from app.images.arrays import Floats
from app.models.loading import LoadedModel
from app.models.step_schedules import MAX_STEP_ETA, MAX_STEP_LIST, StepSchedule
from app.painting.painter import Painter

KNOTS: Final = 8

SIGMA: Final = 0.3
"""The first candidates' deviation in each number: of log-density, of log-SNR, and of eta."""

FIRST_ETAS: Final = (0.0, 0.5, 1.0)
"""The etas of the lists that are measured before the search, of which it starts from the best."""

ETA_DIGITS: Final = 3


@dataclass(frozen=True)
class Steps:
    """A list of steps.

    Attributes:
        step_t: The paper's t at which each begins, strictly falling from T.
        step_eta: Each one's eta.
    """

    step_t: tuple[int, ...]
    step_eta: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StepSpace:
    """The lists of `count` steps with a noise schedule, each of 2 KNOTS + 1 numbers.

    Raises:
        StudioError: If the count is out of range.
    """

    schedule: NoiseSchedule
    count: int

    def __post_init__(self) -> None:
        most = min(MAX_STEP_LIST, self.schedule.num_train_timesteps)
        if not 2 <= self.count <= most:
            raise StudioError(
                f"{self.count} steps can't be searched for.", f"Choose from 2 to {most}."
            )

    @property
    def _levels(self) -> Floats:
        """Half the log-SNR at the paper's t = 1, ..., T: (T,), falling."""
        alpha_bar = self.schedule.alphas_cumprod.double().numpy()
        return np.asarray(np.log(alpha_bar / (1 - alpha_bar)) / 2)

    def steps(self, numbers: Floats) -> Steps:
        """Return the list that `numbers` (2 KNOTS + 1,) describe."""
        levels, n = self._levels, self.count
        density, end, etas = numbers[:KNOTS], numbers[KNOTS], numbers[KNOTS + 1 :]
        knots = np.linspace(0, 1, KNOTS)
        gaps = np.exp(-np.interp((np.arange(n - 1) + 0.5) / (n - 1), knots, density))
        places = np.concatenate([[0.0], np.cumsum(gaps) / gaps.sum()])
        last = np.clip(levels[0] - abs(end), levels[-1], levels[0])
        wanted = levels[-1] + places * (last - levels[-1])
        t = np.rint(np.interp(wanted, levels[::-1], np.arange(len(levels), 0, -1))).astype(int)
        # Whole numbers that fall: none as large as the one before, and room for those that follow.
        for i in range(1, n):
            t[i] = min(t[i], t[i - 1] - 1)
        t = np.maximum(t, np.arange(n, 0, -1))
        eta = np.interp(np.linspace(0, 1, n), knots, etas).clip(0, MAX_STEP_ETA)
        eta[-1] = 0  # The last step gives x_0_hat, whatever its eta.
        return Steps(tuple(t.tolist()), tuple(np.round(eta, ETA_DIGITS).tolist()))

    def numbers(self, step_t: Floats, eta: float) -> Floats:
        """Return the numbers (2 KNOTS + 1,) of a list like `step_t` (count,) with one `eta`."""
        levels, n = self._levels, self.count
        at = np.interp(step_t, np.arange(1, len(levels) + 1), levels)
        knots = np.linspace(0, 1, KNOTS)
        density = -np.log(np.maximum(np.diff(at), 1e-6))
        density = np.interp(knots, (np.arange(n - 1) + 0.5) / (n - 1), density)
        end = levels[0] - at[-1]
        return np.concatenate([density - density.mean(), [end], np.full(KNOTS, eta)])

    def first(self) -> list[Floats]:
        """List the numbers from which a search may start: three grids, each with FIRST_ETAS."""
        total, levels = self.schedule.num_train_timesteps, self._levels
        even_t = np.array([*map(paper_t, spaced_timesteps(self.count, total).tolist())], float)
        ends = np.interp(even_t[[0, -1]], np.arange(1, total + 1), levels)
        along = np.linspace(ends[0], ends[1], self.count)
        even_level = np.interp(along, levels[::-1], np.arange(total, 0, -1))
        grids = (even_t, np.asarray((even_t + even_level) / 2), np.asarray(even_level))
        return [self.numbers(grid, eta) for grid in grids for eta in FIRST_ETAS]


@dataclass(frozen=True)
class ScoredSteps:
    """A list of steps and its score."""

    steps: Steps
    score: Score


@dataclass(frozen=True, eq=False)
class SearchState:
    """A search after some rounds.

    Attributes:
        evolution: From what the next candidates are drawn.
        best: The best list of all rounds.
        latest: The best of the last round.
    """

    evolution: Evolution
    best: ScoredSteps
    latest: ScoredSteps

    @property
    def rounds(self) -> int:
        """How many rounds there were after the first lists."""
        return self.evolution.generation

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON's values."""
        vectors = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self.evolution).items()
        }
        return {"evolution": vectors, "best": asdict(self.best), "latest": asdict(self.latest)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            StudioError: If it is damaged.
        """
        try:
            read = _StateFields.model_validate(table)
        except ValidationError as error:
            raise StudioError(
                "The search's state is damaged.", "Take the file away, and search from the start."
            ) from error
        it = read.evolution
        evolution = Evolution(
            np.array(it.mean),
            it.sigma,
            np.array(it.variances),
            np.array(it.path),
            np.array(it.sigma_path),
            it.generation,
        )
        return cls(evolution, read.best.found, read.latest.found)


@dataclass(frozen=True, eq=False)
class Trials:
    """Paints the same seeds by any steps, and scores the samples.

    Attributes:
        painter: Paints the samples.
        model: The model.
        judge: Scores them.
        count: How many.
        seed: Picture i draws from seed + i.
        precision: The samples' precision.
        step: Called after each moment of each batch.
    """

    painter: Painter
    model: LoadedModel
    judge: QuickJudge
    count: int
    seed: int
    precision: str
    step: Step

    def schedule(self, steps: Steps, name: str = "candidate") -> StepSchedule:
        """Return `steps` as a schedule of the model."""
        of = self.model.weights
        return StepSchedule(name, WITH_ETA.name, steps.step_t, steps.step_eta, of)

    def measure(self, steps: Steps) -> Score:
        """Score the samples of a list of steps."""
        return self.score(EvaluationPlan.of(self.schedule(steps), self.count))

    def score(self, plan: EvaluationPlan) -> Score:
        """Score the samples of a plan."""
        runs = recipes(
            self.painter,
            self.model.info.id,
            plan,
            seed=self.seed,
            spacing="trailing",
            precision=self.precision,
        )
        return self.judge.score(paint_all(self.painter, runs, self.step))


Measure = Callable[[Steps], Score]
"""Paints the samples of a list of steps, and scores them."""


def begin(space: StepSpace, measure: Measure) -> SearchState:
    """Measure the lists from which a search may start, and start from the best of them."""
    tried = [(numbers, space.steps(numbers)) for numbers in space.first()]
    scored = [(numbers, ScoredSteps(steps, measure(steps))) for numbers, steps in tried]
    numbers, best = min(scored, key=lambda it: it[1].score.total)
    return SearchState(Evolution.starting(numbers, SIGMA), best, best)


def next_round(
    space: StepSpace, measure: Measure, state: SearchState, *, seed: int = 0
) -> SearchState:
    """Measure a round's candidates, which follow from `seed` and the state alone."""
    candidates = state.evolution.candidates(seed)
    found = [ScoredSteps(steps, measure(steps)) for steps in map(space.steps, candidates)]
    latest = min(found, key=lambda it: it.score.total)
    return SearchState(
        state.evolution.after(candidates, [it.score.total for it in found]),
        best=min(state.best, latest, key=lambda it: it.score.total),
        latest=latest,
    )


class _StateFields(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    class Vectors(BaseModel):
        mean: list[float]
        sigma: float
        variances: list[float]
        path: list[float]
        sigma_path: list[float]
        generation: int

    class Scored(BaseModel):
        class Listed(BaseModel):
            step_t: tuple[int, ...]
            step_eta: tuple[float, ...]

        class Parts(BaseModel):
            parts: dict[str, float]

        steps: Listed
        score: Parts

        @property
        def found(self) -> ScoredSteps:
            return ScoredSteps(Steps(**dict(self.steps)), Score(self.score.parts))

    evolution: Vectors
    best: Scored
    latest: Scored
