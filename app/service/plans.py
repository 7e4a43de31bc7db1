"""What an evaluation is to paint: samplers, steps and counts, checked before any time is spent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.errors import StudioError
from app.service.models import ModelInfo
from app.service.moments import Moment
from app.service.painting import Painter
from app.service.pictures import Pixels
from app.service.recipe import MAX_PICTURES, Recipe
from app.training.features import require_style_network
from app.training.processes import Processes
from app.training.random_network import SMALLEST

LEAST: Final = 16
"""Pictures below which no figure of the panel means anything."""

MOST: Final = 100_000

Step = Callable[[], object]
"""Called after each step, for a progress bar."""


@dataclass(frozen=True)
class Plan:
    """A row of the table: which sampler, in how many steps, how many pictures."""

    sampler: str
    steps: int
    count: int


def parse_plan(text: str, count: int) -> Plan:
    """The plan that "sampler:steps" or "sampler:steps:count" stands for.

    Raises:
        StudioError: If it is neither, or the count is out of range.
    """
    name, *numbers = text.split(":")
    if not 1 <= len(numbers) <= 2 or not all(n.isdecimal() and len(n) < 10 for n in numbers):
        raise StudioError(
            f"{text!r} is no sampler and number of steps.",
            "Write it as sampler:steps or sampler:steps:count, for example ddim:50:1000.",
        )
    plan = Plan(name, int(numbers[0]), int(numbers[1]) if numbers[1:] else count)
    if not LEAST <= plan.count <= MOST:
        raise StudioError(
            f"{plan.count} samples can't be judged.", f"Choose from {LEAST} to {MOST:,}."
        )
    return plan


def require_judgeable(info: ModelInfo, *, style: bool) -> None:
    """See that a model's pictures can be judged here.

    Raises:
        StudioError: If they are too small, or the style network is to take part and is missing.
    """
    if info.size < SMALLEST:
        raise StudioError(
            f"{info.id} paints pictures of {info.size} px, which are too small to be judged.",
            f"The panel needs {SMALLEST} px.",
        )
    if style:
        require_style_network()


def recipes(
    painter: Painter, model_id: str, plan: Plan, *, seed: int, spacing: str, precision: str
) -> tuple[Recipe, ...]:
    """The runs that paint `plan`, a batch each; a model with classes takes them in turn.

    Raises:
        ModelError, RecipeError: If the model can't be used or can't paint the plan.
    """
    labels = len(painter.models.describe(model_id).labels)
    runs = []
    for batch, start in enumerate(range(0, plan.count, MAX_PICTURES)):
        wish = Recipe.checked(
            {
                "model": model_id,
                "sampler": plan.sampler,
                "steps": plan.steps,
                "spacing": spacing,
                "seed": seed + start,
                "pictures": min(MAX_PICTURES, plan.count - start),
                "precision": precision,
                "label": batch % labels if labels else None,
            }
        )
        # All are alike but for seed and label, which have just been checked.
        runs.append(painter.complete(wish) if batch == 0 else wish)
    return tuple(runs)


def paint_all(
    painter: Painter,
    runs: Sequence[Recipe],
    step: Step,
    processes: Processes | None = None,
) -> Pixels:
    """The finished pictures of `runs`, (N, S, S, 3), in their order.

    Args:
        painter: Paints them.
        runs: A batch each.
        step: Called after each moment that this process painted.
        processes: Those that share the work; each paints every n-th run, and all get the pictures.
    """
    processes = processes or Processes()
    own = range(processes.rank, len(runs), processes.count)
    finished = [(i, _painted(painter, runs[i], step)) for i in own]
    ordered = sorted(processes.gather_objects(finished), key=lambda numbered: numbered[0])
    return np.concatenate([pictures for _, pictures in ordered])


def _painted(painter: Painter, run: Recipe, step: Step) -> Pixels:
    for moment in painter.paint(run):
        step()
        if isinstance(moment, Moment) and moment.index == moment.total:
            finished = moment.x_t
    return finished
