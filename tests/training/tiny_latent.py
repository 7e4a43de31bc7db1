"""Settings of an autoencoder, and of a latent model, small enough to train in a test."""

from itertools import islice
from pathlib import Path

from app.training.config import TrainConfig
from app.training.resume import open_run
from tests.training.pictures import landscapes, save_pictures
from tests.training.tiny import fields, no_init

AUTOENCODER: dict[str, object] = {
    "side": 32,
    "block_out_channels": [4, 8],
    "norm_num_groups": 2,
    "latent_channels": 2,
}


def save_landscapes(folder: Path, count: int = 12) -> Path:
    """Coloured clouds of 32 px."""
    return save_pictures(folder, landscapes(count, 32))


def autoencoder_fields(data: Path, **changes: object) -> dict[str, object]:
    """Settings as JSON has them: 12 steps of 4 views, the last 2 of whole pictures."""
    own: dict[str, object] = {
        "autoencoder": AUTOENCODER,
        "network": None,
        "phases": [{"size": 16, "views": 40}, {"size": 32, "views": 8}],
        "ema_sigma_rels": [0.1],
        "save_every": 6,
    }
    return fields(data, **own | changes)


def autoencoder_config(data: Path, **changes: object) -> TrainConfig:
    return TrainConfig.checked(autoencoder_fields(data, **changes))


def latent_fields(data: Path, autoencoder: Path, **changes: object) -> dict[str, object]:
    """Settings as JSON has them: 6 steps of 4 pictures of 32 px in a latent space."""
    own: dict[str, object] = {
        "latent": str(autoencoder),
        "phases": [{"size": 32, "views": 24}],
        "save_every": 3,
    }
    return fields(data, **own | changes)


def latent_config(data: Path, autoencoder: Path, **changes: object) -> TrainConfig:
    return TrainConfig.checked(latent_fields(data, autoencoder, **changes))


def go_on(settings: TrainConfig, folder: Path, steps: int | None = None) -> Path:
    """Begin or resume a run, and return the folder of its model."""
    with open_run(settings, folder, load_init=no_init) as run:
        for step in islice(run.steps(), steps):
            run.after(step)
    return folder / "model"
