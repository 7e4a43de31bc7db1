"""How long a job will take here: a few real steps, timed in a process like a trainer's."""

import json
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch

from app.engine.allocator import keep_freed_memory
from app.engine.devices import choose_device
from app.errors import JobError, StudioError
from app.service.jobs.trainer import thread_variables
from app.service.model_files import ModelFiles
from app.service.trainees import load_trainee
from app.settings import ROOT, Settings, environment_with
from app.training.config import TrainConfig
from app.training.pace import Pace, measured_pace

TIMER: Final = ("-m", "app.service.jobs.pace")
SECONDS: Final = 120
MANY_VIEWS: Final = 10_000_000
MAX_KEPT: Final = 32

TIMED: Final = frozenset(
    {"init", "batch_size", "accumulate", "objective", "immiscible", "crop_scale"}
    | {"ema_sigma_rels", "precision", "sample_count"}
)
"""The settings that a step's time depends on."""


class Stopwatch:
    """The paces measured so far, each once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._paces: OrderedDict[str, Pace] = OrderedDict()
        self._lock = threading.Lock()

    def pace(self, config: TrainConfig) -> Pace:
        """How fast a trainer here carries out `config`; the first time it takes some seconds.

        Raises:
            JobError: If it can't be measured.
        """
        asked = config.model_dump_json(include=set(TIMED))
        with self._lock:  # two at once would each measure the other, too
            if asked not in self._paces:
                phases = [{"size": config.sizes[-1], "views": MANY_VIEWS}]
                fields = json.loads(asked) | {"data": "", "phases": phases}
                self._paces[asked] = self._measured(json.dumps(fields))
                if len(self._paces) > MAX_KEPT:
                    self._paces.popitem(last=False)
            self._paces.move_to_end(asked)
            return self._paces[asked]

    def _measured(self, asked: str) -> Pace:
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
            raise JobError(
                f"Four steps took more than {SECONDS} s.", "Choose a smaller batch or model."
            ) from error
        if done.returncode:
            said = (done.stderr.splitlines() or ["it ended"])[-1]
            raise JobError(f"The speed can't be measured: {said}.", "Choose a smaller batch.")
        return Pace(**json.loads(done.stdout))


def main() -> None:
    """Time the configuration on stdin; the answer is a Pace on stdout."""
    keep_freed_memory()  # as `train` does
    config = TrainConfig.checked(json.load(sys.stdin))
    settings = Settings.from_environment()
    torch.set_num_threads(settings.threads)
    folder = Path(config.init or "")
    trainee = load_trainee(ModelFiles(folder.name, folder))
    pace = measured_pace(config, trainee, choose_device(settings.device))
    print(json.dumps(asdict(pace)))  # noqa: T201 - read by the parent


if __name__ == "__main__":
    try:
        main()
    except StudioError as error:
        raise SystemExit(str(error)) from error
