"""The training engine's speed beside a bare loop of forward, backward and optimiser step.

The contenders take turns within each round, so a busy machine slows all of them alike; their
medians over the rounds are compared.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import typer

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

    from app.models.files import ModelFiles
    from app.training.architecture import InitialModel
    from app.training.config import TrainConfig

PICTURES: Final = 256
FILES: Final = 5000
FILE_SIDE: Final = 224
"""The side in pixels of the paintings that the bundled model was trained on."""

ENGINE: Final = "the engine"
BARE: Final = "a bare loop, same network"
DIFFUSERS: Final = "a bare loop, diffusers' network"


def report(rounds: int) -> None:
    """Print the time of reading, then pictures per second of the engine and of bare loops."""
    seconds, megabytes = measure_reading(FILES)
    typer.echo(
        f"{FILES:,} JPEGs of {FILE_SIDE} px are ready at 64 px in {seconds:.1f} s, and the process "
        f"holds {megabytes:.0f} MB more."
    )
    for files in _bundled():
        rates = measure(rounds, files)
        typer.echo(f"{files.id}:")
        for name, rate in rates.items():
            typer.echo(f"{rate:6.2f} pictures/s  {name}")
        typer.echo(
            f"The engine does {rates[ENGINE] / rates[BARE]:.1%} of a bare loop with the same "
            f"network, and {rates[ENGINE] / rates[DIFFUSERS]:.2f} times one with diffusers' own."
        )


def _bundled() -> "tuple[ModelFiles, ModelFiles]":
    """Return the bundled model and second stage."""
    from app.models.files import ModelFiles
    from app.models.stages import StageFiles
    from app.painting.recipe import Recipe
    from app.settings import BUNDLED_MODELS, Settings

    model, stage = Settings().default_model, str(Recipe.model_fields["stage"].default)
    return ModelFiles(model, BUNDLED_MODELS / model), StageFiles(stage, BUNDLED_MODELS / stage)


def measure(rounds: int, files: "ModelFiles") -> dict[str, float]:
    """Train a model at its own size, or a second stage on crops, as each is by default.

    Returns:
        Median pictures per second by contender.
    """
    from app.networks.machine import keep_freed_memory
    from app.training.architecture import load_initial_model
    from app.training.config import TrainConfig

    keep_freed_memory()  # as `train` does; here all contenders benefit
    initial = load_initial_model(files)
    fields: dict[str, object] = {"data": ""}
    if initial.architecture.is_stage:
        fields["stage"] = {"regression_views": 0}
    else:
        size = initial.architecture.unet["sample_size"]
        fields["phases"] = [{"size": size, "views": 1_000_000}]
    config = TrainConfig.checked(fields)
    contenders = {
        DIFFUSERS: _bare(config, copy.deepcopy(initial), arranged=False),
        BARE: _bare(config, copy.deepcopy(initial), arranged=True),
        ENGINE: _engine(config, initial),
    }
    seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
    for turn in range(rounds + 1):
        for contender, step in contenders.items():
            started = time.perf_counter()
            step()
            if turn:  # the first round warms up
                seconds[contender].append(time.perf_counter() - started)
    return {c: config.batch_size / statistics.median(times) for c, times in seconds.items()}


def measure_reading(files: int) -> tuple[float, float]:
    """Time finding, hashing and decoding `files` JPEGs at 64 px; return seconds and MB taken."""
    from app.datasets.folder import find_pictures, fingerprint, load_pictures
    from app.images.reading import Treatment
    from app.networks.machine import process_bytes

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_jpegs(folder, files)
        before, started = process_bytes(), time.perf_counter()
        names = find_pictures(folder)
        fingerprint(folder, names)
        pictures = load_pictures(folder, names, Treatment((64,), 3, "squash", min_side=64))
        seconds = time.perf_counter() - started
        megabytes = (process_bytes() - before) / 1e6
        if len(pictures) < files:
            raise RuntimeError(f"{len(pictures)} of {files} pictures were read")
        return seconds, megabytes


def _write_jpegs(folder: Path, files: int) -> None:
    """Write `files` JPEGs, of 100 different clouds of colour, about as large as paintings."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    side = (FILE_SIDE, FILE_SIDE)
    for i in range(files):
        path = folder / f"{i:05}.jpg"
        if i < 100:
            coarse = Image.fromarray(random.integers(0, 256, (56, 56, 3), dtype=np.uint8))
            coarse.resize(side, Image.Resampling.BICUBIC).save(path, quality=75)
        else:
            path.write_bytes((folder / f"{i % 100:05}.jpg").read_bytes())


def _engine(config: "TrainConfig", initial: "InitialModel") -> Callable[[], object]:
    """Return a function that does a whole step of `train`, averages and reports included."""
    import numpy as np
    import torch

    from app.datasets.folder import DecodedPictures
    from app.training.batches import Examples, TrainingData
    from app.training.stage_data import StageData
    from app.training.trainer import TrainState, train

    architecture, stage = initial.architecture, config.stage
    side, channels = config.size_at(0), architecture.channels
    if stage is not None:
        side, channels = stage.side, 3
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (PICTURES, side, side, channels), dtype=np.uint8)
    pictures = DecodedPictures(tuple(map(str, range(PICTURES))), {side: pixels})
    data: Examples = TrainingData(pictures)
    if stage is not None:
        data = StageData(pictures, architecture.stage_bands)
    state = TrainState.new(initial, config, torch.device("cpu"))
    stream = train(config, architecture, state, data)
    return lambda: next(stream)


def _bare(
    config: "TrainConfig", initial: "InitialModel", *, arranged: bool
) -> Callable[[], object]:
    """Return a function that does only forward, backward and optimiser step on a fixed batch."""
    import torch

    from app.networks.training_unet import make_trainable
    from app.training.trainer import training_dtype

    unet = cast("UNet2DModel", initial.network)
    network = make_trainable(unet) if arranged else _plain(unet)
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, fused=True)
    dtype = training_dtype(config, torch.device("cpu"))
    size, parts = config.size_at(0), initial.architecture.unet
    generator = torch.Generator().manual_seed(0)
    x_t, eps = (
        torch.randn((config.batch_size, parts[channels], size, size), generator=generator).to(
            memory_format=torch.channels_last
        )
        for channels in ("in_channels", "out_channels")
    )
    t = torch.linspace(0, 999, config.batch_size).long()
    labels = torch.zeros_like(t) if initial.architecture.is_stage else None

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, dtype == torch.bfloat16):
            (out,) = network(x_t, t, labels, False)
        loss = (out.float() - eps).square().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def _plain(network: "UNet2DModel") -> "UNet2DModel":
    """Return diffusers' own network, channels-last and in training mode."""
    import torch
    from torch import nn

    module: nn.Module = network
    module.requires_grad_(True).train()
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
