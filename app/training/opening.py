"""Opening a run: checks before any time is spent, then the data, then the last checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch
from torch import nn

from app.errors import StudioError
from app.training import checkpoint
from app.training.config import PLAN, TrainConfig, read_fields
from app.training.course import Course
from app.training.files import read_json, replace_file, replace_json, sweep
from app.training.journal import Journal
from app.training.labels import Classes
from app.training.material import Counter, Found, decode_all, find
from app.training.processes import Processes
from app.training.run import CHECKPOINTS, Run, disk_errors, locked
from app.training.trainee import (
    Trainee,
    as_fields,
    check_architecture,
    from_fields,
    new_trainee,
)
from app.training.trainer import Learner

CONFIG: Final = "config.json"
ARCHITECTURE: Final = "architecture.json"
DATA: Final = "data.json"
FOLDERS: Final = (CHECKPOINTS, "snapshots", "samples", "exports")

Load = Callable[[str], Trainee]
"""Loads the model that `init` names."""


@contextmanager
def open_run(
    config: TrainConfig,
    folder: Path,
    *,
    load_init: Load,
    processes: Processes | None = None,
    device: torch.device | None = None,
    counter: Counter = lambda total: lambda: None,
) -> Iterator[Run]:
    """The run in `folder`, begun or resumed, held until the context ends.

    Args:
        config: Its settings; on resuming they must be the run's.
        folder: Where it is kept.
        load_init: Loads the model that `config.init` names.
        processes: The processes of the run.
        device: Where the network is.
        counter: Counts pictures as they are decoded.

    Raises:
        StudioError: If the settings, the data, the model or the folder don't fit together.
    """
    processes = processes or Processes()
    _check_shares(config, processes)
    found, resuming = find(config), _is_run(folder, config)
    trainee = None if resuming else _begun(config, found.classes, load_init)
    if processes.first:
        with disk_errors(folder / CHECKPOINTS):
            folder.mkdir(parents=True, exist_ok=True)
    processes.wait()
    with locked(folder) if processes.first else nullcontext():
        states = checkpoint.saved(folder / CHECKPOINTS)
        if resuming:
            _check_same(folder, config, found, states[-1].step if states else 0)
        if states:
            trainee = _resumed(folder, config, found.classes)
        trainee = trainee or _begun(config, found.classes, load_init)
        learner = Learner.new(trainee, config, device or torch.device("cpu"))
        if states:
            checkpoint.load(folder / CHECKPOINTS, states[-1].step, learner)
        cache = folder / "cache" / str(processes.rank)
        with disk_errors(folder / CHECKPOINTS):
            decoded = decode_all(config, found, trainee.architecture, cache, counter)
        run = Run(folder, config, trainee.architecture, learner, decoded, processes)
        processes.wait()
        try:
            if processes.first:
                with disk_errors(folder / CHECKPOINTS):
                    _begin(run, found, resumed=bool(states))
            yield run
        finally:
            if run.journal is not None:
                run.journal.close()


def stored_config(folder: Path) -> dict[str, object] | None:
    """The settings of the run in `folder`; None where there is no run."""
    path = folder / CONFIG
    return read_fields(path) if path.is_file() else None


def _check_shares(config: TrainConfig, processes: Processes) -> None:
    shares = processes.count * config.accumulate
    if config.batch_size % shares:
        raise StudioError(
            f"A batch of {config.batch_size} can't be shared among {processes.count} processes "
            f"in {config.accumulate} parts each.",
            f"Choose a batch_size that {shares} divides.",
        )


def _is_run(folder: Path, config: TrainConfig) -> bool:
    """Whether `folder` holds a run; if not, whether one may begin there."""
    if folder.exists() and not folder.is_dir():
        raise StudioError(f"{folder} is a file.", "Name a folder for the run.")
    if (folder / CONFIG).is_file():
        return True
    if folder.is_dir() and any(path.name not in ("lock", "cache") for path in folder.iterdir()):
        raise StudioError(f"{folder} is no run, and not empty.", "Name a new folder.")
    for data in (config.data, config.held_out):
        if data is not None and folder.resolve().is_relative_to(Path(data).resolve()):
            raise StudioError(
                f"The run would lie among the pictures in {data}.",
                "Its samples would be trained on; name a folder elsewhere.",
            )
    return False


def _check_same(folder: Path, config: TrainConfig, found: Found, steps: int) -> None:
    """Refuse to resume after `steps` steps with other settings or other data."""
    before = TrainConfig.checked(read_fields(folder / CONFIG))
    changed = before.differences(config)
    if Course(before).agrees(Course(config), steps):
        changed = [name for name in changed if name not in PLAN]
    if changed:
        name = changed[0]
        raise StudioError(
            f"The run in {folder} has {name} = {getattr(before, name)}, "
            f"not {getattr(config, name)}.",
            f"Resume it with its own settings, or name a new folder. Differing: {changed}.",
        )
    stored = read_json(folder / DATA) if (folder / DATA).is_file() else {}
    # An older run knew its pictures by their sizes alone; it goes on, and knows them from then on.
    if stored.get("contents", found.fingerprints) != found.fingerprints:
        raise StudioError(
            f"The pictures or their labels changed since the run in {folder} began.",
            "Put the same files back, or start a new run, with --init for its model.",
        )


def _begun(config: TrainConfig, classes: Classes | None, load_init: Load) -> Trainee:
    trainee = load_init(config.init) if config.init is not None else new_trainee(config, classes)
    check_architecture(trainee.architecture, config, classes)
    return trainee


def _resumed(folder: Path, config: TrainConfig, classes: Classes | None) -> Trainee:
    try:
        architecture = from_fields(read_json(folder / ARCHITECTURE))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudioError(
            f"The run's {ARCHITECTURE} can't be read: {error}.", "Restore it, or begin anew."
        ) from error
    check_architecture(architecture, config, classes)
    network: nn.Module = architecture.network()
    network.to_empty(device="cpu")
    return Trainee(architecture, network)  # type: ignore[arg-type]


def _begin(run: Run, found: Found, *, resumed: bool) -> None:
    """Write what a new run needs, tidy a resumed one, and open the metrics."""
    folder = run.folder
    for place in (folder, *(folder / name for name in FOLDERS)):
        place.mkdir(exist_ok=True)
        sweep(place)
    # First, for it is by this file that a folder is known to be a run.
    replace_file(folder / CONFIG, run.config.to_json().encode())
    replace_json(folder / DATA, {
        "contents": found.fingerprints,
        "pictures": len(run.decoded.material.pictures),
        "skipped": [asdict(skipped) for skipped in run.decoded.skipped],
    })  # fmt: skip
    replace_json(folder / ARCHITECTURE, as_fields(run.architecture))
    (folder / "metrics.jsonl").touch()
    run.journal = Journal(folder / "metrics.jsonl", run.learner.step if resumed else -1)
    # A resumed run has its checkpoint, but may have been killed before the rest was written.
    run.save(measure=not resumed or run.is_unmeasured)
    run.show()
