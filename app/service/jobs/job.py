"""What a person is told about a training job."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final


class State(StrEnum):
    """Where a job is; there are no others.

    QUEUED waits for its turn, SAVING was stopped and its trainer still writes, INTERRUPTED has
    lost its worker and goes on by itself when there is one again.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SAVING = "saving"
    DONE = "done"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


ENDED: Final = frozenset({State.DONE, State.STOPPED, State.FAILED})
"""Nothing is done about a job in one of these states until somebody asks."""

GOING: Final = frozenset({State.QUEUED, State.RUNNING, State.INTERRUPTED})
"""A job in one of these states has a worker's time, or will have it, with nobody asking."""


@dataclass(frozen=True)
class Job:
    """A job, at the moment that it was asked about.

    Attributes:
        id: Random; only its owner gets to know it.
        name: What its owner calls it.
        base_model: The id of the model that it begins with.
        set_id: The id of its pictures.
        created: When it was started, in seconds since 1970.
        state: Where it is.
        step: Steps done.
        total_steps: Steps of the whole run.
        saved_step: The step of its newest checkpoint and model; -1 before the first.
        pictures_per_second: At its last step; 0 before the first.
        seconds_left: At that speed; None where it isn't running.
        message: Why it failed; empty otherwise.
        hint: What to do about that.
        kept: Whether its owner wants it never to be offered for deletion.
        model_steps: The steps whose models can be painted with; the model after `step` steps has
            the id "ID-STEP".
    """

    id: str
    name: str
    base_model: str
    set_id: str
    created: float
    state: State
    step: int
    total_steps: int
    saved_step: int
    pictures_per_second: float
    seconds_left: float | None
    message: str
    hint: str
    kept: bool
    model_steps: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """A grid of pictures painted after `step` steps, from the same noise each time."""

    step: int
    path: Path
