"""Lists of steps, each with its t and its eta, as schedules.json and recipes have them."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from app.diffusion.samplers.registry import SAMPLER_KINDS, WITH_ETA
from app.diffusion.schedule import MAX_T
from app.errors import RecipeError
from app.files import replace_file
from app.models.fields import ConfigFields

STEP_SCHEDULES: Final = "schedules.json"
"""The file beside a model with steps that were searched for: fewer, and as good."""

MAX_STEP_LIST: Final = 100
MAX_STEP_ETA: Final = 2
MAX_SCHEDULES: Final = 20

StepT = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_T)], ...],
    Field(strict=False, min_length=1, max_length=MAX_STEP_LIST),
]
"""The paper's t at which each step begins, strictly falling; a call's list is taken for a tuple."""

StepEta = Annotated[
    tuple[Annotated[float, Field(ge=0, le=MAX_STEP_ETA, allow_inf_nan=False)], ...],
    Field(strict=False, min_length=1, max_length=MAX_STEP_LIST),
]
"""Each step's eta."""


def check_steps(sampler: str, step_t: Sequence[int], step_eta: Sequence[float]) -> None:
    """Check that a sampler, if it is known, can take steps as two lists say.

    Raises:
        ValueError: If it can't.
    """
    kind = SAMPLER_KINDS.get(sampler)
    if kind and not kind.step_eta:
        raise ValueError(
            f"step_t and step_eta are for {WITH_ETA.name}, and the sampler is {sampler}"
        )
    if len(step_t) != len(step_eta):
        raise ValueError(
            f"step_t has {len(step_t)} entries and step_eta {len(step_eta)}; each step has one of "
            "both"
        )
    if any(t <= s for t, s in pairwise(step_t)):
        raise ValueError("step_t doesn't fall from step to step; write the largest t first")


SCHEDULE_NAME: Final = r"^\w[\w .-]*$"
MAX_SCHEDULE_NAME: Final = 40


@dataclass(frozen=True)
class StepSchedule:
    """Steps that were searched for, each with its t and its eta.

    Attributes:
        name: What they are called.
        sampler: The sampler that takes them.
        step_t: The paper's t at which each begins, strictly falling.
        step_eta: Each one's eta.
        weights: sha256 of the weights that they were searched for.
    """

    name: str
    sampler: str
    step_t: tuple[int, ...]
    step_eta: tuple[float, ...]
    weights: str

    @property
    def steps(self) -> int:
        """Their number."""
        return len(self.step_t)

    @property
    def wish(self) -> dict[str, Any]:
        """The fields by which a recipe asks for them."""
        return {
            "sampler": self.sampler,
            "steps": self.steps,
            "step_t": self.step_t,
            "step_eta": self.step_eta,
        }


class StepScheduleFields(ConfigFields):
    """Fields of an entry of a schedules.json; the lists are those of recipes."""

    name: str = Field(pattern=SCHEDULE_NAME, max_length=MAX_SCHEDULE_NAME)
    sampler: str
    step_t: StepT
    step_eta: StepEta
    weights: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _can_be_taken(self) -> Self:
        if self.sampler not in SAMPLER_KINDS:
            raise ValueError(f"there is no sampler {self.sampler!r}")
        check_steps(self.sampler, self.step_t, self.step_eta)
        return self


class SchedulesFields(ConfigFields):
    """The field of a schedules.json, whose entries have different names."""

    schedules: list[StepScheduleFields] = Field(max_length=MAX_SCHEDULES)

    @model_validator(mode="after")
    def _has_names(self) -> Self:
        if len({it.name for it in self.schedules}) < len(self.schedules):
            raise ValueError("two schedules have the same name")
        return self

    @property
    def read(self) -> tuple[StepSchedule, ...]:
        """The entries, in order."""
        return tuple(StepSchedule(**dict(it)) for it in self.schedules)


def check_schedule_name(name: str) -> None:
    """Check that a schedule can be called so.

    Raises:
        RecipeError: If it can't.
    """
    if not re.match(SCHEDULE_NAME, name) or len(name) > MAX_SCHEDULE_NAME:
        raise RecipeError(
            f"A schedule can't be called {name!r}.",
            f"Use letters, digits, spaces, dots and hyphens, at most {MAX_SCHEDULE_NAME}.",
        )


def save_schedule(
    folder: Path, schedule: StepSchedule, others: Sequence[StepSchedule] = ()
) -> Path:
    """Write a model folder's schedules.json: `schedule`, and the `others` of another name."""
    kept = [it for it in others if it.name != schedule.name]
    written = {"schedules": [asdict(it) for it in (*kept, schedule)]}
    replace_file(folder / STEP_SCHEDULES, json.dumps(written, indent=1).encode() + b"\n")
    return folder / STEP_SCHEDULES
