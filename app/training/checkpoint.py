"""Checkpoints: all that it takes to go on exactly, in one folder a step, whole or not there.

A folder holds weights.safetensors, one safetensors file for each EMA and each of the optimiser's
moments, and state.json. No pickle: loading runs nothing.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from app.errors import StudioError
from app.training.files import read_json, remove, replaced_folder
from app.training.files import replace_json as write_json
from app.training.tensors import write_tensors
from app.training.trainer import Learner

RAW: Final = "raw"
MOMENTS: Final = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class State:
    """What state.json says.

    Attributes:
        step: Steps done.
        views: Pictures seen.
        held_out: The mean held-out loss of each kind of weights, where it was measured.
    """

    step: int
    views: int
    held_out: dict[str, float]

    @property
    def best(self) -> float | None:
        """The least held-out loss of any of the weights."""
        return min(self.held_out.values()) if self.held_out else None


def checkpoint_folder(root: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps is, among the checkpoints in `root`."""
    return root / f"{step:08d}"


def save(root: Path, learner: Learner, state: State) -> Path:
    """Write a checkpoint to `root`; one of the same step at most gets the losses it lacks.

    Raises:
        OSError: If it can't be written; earlier checkpoints are untouched.
    """
    folder = checkpoint_folder(root, state.step)
    if folder.is_dir():
        if state.held_out:
            write_json(folder / "state.json", asdict(state))
        return folder
    trained = learner.optimiser.state
    moments = {n: trained[p] for n, p in learner.network.named_parameters() if p in trained}
    with replaced_folder(folder) as temporary:
        for name in (RAW, *learner.emas):
            write_tensors(weights_file(temporary, name), learner.weights(name))
        for moment in MOMENTS:
            # Muon has no second moment for hidden weights.
            tensors = {n: values[moment] for n, values in moments.items() if moment in values}
            write_tensors(temporary / f"{moment}.safetensors", tensors)
        counts = {n: values["step"] for n, values in moments.items()}
        write_tensors(temporary / "counts.safetensors", counts)
        write_json(temporary / "state.json", asdict(state))
    return folder


def weights_file(folder: Path, name: str) -> Path:
    """The file in a checkpoint's or a snapshot's folder that holds the weights called `name`."""
    return folder / ("weights.safetensors" if name == RAW else f"{name}.safetensors")


def saved(root: Path) -> list[State]:
    """The states of the checkpoints in `root`, oldest first.

    Raises:
        StudioError: If one can't be read.
    """
    folders = sorted(f for f in root.glob("[0-9]*") if f.is_dir()) if root.is_dir() else []
    return [_read_state(folder) for folder in folders]


def _read_state(folder: Path) -> State:
    try:
        return State(**read_json(folder / "state.json"))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, "its state.json can't be read") from error


def load(root: Path, step: int, learner: Learner) -> None:
    """Put the checkpoint after `step` steps into `learner`, bit for bit.

    Raises:
        StudioError: If its files are missing or damaged, or are another network's.
    """
    folder = checkpoint_folder(root, step)
    parameters: dict[str, Tensor] = dict(learner.network.named_parameters())
    with torch.no_grad():
        for name in (RAW, *learner.emas):
            stored = read_weights(root, step, name)
            _check_names(folder, stored, parameters)
            for n, value in learner.weights(name).items():
                value.copy_(stored[n])
    counts = _read_tensors(folder / "counts.safetensors")
    moments = {m: _read_tensors(folder / f"{m}.safetensors") for m in MOMENTS}
    learner.optimiser.state.clear()
    for n, count in counts.items():
        # Laid out in memory as the parameter is, as the optimiser itself would.
        state = {
            m: torch.empty_like(parameters[n]).copy_(tensors[n])
            for m, tensors in moments.items()
            if n in tensors
        }
        learner.optimiser.state[parameters[n]] = {"step": count, **state}
    learner.step = step


def read_weights(root: Path, step: int, name: str) -> dict[str, Tensor]:
    """The weights called `name`, "raw" or an EMA's, of the checkpoint after `step` steps.

    Raises:
        StudioError: If there are none of that name, or the file is damaged.
    """
    return _read_tensors(weights_file(checkpoint_folder(root, step), name))


def _read_tensors(path: Path) -> dict[str, Tensor]:
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
