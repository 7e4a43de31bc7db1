"""The speed that a painting and a training job take from each other on one machine.

A real trainer, started as the worker starts it, is halted and continued in turns, so in each round
each works alone, then both at once. The measurement has a process of its own, because torch's
worker threads wait differently once torch has computed on other threads.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from app.errors import StudioError

if TYPE_CHECKING:
    from app.settings import Settings

WINDOW_SECONDS: Final = 6.0
PICTURES: Final = 64
SIDE: Final = 64
PATIENCE_SECONDS: Final = 120


@dataclass(frozen=True)
class Sharing:
    """The slowdowns by sharing, as medians over the rounds.

    Attributes:
        painting: A painting's time beside a training, divided by its time alone.
        training: The share of its own speed that the training keeps beside paintings.
    """

    painting: float
    training: float


def report(rounds: int) -> None:
    """Print how much a painting and a training slow each other down."""
    # A pool ends its process on the way out; the trainer then ends, for its stdin closes.
    with get_context("spawn").Pool(1) as pool:
        shared = pool.apply(measure, (rounds,))
    typer.echo(
        f"While a job trains, a painting takes {shared.painting:.2f} times as long; "
        f"while it paints, the job keeps {shared.training:.0%} of its speed."
    )


def measure(rounds: int) -> Sharing:
    """Train and paint with the default model, alone and together."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(rounds, Path(folder))


def _measure(rounds: int, data: Path) -> Sharing:
    from app.jobs.trainer_process import device_lock
    from app.locks import locked
    from app.painting.recipe import Recipe
    from app.settings import Settings
    from app.studio import Studio

    settings = Settings.from_environment().model_copy(update={"data_dir": data})
    studio = Studio(settings)
    fields = {"model": settings.default_model, "steps": 30, "pictures": 1, "precision": "fast"}
    recipe = Recipe.checked(fields | {"sampler": "ddpm"})

    def paint() -> float:
        began = time.perf_counter()
        for _ in studio.painter.films.stream(recipe):
            pass
        return time.perf_counter() - began

    paint()
    longer, slower = [], []
    with _trainer(settings, data) as trainer:
        for _ in range(rounds):
            with trainer.halted():
                alone = paint()
            speed = trainer.speed(lambda: time.sleep(WINDOW_SECONDS))
            paintings: list[float] = []
            with locked(device_lock(settings)):  # as a job's trainer does
                shared = trainer.speed(partial(_for_a_while, paint, paintings))
            longer.append(statistics.median(paintings) / alone)
            slower.append(shared / speed)
    return Sharing(statistics.median(longer), statistics.median(slower))


def _for_a_while(paint: Callable[[], float], seconds: list[float]) -> None:
    began = time.perf_counter()
    while time.perf_counter() - began < WINDOW_SECONDS:
        seconds.append(paint())


class _Trainer:
    """A running trainer."""

    def __init__(self, process: subprocess.Popen[bytes], metrics: Path) -> None:
        self._process = process
        self._metrics = metrics

    @property
    def steps(self) -> int:
        """The number of steps that the trainer has done."""
        return self._metrics.read_bytes().count(b"\n") if self._metrics.exists() else 0

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Halt the trainer inside the context."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def speed(self, meanwhile: Callable[[], object]) -> float:
        """Measure steps per second while `meanwhile` runs, from one step's end to another's."""
        first, began = self._next_step()
        meanwhile()
        last, ended = self._next_step()
        return (last - first) / (ended - began)

    def _next_step(self) -> tuple[int, float]:
        before, patience = self.steps, time.monotonic() + PATIENCE_SECONDS
        while self.steps == before:
            if self._process.poll() is not None or time.monotonic() > patience:
                raise StudioError("The training came to nothing.", "Try python -m app train.")
            time.sleep(0.005)
        return self.steps, time.perf_counter()


@contextmanager
def _trainer(settings: "Settings", folder: Path) -> Iterator[_Trainer]:
    """Run a trainer of the default model on pictures of noise inside the context."""
    import numpy as np
    from PIL import Image

    from app.jobs.trainer_process import thread_variables
    from app.settings import BUNDLED_MODELS, ROOT, environment_with

    random = np.random.default_rng(0)
    (folder / "data").mkdir()
    for i in range(PICTURES):
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "data" / f"{i}.png")
    config = folder / "config.json"
    fields = {
        "data": "data",
        "init": str(BUNDLED_MODELS / settings.default_model),
        "phases": [{"size": SIDE, "views": 10_000_000}],
        "sample_every": 0,
        "save_every": 100_000,
    }
    config.write_text(json.dumps(fields))
    out = folder / "run"
    command = ("train", "--config", config, "--out", out, "--until-stdin-closes")
    with subprocess.Popen(
        [sys.executable, "-m", "app", *command],
        cwd=ROOT,
        env=environment_with(thread_variables(settings)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield _Trainer(process, out / "metrics.jsonl")
        finally:
            process.kill()
