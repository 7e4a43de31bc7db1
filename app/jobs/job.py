"""A training job as it is shown to a person: its state, its progress and its samples."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final


class JobState(StrEnum):
    """The state of a job.

    A QUEUED job waits for its turn, a SAVING one was stopped and its trainer is still writing, and
    an INTERRUPTED one has lost its worker and continues by itself when there is a new one.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SAVING = "saving"
    DONE = "done"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


ENDED: Final = frozenset({JobState.DONE, JobState.STOPPED, JobState.FAILED})
"""The states of a job that has ended: it goes on only if somebody asks for it."""

GOING: Final = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED})
"""The states of a job that a worker carries out, or will carry out without being asked."""


@dataclass(frozen=True)
class Job:
    """A job, as it was when it was read.

    Attributes:
        id: A random id that only the job's owner is told; what isn't listed is as in `Record`.
        state: The job's state.
        step: Steps done.
        saved_step: The step of the newest checkpoint and model; -1 before the first.
        pictures_per_second: The speed at the last step; 0 before the first.
        seconds_left: The time left at that speed, its samples and measurements included; None
            unless the job is running.
        message: Why the job failed; empty otherwise.
        hint: What to do about the failure.
        model_steps: The steps whose models can be painted with; the model after `step` steps has
            the id "ID-STEP".
        doing: What its trainer does besides its steps, in words; empty while it takes them.
    """

    id: str
    name: str
    base_model: str
    set_id: str
    created: float
    state: JobState
    step: int
    total_steps: int
    saved_step: int
    pictures_per_second: float
    seconds_left: float | None
    message: str
    hint: str
    kept: bool
    model_steps: tuple[int, ...]
    doing: str = ""

    @property
    def kept_step(self) -> int:
        """The step that the job goes on from: a living trainer's last, or else the saved one."""
        lives = self.state in {JobState.RUNNING, JobState.SAVING}
        return self.step if lives else min(self.step, max(0, self.saved_step))


@dataclass(frozen=True)
class SampleGrid:
    """A grid of pictures painted after `step` steps, from the same noise each time."""

    step: int
    path: Path
