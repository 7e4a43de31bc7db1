"""An estimate of a job's duration: a few real steps, timed in a process like a trainer's."""

import hashlib
import json
import statistics
import subprocess
import sys
import threading
import time
import timeit
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pydantic import TypeAdapter

from app import __version__
from app.datasets.folder import DecodedPictures
from app.datasets.labels import PictureLabels, unlabelled
from app.diffusion.conditioning import Condition
from app.diffusion.seeds import derived_seed
from app.errors import JobError, StudioError
from app.files import read_json, replace_json
from app.jobs.trainer_process import device_lock, thread_variables, training_threads
from app.locks import is_locked
from app.models.files import ModelFiles
from app.networks.devices import choose_device
from app.networks.machine import keep_freed_memory
from app.settings import ROOT, Settings, environment_with
from app.training.architecture import Architecture, InitialModel, load_initial_model
from app.training.batches import Examples, TrainingData, stored_size
from app.training.config import TrainConfig
from app.training.latents import LatentData
from app.training.progress import Deed, RunProgress
from app.training.trainer import TrainState, train
from app.training.validation import ROWS

TIMER: Final = ("-m", "app.jobs.estimate")
SECONDS: Final = 120
REST_SECONDS: Final = 600
"""The time after which what took too long is measured once more."""

MANY_VIEWS: Final = 10_000_000

TIMED: Final = frozenset(
    {"init", "latent", "batch_size", "accumulate", "objective", "immiscible", "crop_scale"}
    | {"ema_sigma_rels", "precision", "sample_count"}
)
"""The settings that a step's time depends on."""

STEPS: Final = 3
PICTURES: Final = 64
_NOISE: Final = 5


@dataclass(frozen=True)
class StepTime:
    """The time that a machine takes, in seconds.

    Attributes:
        step: The time of a training step.
        look: The time of one picture through the network, without training.
    """

    step: float
    look: float

    def seconds(self, config: TrainConfig) -> float:
        """Estimate the seconds of a whole run: its steps, held-out losses and sample grids."""
        return config.total_steps * self.step + looks(config) * self.look


def looks(config: TrainConfig, step: int | None = None) -> int:
    """Count the pictures through the network outside a run's steps: for losses and samples.

    With `step`, those that are left after what is due at that step.
    """
    steps, done, found = config.total_steps, step or 0, 0
    if config.held_out is not None or config.held_out_share is not None:
        measurements = (step is None) - (-steps // config.save_every) - done // config.save_every
        found += measurements * ROWS * (1 + len(config.ema_sigma_rels))
    if config.sample_every:
        grids = -(-steps // config.sample_every) - done // config.sample_every
        found += grids * config.sample_count * config.sample_steps
    return max(0, found)


LOOKS_A_VIEW: Final = 3
"""About how much longer a picture takes in a step, there and back, than through the network."""


def seconds_left(config: TrainConfig, step: int, speed: float, progress: RunProgress) -> float:
    """Estimate the seconds that a run takes from `step` on, at `speed` in pictures a second."""
    views = (config.total_steps - step) * config.batch_size
    left = float(looks(config, step))
    if progress.deed is Deed.PAINTING:
        left += (1 - progress.share) * config.sample_count * config.sample_steps
    return views / speed + left * (progress.look_seconds or 1 / (LOOKS_A_VIEW * speed))


class TrainingTimer:
    """A timer of training steps, which measures each pace once and keeps it in DATA/paces/."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data_dir / "paces"
        self._crowded: dict[Path, float] = {}
        self._lock = threading.Lock()

    def pace(self, config: TrainConfig) -> StepTime:
        """Return the time of a training step with `config`; measuring it takes some seconds.

        Raises:
            StudioError: If the model can't be used, or the time can't be measured, as beside
                another training.
        """
        asked = config.model_dump(mode="json", include=set(TIMED))
        kept = self._folder / f"{self._key(config, asked)}.json"
        with self._lock:  # two measurements at once would slow each other down
            if not kept.is_file():
                self._check_quiet(kept)
                phases = [{"size": config.sizes[-1], "views": MANY_VIEWS}]
                measured = self._measured(json.dumps(asked | {"data": "", "phases": phases}), kept)
                self._folder.mkdir(parents=True, exist_ok=True)
                replace_json(kept, asdict(measured))
            return TypeAdapter(StepTime).validate_python(read_json(kept))

    def _key(self, config: TrainConfig, asked: dict[str, Any]) -> str:
        """Name all that a step's time depends on; of the model, its network and not its weights."""
        folder, settings = Path(config.init or ""), self._settings
        network = ModelFiles(folder.name, folder).unet_config
        machine = (settings.machine_name, settings.device, training_threads(settings))
        parts = [
            asked | {"init": network},
            config.sizes[-1],
            machine,
            __version__,
            torch.__version__,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def _check_quiet(self, kept: Path) -> None:
        """Refuse to measure where others would slow it down, and it them."""
        if is_locked(device_lock(self._settings)):
            raise JobError(
                "How long that takes here is measured when no training goes on.",
                "Open Train again then.",
            )
        if time.monotonic() < self._crowded.get(kept, 0.0):
            raise _crowded()

    def _measured(self, asked: str, kept: Path) -> StepTime:
        variables = self._settings.variables() | thread_variables(self._settings)
        try:
            done = subprocess.run(
                [sys.executable, *TIMER],
                input=asked,
                capture_output=True,
                text=True,
                check=False,
                cwd=ROOT,
                env=environment_with(variables),
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            self._crowded[kept] = time.monotonic() + REST_SECONDS
            raise _crowded() from error
        if done.returncode:
            said = (done.stderr.splitlines() or ["it ended"])[-1]
            raise JobError(f"The speed can't be measured: {said}.", "Choose a smaller batch.")
        return StepTime(**json.loads(done.stdout))


def _crowded() -> JobError:
    return JobError(
        f"How long that takes here isn't known: four steps took more than {SECONDS} s.",
        "The machine has other work, or the model is large for it.",
    )


def measured_pace(config: TrainConfig, initial: InitialModel, device: torch.device) -> StepTime:
    """Train `initial` for a few steps as `config` says, on noise, and time them.

    Raises:
        StudioError: If `config` plans too few steps to time.
    """
    architecture, size = initial.architecture, config.sizes[-1]
    null_label = architecture.null_label
    labels = None if null_label is None else unlabelled(PICTURES, null_label)
    data = _noise(config, architecture, labels)
    if config.total_steps <= STEPS:
        raise StudioError(f"A run of {STEPS} steps is too short to time.", "Give it more views.")
    state = TrainState.new(initial, config, device)
    stream = train(config, architecture, state, data)
    next(stream)  # warms up
    step = statistics.median(timeit.repeat(lambda: next(stream), number=1, repeat=STEPS))
    side = size // architecture.factor
    x_t = torch.zeros(config.sample_count, architecture.channels, side, side)
    t = torch.zeros(config.sample_count, dtype=torch.int64)
    shown = Condition.of_label(null_label, config.sample_count)
    look = partial(state.forward, x_t, t, shown)
    with torch.no_grad():
        look()  # warms up
        seconds = statistics.median(timeit.repeat(look, number=1, repeat=STEPS))
    return StepTime(step, seconds / config.sample_count)


def _noise(
    config: TrainConfig, architecture: Architecture, labels: PictureLabels | None
) -> Examples:
    """Make PICTURES of noise to train on, or latents where a latent model is trained."""
    random, size = np.random.default_rng(derived_seed(_NOISE)), config.sizes[-1]
    names = tuple(map(str, range(PICTURES)))
    if config.latent is not None:
        side = size // architecture.factor
        latents = random.standard_normal((PICTURES, 2, architecture.channels, side, side))
        return LatentData(
            DecodedPictures(names, {}), {size: latents.astype(np.float16)}, 1.0, labels
        )
    stored = stored_size(size, config.crop_scale)
    shape = (PICTURES, stored, stored, architecture.channels)
    pixels = random.integers(0, 256, shape, dtype=np.uint8)
    return TrainingData(DecodedPictures(names, {stored: pixels}), labels)


def main() -> None:
    """Time the configuration on stdin, and print the StepTime as JSON."""
    keep_freed_memory()  # as `train` does
    config = TrainConfig.checked(json.load(sys.stdin))
    settings = Settings.from_environment()
    torch.set_num_threads(settings.threads)
    folder = Path(config.init or "")
    initial = load_initial_model(ModelFiles(folder.name, folder))
    pace = measured_pace(config, initial, choose_device(settings.device))
    print(json.dumps(asdict(pace)))  # noqa: T201 - read by the parent


if __name__ == "__main__":
    try:
        main()
    except StudioError as error:
        raise SystemExit(str(error)) from error
