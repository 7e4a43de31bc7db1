"""Checkpoints: all that resuming exactly takes, in one folder a step, whole or not there.

A folder holds weights.safetensors, one safetensors file for each EMA and each of the optimiser's
moments, and state.json. Nothing is pickled, so loading runs no code.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import safetensors.torch
import torch
from torch import Tensor

from app.errors import StudioError
from app.files import read_json, remove, replace_json, replaced_folder, write_bytes
from app.training.trainer import TrainState


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, and wait until it is on the disk."""
    # By way of bytes: safetensors' own writer doesn't sync, and hides the system's error.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(plain))


RAW: Final = "raw"
MOMENTS: Final = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class CheckpointState:
    """The contents of state.json.

    Attributes:
        step: Steps done.
        views: Pictures seen.
        held_out: The mean held-out loss of each kind of weights; empty if it wasn't measured.
    """

    step: int
    views: int
    held_out: dict[str, float]

    @property
    def best(self) -> float | None:
        """The least held-out loss of any kind of weights; None if it wasn't measured."""
        return min(self.held_out.values()) if self.held_out else None


def checkpoint_folder(root: Path, step: int) -> Path:
    """Return the path of the checkpoint after `step` steps, among the checkpoints in `root`."""
    return root / f"{step:08d}"


def save(root: Path, state: TrainState, summary: CheckpointState) -> Path:
    """Write a checkpoint to `root`; if one of this step exists, update its losses alone.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: If the checkpoint can't be written; earlier checkpoints are untouched.
    """
    folder = checkpoint_folder(root, summary.step)
    if folder.is_dir():
        if summary.held_out:
            replace_json(folder / "state.json", asdict(summary))
        return folder
    trained = state.optimiser.state
    moments = {n: trained[p] for n, p in state.network.named_parameters() if p in trained}
    with replaced_folder(folder) as temporary:
        for name in (RAW, *state.emas):
            write_tensors(weights_file(temporary, name), state.weights(name))
        for moment in MOMENTS:
            # Muon has no second moment for hidden weights.
            tensors = {n: values[moment] for n, values in moments.items() if moment in values}
            write_tensors(temporary / f"{moment}.safetensors", tensors)
        counts = {n: values["step"] for n, values in moments.items()}
        write_tensors(temporary / "counts.safetensors", counts)
        replace_json(temporary / "state.json", asdict(summary))
    return folder


def weights_file(folder: Path, name: str) -> Path:
    """Return the path of the weights `name` in the folder of a checkpoint or a snapshot."""
    return folder / ("weights.safetensors" if name == RAW else f"{name}.safetensors")


def saved(root: Path) -> list[CheckpointState]:
    """Read the states of the checkpoints in `root`, oldest first.

    Raises:
        StudioError: If a state can't be read.
    """
    folders = sorted(f for f in root.glob("[0-9]*") if f.is_dir()) if root.is_dir() else []
    return [_read_state(folder) for folder in folders]


def _read_state(folder: Path) -> CheckpointState:
    try:
        return CheckpointState(**read_json(folder / "state.json"))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, "its state.json can't be read") from error


def load(root: Path, step: int, state: TrainState) -> None:
    """Put the checkpoint after `step` steps into `state`, bit for bit.

    Raises:
        StudioError: If the checkpoint's files are missing, damaged or another network's.
    """
    folder = checkpoint_folder(root, step)
    parameters: dict[str, Tensor] = dict(state.network.named_parameters())
    with torch.no_grad():
        for name in (RAW, *state.emas):
            stored = read_tensors(weights_file(folder, name))
            _check_names(folder, stored, parameters)
            for n, value in state.weights(name).items():
                value.copy_(stored[n])
    counts = read_tensors(folder / "counts.safetensors")
    moments = {m: read_tensors(folder / f"{m}.safetensors") for m in MOMENTS}
    state.optimiser.state.clear()
    for n, count in counts.items():
        # Each moment has the parameter's memory layout, as the optimiser itself would give it.
        values = {
            m: torch.empty_like(parameters[n]).copy_(tensors[n])
            for m, tensors in moments.items()
            if n in tensors
        }
        state.optimiser.state[parameters[n]] = {"step": count, **values}
    state.step = step


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of a checkpoint.

    Raises:
        StudioError: If the file is missing or damaged.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path.parent, f"{path.name}: {error}") from error


def _check_names(folder: Path, stored: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    shapes = {n: value.shape for n, value in stored.items()}
    if shapes != {n: value.shape for n, value in wanted.items()}:
        raise StudioError(
            f"The checkpoint {folder} is of another architecture.",
            "Its tensors aren't those of the run's architecture.json; start a new run.",
        )


def _damaged(folder: Path, what: str) -> StudioError:
    return StudioError(
        f"The checkpoint {folder} can't be used: {what}.",
        "Move that folder away to go on from the checkpoint before it.",
    )


def prune(root: Path, keep: int) -> None:
    """Remove all checkpoints but the newest `keep` and the best by held-out loss."""
    states = saved(root)
    measured = [state for state in states if state.best is not None]
    best = min(measured, key=lambda state: state.best or 0.0, default=None)
    for state in states[:-keep]:
        if state != best:
            remove(checkpoint_folder(root, state.step))
