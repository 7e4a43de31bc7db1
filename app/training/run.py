"""A run: a folder in which training happens, and from which it can be resumed.

config.json          every setting
architecture.json    the model without its weights
data.json            the data's fingerprint, and the pictures that were skipped and why
metrics.jsonl        a line for each step and each held-out loss
progress.json        what the run does besides its steps
checkpoints/<step>/  all that resuming takes; the newest few and the best
snapshots/<step>/    EMA weights in fp16, kept for good
samples/<step>.png   pictures that the model paints from noise that never changes
vqvae/               a latent model's autoencoder
exports/<step>/      the newest model; with `keep_models`, also those that painted the samples
model                a link to the newest model in exports/, for DDPMPipeline and the studio;
                     when the run is done, with the novelty index of its training pictures
"""

import json
import math
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from app.errors import StudioError
from app.files import TEMPORARY, remove, replace_file, replaced_folder, sync_folder
from app.images.encoding import png_bytes
from app.locks import locked_unless
from app.models.files import ModelFiles
from app.training import checkpoint
from app.training.architecture import Architecture, export_model
from app.training.checkpoint import write_tensors
from app.training.config import TrainConfig
from app.training.data import Decoded
from app.training.distributed import Processes
from app.training.latents import VQVAE
from app.training.novelty_index import index_model, stored_bottleneck
from app.training.progress import Deed, ProgressFile
from app.training.trainer import TrainState, TrainStep, objective_of, train
from app.training.validation import HeldOutLoss

CHECKPOINTS: Final = "checkpoints"


class MetricsLog:
    """The open metrics.jsonl of a run.

    Opening the log of a run that resumes after `step` steps drops the lines beyond that step and a
    line cut off in the middle, so that a resumed run leaves no gap and repeats nothing.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._file = path.open("ab")
        self._file.truncate(_length_up_to(path, step))

    def step(self, step: TrainStep) -> None:
        """Append the line of a training step."""
        self._add({"kind": "step", **asdict(step)})

    def held_out(self, step: int, weights: str, loss: HeldOutLoss) -> None:
        """Append the held-out loss after `step` steps; `weights` is "raw" or an EMA's name."""
        self._add({"kind": "held_out", "step": step, "weights": weights, **loss.figures})

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def _add(self, fields: dict[str, object]) -> None:
        self._file.write(json.dumps(fields).encode() + b"\n")
        self._file.flush()


def _length_up_to(path: Path, step: int) -> int:
    """Count the bytes of the leading lines that are whole and not beyond `step`."""
    length = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                break
            length += len(line)
    return length


@dataclass(eq=False)
class Run:
    """An opened run; `app.training.resume.open_run` makes one.

    Attributes:
        folder: The run's folder.
        config: The run's settings.
        architecture: The model without its weights.
        state: The weights and all that changes in training, at the step reached.
        decoded: The pictures that are trained and measured on.
        processes: The processes of the run.
        metrics: The open metrics log; None in every process but the first.
        is_stopping: Tells whether the caller is waiting for the run to stop.
    """

    folder: Path
    config: TrainConfig
    architecture: Architecture
    state: TrainState
    decoded: Decoded
    processes: Processes
    metrics: MetricsLog | None = None
    is_stopping: Callable[[], bool] = lambda: False

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / CHECKPOINTS

    def steps(self) -> Iterator[TrainStep]:
        """Train on from the step reached to the end of the run, a step for each `next`."""
        data = self.decoded.training
        return train(self.config, self.architecture, self.state, data, self.processes)

    def after(self, step: TrainStep) -> None:
        """Log a step, and save and paint what the settings make due after it.

        Raises:
            StudioError: If the loss or the gradient isn't finite, or the disk is full or fails.
        """
        if not (math.isfinite(step.loss) and math.isfinite(step.gradient_norm)):
            raise StudioError(
                f"The loss isn't finite at step {step.step}: the training has diverged.",
                "Lower learning_rate, and start again from the last checkpoint in a new run.",
            )
        if self.metrics is None:
            return
        with disk_errors(self.checkpoints):
            self.metrics.step(step)
            if self._is_last or step.step % self.config.save_every == 0:
                self.save(measure=True)
            self.show()

    def show(self) -> None:
        """Keep the snapshot and paint the samples due at this step, unless they exist already.

        Raises:
            StudioError: If the disk is full or fails.
        """
        step = self.state.step
        if self.metrics is None or step == 0:
            return
        with disk_errors(self.checkpoints):
            if _due(step, self.config.snapshot_every):
                self._snapshot()
            if self._is_last or _due(step, self.config.sample_every):
                self._sample()

    def save(self, *, measure: bool = False) -> None:
        """Write a checkpoint and the model; with `measure`, the held-out losses first.

        Raises:
            StudioError: If the disk is full or fails; earlier checkpoints are untouched.
        """
        if self.metrics is None:
            return
        with disk_errors(self.checkpoints):
            losses = self._measure() if measure else {}
            step = self.state.step
            summary = checkpoint.CheckpointState(step, step * self.config.batch_size, losses)
            self.metrics.sync()
            if losses:
                # A model or samples made before the measurement may have used a worse average.
                remove(self.folder / "exports" / f"{step:08d}")
                self._samples.unlink(missing_ok=True)
            with self._progress.during(Deed.SAVING):
                checkpoint.save(self.checkpoints, self.state, summary)
                checkpoint.prune(self.checkpoints, self.config.keep)
                self._export()

    def index(self) -> str:
        """Write the novelty index of the training pictures into the newest model's folder.

        Returns:
            Why there is no index, or "".

        Raises:
            StudioError: If the titles can't be read, or the disk is full or fails.
        """
        if self.config.stage is not None:
            return "a novelty index is a model's, not a second stage's"
        if self.config.autoencoder is not None:
            return "a novelty index is a model's, not an autoencoder's"
        if self.config.latent is not None:
            return "a novelty index is of pixels, not of latents"
        with disk_errors(self.checkpoints):
            folder = (self.folder / "model").resolve()
            return index_model(
                folder,
                stored_bottleneck(folder),
                self.architecture,
                self.decoded,
                weights=ModelFiles(self.folder.name, folder).weights_sha256,
                size=self.size,
                titles=self.config.titles,
            )

    @property
    def size(self) -> int:
        """The side in pixels of the pictures of the last step taken."""
        return self.config.size_at(max(0, self.state.step - 1))

    @property
    def is_unmeasured(self) -> bool:
        """Tell whether the newest checkpoint lacks held-out losses that are due at it."""
        states = checkpoint.saved(self.checkpoints)
        return bool(
            self.decoded.held_out
            and states
            and not states[-1].held_out
            and (self._is_last or states[-1].step % self.config.save_every == 0)
        )

    @cached_property
    def _progress(self) -> ProgressFile:
        return ProgressFile(self.folder)

    @property
    def _is_last(self) -> bool:
        return self.state.step == self.config.total_steps

    @property
    def _samples(self) -> Path:
        """The path of this step's samples, once they are painted."""
        return self.folder / "samples" / f"{self.state.step:08d}.png"

    def _measure(self) -> dict[str, float]:
        """Measure and log the held-out losses, and return the mean for each kind of weights.

        The result is empty if the run is to stop meanwhile: the losses are measured on resuming.
        """
        losses: dict[str, HeldOutLoss] = {}
        if self.metrics is None or not self.decoded.held_out:
            return {}
        objective = objective_of(self.architecture, self.config)
        held_out = self.decoded.held_out[self.size]
        with self._progress.during(Deed.MEASURING):
            # Before the first step every EMA equals the raw weights.
            for name in (checkpoint.RAW, *(self.state.emas if self.state.step else ())):
                weights = self.state.weights(name)
                loss = held_out.loss(self.state, weights, objective, self.is_stopping)
                if loss is None:
                    return {}
                losses[name] = loss
        for name, loss in losses.items():
            self.metrics.held_out(self.state.step, name, loss)
        return {name: loss.mean for name, loss in losses.items()}

    def _best_ema(self) -> str:
        """Name the EMA with the least held-out loss at the last measurement, or else the first."""
        measured = [s for s in checkpoint.saved(self.checkpoints) if set(s.held_out) > {"raw"}]
        if not measured:
            return self.config.ema_names[0]
        newest = measured[-1].held_out
        return min(self.config.ema_names, key=lambda name: newest[name])

    def _export(self) -> None:
        folder = self.folder / "exports" / f"{self.state.step:08d}"
        if not folder.is_dir():
            weights = self.state.weights(self._best_ema())
            vqvae = self.folder / VQVAE if self.config.latent else None
            export_model(folder, self.architecture, weights, size=self.size, autoencoder=vqvae)
        _replace_model(self.folder / "model", folder, self._painters())

    def _painters(self) -> frozenset[str]:
        """Name the exported models that are kept for the samples that they painted."""
        if not self.config.keep_models:
            return frozenset()
        return frozenset(path.stem for path in (self.folder / "samples").glob("[0-9]*.png"))

    def _snapshot(self) -> None:
        folder = self.folder / "snapshots" / f"{self.state.step:08d}"
        if folder.is_dir():
            return
        with replaced_folder(folder) as temporary:
            for name in self.state.emas:
                half = {n: w.half() for n, w in self.state.weights(name).items()}
                write_tensors(temporary / f"{name}.safetensors", half)

    def _sample(self) -> None:
        if self._samples.is_file():
            return
        weights = self.state.weights(self._best_ema())
        with self._progress.during(Deed.PAINTING):
            grid = self.decoded.paint(
                self.config,
                self.architecture,
                self.state,
                weights,
                self.size,
                goes_on=self._goes_on,
            )
        if grid is None:
            return
        self._samples.parent.mkdir(exist_ok=True)
        replace_file(self._samples, png_bytes(grid))

    def _goes_on(self, looks: int, total: int) -> bool:
        """Tell how far a grid is, and whether to finish it: if not, that is done on resuming."""
        self._progress.painted(looks, total)
        return self._is_last or not self.is_stopping()


def _replace_model(link: Path, target: Path, kept: Collection[str]) -> None:
    """Point the link `link` at the folder `target`, beside or below the link, in one step.

    A folder can't replace another in one step, but a link can. Anything else beside `target` is
    removed, except the names in `kept`.
    """
    temporary = link.with_name(TEMPORARY + link.name)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.relative_to(link.parent), target_is_directory=True)
    os.replace(temporary, link)
    sync_folder(link.parent)
    for other in target.parent.iterdir():
        if other.name != target.name and other.name not in kept:
            remove(other)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


@contextmanager
def disk_errors(checkpoints: Path) -> Iterator[None]:
    """Turn a disk error into a StudioError that says from which step the run can go on."""
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
def held(folder: Path) -> Iterator[None]:
    """Lock the run in `folder`, so that no second process trains in it.

    Raises:
        StudioError: If another process holds the run already.
    """
    with locked_unless(folder / "lock", lambda: True) as file:
        if file is None:
            raise StudioError(
                f"Another process is training in {folder}.", "Wait for it, or stop it first."
            )
        yield
