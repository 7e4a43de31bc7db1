"""The export of any weights that a run kept, of a checkpoint or snapshot, raw or averaged."""

from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from app.errors import StudioError
from app.training import checkpoint
from app.training.architecture import Architecture, export_model
from app.training.config import TrainConfig
from app.training.latents import VQVAE
from app.training.resume import ARCHITECTURE, stored_config


def export_choice(
    run: Path, folder: Path, *, weights: str, step: int | None = None, half: bool = False
) -> None:
    """Export a model with weights that a run kept.

    Args:
        run: The run's folder.
        folder: The folder to write the model to; it mustn't exist yet.
        weights: "raw", or an EMA's name, such as "ema-0.050"; snapshots have only the latter.
        step: The number of steps done; None is the newest that is kept.
        half: Whether to store the weights in fp16.

    Raises:
        StudioError: If there is no such run, no such weights, or something in the way.
    """
    fields = stored_config(run)
    if fields is None:
        raise StudioError(f"{run} is no run.", "Name the folder that `train --out` was given.")
    if folder.exists():
        raise StudioError(f"{folder} is there already.", "Name a new folder.")
    config = TrainConfig.checked(fields)
    kept = _kept(run, (checkpoint.RAW, *config.ema_names))
    chosen = max((s for s, _ in kept), default=None) if step is None else step
    if chosen is None or (chosen, weights) not in kept:
        there = ", ".join(f"{name} at {s}" for s, name in sorted(kept)) or "none"
        raise StudioError(
            f"The run kept no weights {weights!r} at step {chosen}.", f"There are: {there}."
        )
    export_model(
        folder,
        Architecture.read(run / ARCHITECTURE),
        _read(kept[chosen, weights]),
        size=config.size_at(max(0, chosen - 1)),
        half=half,
        autoencoder=run / VQVAE if config.latent else None,
    )


def _kept(run: Path, names: tuple[str, ...]) -> dict[tuple[int, str], Path]:
    """Find the files of weights, by step and name; a checkpoint's fp32 beats a snapshot's fp16."""
    found: dict[tuple[int, str], Path] = {}
    for place in ("checkpoints", "snapshots"):
        for folder in sorted((run / place).glob("[0-9]*")):
            for name in names:
                path = checkpoint.weights_file(folder, name)
                if path.is_file():
                    found.setdefault((int(folder.name), name), path)
    return found


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise StudioError(f"{path} can't be read: {error}.", "Choose another step.") from error
