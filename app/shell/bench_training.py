"""What the training engine costs beside a bare loop of forward, backward and optimiser step.

The contenders take turns within each round, so a busy machine slows all of them alike; what is
compared is the median over the rounds.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

    from app.training.config import TrainConfig
    from app.training.trainee import Trainee

ROUNDS: Final = 7
PICTURES: Final = 256
FILES: Final = 5000
FILE_SIDE: Final = 224
"""That of the paintings that the bundled model was trained on."""

ENGINE: Final = "the engine"
BARE: Final = "a bare loop, same network"
DIFFUSERS: Final = "a bare loop, diffusers' network"


def report() -> None:
    """Print how long reading takes, then pictures per second of the engine and of bare loops."""
    seconds, megabytes = measure_reading(FILES)
    typer.echo(
        f"{FILES:,} JPEGs of {FILE_SIDE} px are ready at 64 px in {seconds:.1f} s, and the process "
        f"holds {megabytes:.0f} MB more."
    )
    rates = measure(ROUNDS)
    for name, rate in rates.items():
        typer.echo(f"{rate:6.2f} pictures/s  {name}")
    typer.echo(
        f"The engine does {rates[ENGINE] / rates[BARE]:.1%} of a bare loop with the same network, "
        f"and {rates[ENGINE] / rates[DIFFUSERS]:.2f} times one with diffusers' own."
    )


def measure(rounds: int) -> dict[str, float]:
    """Median pictures per second by contender: training the default model, at its own size."""
    from app.engine.allocator import keep_freed_memory
    from app.service.model_files import ModelFiles
    from app.service.trainees import load_trainee
    from app.settings import BUNDLED_MODELS, Settings
    from app.training.config import TrainConfig

    keep_freed_memory()  # as `train` does; here all contenders gain from it
    name = Settings().default_model
    trainee = load_trainee(ModelFiles(name, BUNDLED_MODELS / name))
    size = trainee.architecture.unet["sample_size"]
    phase = {"size": size, "views": 1_000_000}
    config = TrainConfig.checked({"data": "", "phases": [phase]})
    contenders = {
        DIFFUSERS: _bare(config, copy.deepcopy(trainee), arranged=False),
        BARE: _bare(config, copy.deepcopy(trainee), arranged=True),
        ENGINE: _engine(config, trainee),
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
    """Seconds until so many JPEGs are found, hashed and decoded at 64 px, and the MB they take."""
    from app.engine.memory import process_bytes
    from app.training.dataset import Treatment, find_pictures, fingerprint, load_pictures

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
    """Clouds of colour, about as many bytes as a painting's copy, a hundred different ones."""
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


def _engine(config: "TrainConfig", trainee: "Trainee") -> Callable[[], object]:
    """A step of `train`, with all that it draws, clips, averages and reports."""
    import numpy as np
    import torch

    from app.training.dataset import Pictures
    from app.training.trainer import Learner, Material, train

    size, channels = config.sizes[-1], trainee.architecture.channels
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (PICTURES, size, size, channels), dtype=np.uint8)
    material = Material(Pictures(tuple(map(str, range(PICTURES))), {size: pixels}))
    learner = Learner.new(trainee, config, torch.device("cpu"))
    stream = train(config, trainee.architecture, learner, material)
    return lambda: next(stream)


def _bare(config: "TrainConfig", trainee: "Trainee", *, arranged: bool) -> Callable[[], object]:
    """Forward, backward and optimiser step on one batch that never changes, and no more."""
    import torch

    from app.engine.trainable import make_trainable
    from app.training.trainer import Forward

    network = make_trainable(trainee.network) if arranged else _plain(trainee.network)
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, fused=True)
    forward = Forward.chosen(config, torch.device("cpu"))
    size = config.sizes[-1]
    shape = (config.batch_size, trainee.architecture.channels, size, size)
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(shape, generator=generator).to(memory_format=torch.channels_last)
    eps = torch.randn(shape, generator=generator).to(memory_format=torch.channels_last)
    t = torch.linspace(0, 999, config.batch_size).long()

    def step() -> None:
        loss = (forward(network, x_t, t, None) - eps).square().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def _plain(network: "UNet2DModel") -> "UNet2DModel":
    """The network as diffusers has it, channels-last and in training mode."""
    import torch
    from torch import nn

    module: nn.Module = network
    module.requires_grad_(True).train()
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
