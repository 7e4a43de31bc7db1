"""Pictures and settings small enough to train on in a test."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.datasets.folder import find_pictures, load_pictures
from app.images.reading import Treatment
from app.training.architecture import InitialModel, new_initial_model
from app.training.batches import TrainingData, stored_size
from app.training.config import TrainConfig
from app.training.trainer import TrainState

NETWORK: dict[str, object] = {
    "block_out_channels": [16, 32],
    "attention": [False, True],
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}
CPU = torch.device("cpu")


def save_pictures(folder: Path, count: int = 24, side: int = 20) -> Path:
    """Smooth coloured pictures in two sub-folders, `garden` and `river`."""
    random = np.random.default_rng(0)
    for i in range(count):
        path = folder / ("garden", "river")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (3, 3, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path)
    return folder


def fields(data: Path, **changes: object) -> dict[str, object]:
    """Settings as JSON has them: 20 steps of 4 pictures of 16 px, saved every 10."""
    return {
        "data": str(data),
        "network": NETWORK,
        "phases": [{"size": 16, "views": 80}],
        "batch_size": 4,
        "warmup_steps": 2,
        "save_every": 10,
        "sample_every": 0,
        "sample_count": 2,
        "sample_steps": 2,
        "snapshot_every": 0,
        "precision": "exact",
    } | changes


def config(data: Path, **changes: object) -> TrainConfig:
    return TrainConfig.checked(fields(data, **changes))


def training_data(settings: TrainConfig) -> TrainingData:
    folder = Path(settings.data)
    sizes = tuple(stored_size(size, settings.crop_scale) for size in settings.sizes)
    treatment = Treatment(sizes, 3, settings.fit, 1)
    names = find_pictures(folder)
    return TrainingData(load_pictures(folder, names, treatment, memory_bytes=2**30))


def new_state(settings: TrainConfig) -> tuple[InitialModel, TrainState]:
    initial = new_initial_model(settings, None)
    return initial, TrainState.new(initial, settings, CPU)


def no_init(name: str) -> InitialModel:
    raise AssertionError(f"a run without init asked for {name}")
