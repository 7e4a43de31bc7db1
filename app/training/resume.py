"""The opening of a run: cheap checks first, then the last checkpoint, then the data."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import torch
from torch import nn

from app.datasets.labels import Classes
from app.errors import StudioError
from app.files import (
    read_json,
    replace_file,
    replace_json,
    replaced_folder,
    sweep,
    sync_below,
)
from app.models.autoencoders import AutoencoderFiles, autoencoder_files
from app.training import checkpoint
from app.training.architecture import (
    Architecture,
    InitialModel,
    check_architecture,
    grown,
    new_initial_model,
)
from app.training.config import PLAN, TrainConfig, read_fields
from app.training.data import Counter, Found, decode_all, find
from app.training.distributed import Processes
from app.training.latents import VQVAE
from app.training.run import CHECKPOINTS, MetricsLog, Run, disk_errors, held
from app.training.trainer import TrainState

CONFIG: Final = "config.json"
ARCHITECTURE: Final = "architecture.json"
DATA: Final = "data.json"
FOLDERS: Final = (CHECKPOINTS, "snapshots", "samples", "exports")

Load = Callable[[str], InitialModel]
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
    """Begin or resume the run in `folder`, and hold it until the context ends.

    Args:
        config: The run's settings; when it is resumed, they must agree with its own.
        folder: The run's folder.
        load_init: Loads the model that `config.init` names.
        processes: The processes of the run.
        device: The network's device; None is the CPU.
        counter: Counts pictures as they are decoded.

    Yields:
        The opened run.

    Raises:
        StudioError: If the settings, data, model and folder don't fit together, or another process
            holds the run.
    """
    processes = processes or Processes()
    _check_shares(config, processes)
    found, resuming = find(config), _is_run(folder, config)
    autoencoder = _autoencoder(folder, config)
    initial = None if resuming else _begun(config, found.classes, load_init, autoencoder)
    if processes.first:
        with disk_errors(folder / CHECKPOINTS):
            folder.mkdir(parents=True, exist_ok=True)
    processes.wait()
    with held(folder) if processes.first else nullcontext():
        states = checkpoint.saved(folder / CHECKPOINTS)
        if resuming:
            _check_same(folder, config, found, states[-1].step if states else 0)
        if states:
            initial = _resumed(folder, config, found.classes)
        initial = initial or _begun(config, found.classes, load_init, autoencoder)
        state = TrainState.new(initial, config, device or torch.device("cpu"))
        if states:
            checkpoint.load(folder / CHECKPOINTS, states[-1].step, state)
        cache = folder / "cache" / str(processes.rank)
        with disk_errors(folder / CHECKPOINTS):
            decoded = decode_all(
                config,
                found,
                initial.architecture,
                cache,
                counter=counter,
                autoencoder=autoencoder,
            )
        architecture = replace(initial.architecture, bands=decoded.bands)
        if decoded.scaling_factor is not None:
            scaled = (architecture.vqvae or {}) | {"scaling_factor": decoded.scaling_factor}
            architecture = replace(architecture, vqvae=scaled)
        run = Run(folder, config, architecture, state, decoded, processes)
        processes.wait()
        try:
            if processes.first:
                with disk_errors(folder / CHECKPOINTS):
                    _begin(run, found, autoencoder, resumed=bool(states))
            yield run
        finally:
            if run.metrics is not None:
                run.metrics.close()


def stored_config(folder: Path) -> dict[str, object] | None:
    """Read the settings of the run in `folder`; None if there is no run."""
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
    """Tell whether `folder` holds a run; refuse a folder in which none may begin."""
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
    if before.agrees(config, steps):
        changed = [name for name in changed if name not in PLAN]
    if changed:
        name = changed[0]
        raise StudioError(
            f"The run in {folder} has {name} = {getattr(before, name)}, "
            f"not {getattr(config, name)}.",
            f"Resume it with its own settings, or name a new folder. Differing: {changed}.",
        )
    stored = read_json(folder / DATA) if (folder / DATA).is_file() else {}
    # An older run has no fingerprints of contents; it is resumed, and they are stored from then on.
    if stored.get("contents", found.fingerprints) != found.fingerprints:
        raise StudioError(
            f"The pictures or their labels changed since the run in {folder} began.",
            "Put the same files back, or start a new run, with --init for its model.",
        )


def _autoencoder(folder: Path, config: TrainConfig) -> AutoencoderFiles | None:
    """Return the autoencoder of a latent model's run: the run's own copy, where it has one."""
    if config.latent is None:
        return None
    kept = folder / VQVAE
    if kept.is_dir():
        return AutoencoderFiles(folder.name, kept)
    files = autoencoder_files(Path(config.latent).name, Path(config.latent))
    _ = files.fields, files.weights_files  # read now, so that what can't be used fails at once
    return files


def _begun(
    config: TrainConfig,
    classes: Classes | None,
    load_init: Load,
    autoencoder: AutoencoderFiles | None,
) -> InitialModel:
    if config.init is None:
        initial = new_initial_model(config, classes, autoencoder)
    else:
        initial = grown(load_init(config.init), config, classes)
    check_architecture(initial.architecture, config, classes)
    return initial


def _resumed(folder: Path, config: TrainConfig, classes: Classes | None) -> InitialModel:
    try:
        architecture = Architecture.read(folder / ARCHITECTURE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudioError(
            f"The run's {ARCHITECTURE} can't be read: {error}.", "Restore it, or begin anew."
        ) from error
    check_architecture(architecture, config, classes)
    network: nn.Module = architecture.network()
    network.to_empty(device="cpu")
    return InitialModel(architecture, network)  # type: ignore[arg-type]


def _begin(run: Run, found: Found, autoencoder: AutoencoderFiles | None, *, resumed: bool) -> None:
    """Write the files of a new run, tidy a resumed one, and open the metrics log."""
    folder = run.folder
    for place in (folder, *(folder / name for name in FOLDERS)):
        place.mkdir(exist_ok=True)
        sweep(place)
    # The settings come first: their file is what marks a folder as a run.
    replace_file(folder / CONFIG, run.config.to_json().encode())
    if autoencoder is not None and not (folder / VQVAE).is_dir():
        with replaced_folder(folder / VQVAE) as temporary:
            for path in (autoencoder.folder / "config.json", *autoencoder.weights_files):
                shutil.copyfile(path, temporary / path.name)
            sync_below(temporary)
    replace_json(folder / DATA, {
        "contents": found.fingerprints,
        "pictures": len(run.decoded.training.pictures),
        "skipped": [asdict(skipped) for skipped in run.decoded.skipped],
    })  # fmt: skip
    replace_json(folder / ARCHITECTURE, asdict(run.architecture))
    (folder / "metrics.jsonl").touch()
    run.metrics = MetricsLog(folder / "metrics.jsonl", run.state.step if resumed else -1)
    # A resumed run has its checkpoint, but may have been killed before the rest was written.
    run.save(measure=not resumed or run.is_unmeasured)
    run.show()
