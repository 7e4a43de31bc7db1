"""The course of a run: which size each step has, and its learning rate."""

from dataclasses import dataclass
from itertools import accumulate

from app.training.config import TrainConfig


@dataclass(frozen=True)
class Course:
    """What `config` plans for each step, counted from 0."""

    config: TrainConfig

    @property
    def steps_by_phase(self) -> tuple[int, ...]:
        """The steps of each phase: its views divided by the batch size, rounded up."""
        return tuple(-(-phase.views // self.config.batch_size) for phase in self.config.phases)

    @property
    def total_steps(self) -> int:
        """The steps of the whole run."""
        return sum(self.steps_by_phase)

    def size(self, step: int) -> int:
        """The side of the pictures of `step`, in pixels.

        Raises:
            IndexError: If the run has no such step.
        """
        if not 0 <= step < self.total_steps:
            raise IndexError(f"the run has steps 0 to {self.total_steps - 1}, not {step}")
        ends = accumulate(self.steps_by_phase)
        phases = zip(self.config.phases, ends, strict=True)
        return next(phase.size for phase, end in phases if step < end)

    def agrees(self, other: "Course", steps: int) -> bool:
        """Whether `other` has the same first `steps` steps."""
        return min(self.total_steps, other.total_steps) >= steps and all(
            self.size(step) == other.size(step)
            and self.learning_rate(step) == other.learning_rate(step)
            for step in range(steps)
        )

    def learning_rate(self, step: int) -> float:
        """Rises linearly to its constant value, then falls linearly to nearly 0 at the end.

        The last step has 1 / (n + 1) of the constant value, where n steps decay.
        """
        config = self.config
        rising = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
        decaying = round(config.decay_share * self.total_steps)
        falling = min(1.0, (self.total_steps - step) / (decaying + 1))
        return config.learning_rate * min(rising, falling)
