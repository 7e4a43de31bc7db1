"""`python -m tools.take_over FOLDER RUN --config FILE`: let the engine go on with a stage.

FOLDER is what the script left that the bundled second stage's training began with: `state.pt`
(weights, their average, AdamW's moments, the step) or, where that is lost, the average in `model/`
and the last step in `metrics.csv`; beside them `bands.json`. `python -m app train --out RUN` then
goes on. A `state.pt` is a pickle, of which tensors alone are read: take none but your own.
"""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import StudioError
from tools.run import run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from app.models.stages import StageFiles
    from app.training.config import TrainConfig
    from app.training.trainer import TrainState


@dataclass(frozen=True, eq=False)
class Left:
    """What the script left.

    Attributes:
        step: Steps done.
        net: The weights, by name.
        average: Their average.
        moments: AdamW's state of each weight, by its place in the network; empty if it is lost.
    """

    step: int
    net: "Mapping[str, Tensor]"
    average: "Mapping[str, Tensor]"
    moments: "Mapping[int, dict[str, Tensor]]" = field(default_factory=dict)


def command(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    out: Annotated[Path, typer.Argument(help="The run to make; it mustn't exist yet.")],
    config: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Its settings, JSON or TOML.")
    ],
) -> None:
    """Make a run that goes on where the script stopped."""
    from app.cli.train import fields_in
    from app.training.config import TrainConfig

    if out.exists():
        raise StudioError(f"{out} is there already.", "Name a new folder.")
    step = take_over(folder, TrainConfig.checked(fields_in(config)), out)
    typer.echo(f"The run is at step {step}; python -m app train --out {out} goes on.")


def take_over(folder: Path, config: "TrainConfig", out: Path) -> int:
    """Write to `out` a run with `config` that is where the script in `folder` stopped.

    Returns:
        The steps done.

    Raises:
        StudioError: If the script's files and the settings don't fit together.
    """
    import torch

    from app.files import read_json, replace_file, replace_json, replaced_folder
    from app.models.stages import StageFiles
    from app.training import checkpoint
    from app.training.architecture import Architecture, InitialModel, check_architecture
    from app.training.resume import ARCHITECTURE, CONFIG
    from app.training.run import CHECKPOINTS
    from app.training.trainer import TrainState

    files = StageFiles("model", folder / "model")
    bands = read_json(folder / "bands.json")
    architecture = Architecture(files.unet_config, files.scheduler_config, bands=bands)
    check_architecture(architecture, config, None)
    left = read(folder, files)
    if left.step > config.total_steps:
        raise StudioError(
            f"The script did {left.step} steps, and the settings plan {config.total_steps}.",
            "Plan more views.",
        )
    network: nn.Module = architecture.network()
    network.to_empty(device="cpu")
    names = [name for name, _ in network.named_parameters()]
    initial = InitialModel(architecture, network)  # type: ignore[arg-type]
    state = TrainState.new(initial, config, torch.device("cpu"))
    fill(state, left, names)
    summary = checkpoint.CheckpointState(left.step, left.step * config.batch_size, {})
    with replaced_folder(out) as temporary:
        (temporary / CHECKPOINTS).mkdir()
        checkpoint.save(temporary / CHECKPOINTS, state, summary)
        replace_json(temporary / ARCHITECTURE, asdict(architecture))
        replace_file(temporary / CONFIG, config.to_json().encode())
    return left.step


def read(folder: Path, files: "StageFiles") -> Left:
    """Read what the script left in `folder`, whose `model/` is `files`."""
    import torch

    from app.models.loading import load_unet

    if (folder / "state.pt").is_file():
        kept: dict[str, Any] = torch.load(folder / "state.pt", "cpu", weights_only=True)
        moments = kept.get("optimiser", {}).get("state", {})
        return Left(kept["step"], kept["net"], kept["average"], moments)
    weights = load_unet(files).state_dict()
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        step = int(list(csv.DictReader(file))[-1]["step"])
    return Left(step, weights, weights)


def fill(state: "TrainState", left: Left, names: list[str]) -> None:
    """Put what is `left` into `state`; `names` are the weights', in diffusers' order."""
    import torch

    parameters = dict(state.network.named_parameters())
    with torch.no_grad():
        for name in ("raw", *state.emas):
            source = left.net if name == "raw" else left.average
            for n, value in state.weights(name).items():
                value.copy_(source[n])
    for i, values in left.moments.items():
        weight = parameters[names[i]]
        moments = {n: torch.empty_like(weight).copy_(values[n]) for n in ("exp_avg", "exp_avg_sq")}
        state.optimiser.state[weight] = {"step": values["step"], **moments}
    state.step = left.step


if __name__ == "__main__":
    run(command)
