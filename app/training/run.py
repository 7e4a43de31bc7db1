"""A run: a folder that training happens in, and can be resumed from.

config.json          every setting
architecture.json    the model without its weights
data.json            the data's fingerprint, and the pictures that were skipped and why
metrics.jsonl        a line for each step and each held-out loss
checkpoints/<step>/  all that it takes to go on; the newest few and the best
snapshots/<step>/    EMA weights in fp16, kept for good
samples/<step>.png   what the model paints from noise that never changes
exports/<step>/      the newest model; with `keep_models`, also those that painted the samples
model                a link to the newest model in exports/, for DDPMPipeline and the studio;
                     when the run is done, with the novelty index of what it was trained on
"""

import fcntl
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from app.errors import StudioError
from app.training import checkpoint
from app.training.config import TrainConfig
from app.training.course import Course
from app.training.export import export_model, replace_model
from app.training.files import remove, replace_file, replaced_folder
from app.training.held_out import HeldOutLoss
from app.training.indexing import StoredNetwork, index_model
from app.training.journal import Journal
from app.training.material import Decoded
from app.training.processes import Processes
from app.training.samples import WeightsDenoiser, png, sample_grid
from app.training.tensors import write_tensors
from app.training.trainee import Architecture
from app.training.trainer import Forward, Learner, TrainStep, objective_of, train

CHECKPOINTS: Final = "checkpoints"


@dataclass(eq=False)
class Run:
    """An opened run; `app.training.opening.open_run` makes one.

    Attributes:
        folder: Where it is kept.
        config: Its settings.
        architecture: The model without its weights.
        learner: The model with them, at the step that the run has reached.
        decoded: What is trained and measured on.
        processes: The processes of the run.
        journal: The open file; None in every process but the first.
        is_stopping: Whether whoever trains is about to stop, and waits for it.
    """

    folder: Path
    config: TrainConfig
    architecture: Architecture
    learner: Learner
    decoded: Decoded
    processes: Processes
    journal: Journal | None = None
    is_stopping: Callable[[], bool] = lambda: False

    @property
    def course(self) -> Course:
        """Its plan."""
        return Course(self.config)

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / CHECKPOINTS

    def steps(self) -> Iterator[TrainStep]:
        """Train on from where the run is, to its end."""
        return train(
            self.config,
            self.architecture,
            self.learner,
            self.decoded.material,
            self.processes,
        )

    def after(self, step: TrainStep) -> None:
        """Keep what the run's settings say is kept after this step.

        Raises:
            StudioError: If the loss is no number any more, or the disk takes no more.
        """
        if not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm)):
            raise StudioError(
                f"The loss isn't finite at step {step.step}: the training has diverged.",
                "Lower learning_rate, and start again from the last checkpoint in a new run.",
            )
        if self.journal is None:
            return
        with disk_errors(self.checkpoints):
            self.journal.step(step)
            if self._is_last or step.step % self.config.save_every == 0:
                self.save(measure=True)
            self.show()

    def show(self) -> None:
        """Keep the snapshot and paint the samples that are due at this step, where they lack.

        Raises:
            StudioError: If the disk takes no more.
        """
        step = self.learner.step
        if self.journal is None or step == 0:
            return
        with disk_errors(self.checkpoints):
            if _due(step, self.config.snapshot_every):
                self._snapshot()
            if self._is_last or _due(step, self.config.sample_every):
                self._sample()

    def save(self, *, measure: bool = False) -> None:
        """Write a checkpoint and the model; with `measure`, the held-out losses first.

        Raises:
            StudioError: If the disk takes no more; earlier checkpoints are untouched.
        """
        if self.journal is None:
            return
        with disk_errors(self.checkpoints):
            losses = self._measure() if measure else {}
            step = self.learner.step
            state = checkpoint.State(step, step * self.config.batch_size, losses)
            self.journal.sync()
            if losses:
                # What was exported and painted before it was measured may be of the lesser average.
                remove(self.folder / "exports" / f"{step:08d}")
                self._samples.unlink(missing_ok=True)
            checkpoint.save(self.checkpoints, self.learner, state)
            checkpoint.prune(self.checkpoints, self.config.keep)
            self._export()

    def index(self) -> str:
        """Write the novelty index of what was trained on beside the newest model.

        Returns:
            Why there is none, or nothing.

        Raises:
            StudioError: If the titles can't be read, or the disk takes no more.
        """
        titles = self.config.titles
        with disk_errors(self.checkpoints):
            folder = (self.folder / "model").resolve()
            return index_model(
                folder,
                StoredNetwork(folder),
                self.architecture,
                self.decoded,
                size=self.size,
                titles=None if titles is None else Path(titles),
            )

    @property
    def size(self) -> int:
        """The side of the pictures of the step that was last taken."""
        return self.course.size(max(0, self.learner.step - 1))

    @property
    def is_unmeasured(self) -> bool:
        """Whether the held-out losses are due at the newest checkpoint, and it has none."""
        states = checkpoint.saved(self.checkpoints)
        return bool(
            self.decoded.held_out
            and states
            and not states[-1].held_out
            and (self._is_last or states[-1].step % self.config.save_every == 0)
        )

    @property
    def _is_last(self) -> bool:
        return self.learner.step == self.course.total_steps

    @property
    def _samples(self) -> Path:
        """Where the samples of this step are, once they are painted."""
        return self.folder / "samples" / f"{self.learner.step:08d}.png"

    def _measure(self) -> dict[str, float]:
        """The mean held-out loss by weights, written to the metrics quarter by quarter.

        Empty if the run is to stop meanwhile: it is measured when it goes on.
        """
        losses: dict[str, HeldOutLoss] = {}
        if self.journal is None or not self.decoded.held_out:
            return {}
        forward = Forward.chosen(self.config, self.learner.device)
        aim = objective_of(self.architecture, self.config)
        held_out = self.decoded.held_out[self.size]
        # Before the first step all weights are one.
        names = (checkpoint.RAW, *(self.learner.emas if self.learner.step else ()))
        for name in names:
            weights = self.learner.weights(name)
            loss = held_out.loss(forward, self.learner, weights, aim, self.is_stopping)
            if loss is None:
                return {}
            losses[name] = loss
        for name, loss in losses.items():
            self.journal.held_out(self.learner.step, name, loss)
        return {name: loss.mean for name, loss in losses.items()}

    def _best_ema(self) -> str:
        """The EMA with the least held-out loss when that was last measured; else the first."""
        measured = [s for s in checkpoint.saved(self.checkpoints) if set(s.held_out) > {"raw"}]
        if not measured:
            return self.config.ema_names[0]
        newest = measured[-1].held_out
        return min(self.config.ema_names, key=lambda name: newest[name])

    def _export(self) -> None:
        folder = self.folder / "exports" / f"{self.learner.step:08d}"
        if not folder.is_dir():
            weights = self.learner.weights(self._best_ema())
            export_model(folder, self.architecture, weights, size=self.size)
        replace_model(self.folder / "model", folder, self._painters())

    def _painters(self) -> frozenset[str]:
        """The names of the exported models that are kept for the samples that they painted."""
        if not self.config.keep_models:
            return frozenset()
        return frozenset(path.stem for path in (self.folder / "samples").glob("[0-9]*.png"))

    def _snapshot(self) -> None:
        folder = self.folder / "snapshots" / f"{self.learner.step:08d}"
        if folder.is_dir():
            return
        with replaced_folder(folder) as temporary:
            for name in self.learner.emas:
                half = {n: w.half() for n, w in self.learner.weights(name).items()}
                write_tensors(temporary / f"{name}.safetensors", half)

    def _sample(self) -> None:
        if self._samples.is_file():
            return
        forward = Forward.chosen(self.config, self.learner.device)
        weights = self.learner.weights(self._best_ema())
        denoiser = WeightsDenoiser(self.learner, weights, forward, self.architecture)
        image = sample_grid(self.config, denoiser, self.size)
        self._samples.parent.mkdir(exist_ok=True)
        replace_file(self._samples, png(image))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


@contextmanager
def disk_errors(checkpoints: Path) -> Iterator[None]:
    """Turn an error of the disk into a StudioError that says where the run can go on from."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        states = checkpoint.saved(checkpoints)
        there = f"step {states[-1].step}" if states else "the beginning"
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StudioError(
            f"The run can't be written to the disk: {why}.",
            f"Mend that, then resume it: it goes on from {there}.",
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run, so that no second process trains in it.

    Raises:
        StudioError: If another process does already.
    """
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudioError(
                f"Another process is training in {folder}.", "Wait for it, or stop it first."
            ) from error
        yield
