"""Settings of a second stage small enough to train in a test."""

from pathlib import Path

from app.training.config import TrainConfig
from tests.training.pictures import landscapes, save_pictures
from tests.training.tiny import fields

STAGE: dict[str, object] = {"side": 52, "held_out_side": 40, "regression_views": 8}


def save_large_pictures(folder: Path, count: int = 12) -> Path:
    """Coloured clouds of 56 px with hard edges, which enlargement blurs and a network can mend."""
    return save_pictures(folder, landscapes(count, 56) // 64 * 85)


def stage_fields(data: Path, **changes: object) -> dict[str, object]:
    """Settings as JSON has them: 12 steps of 4 views, the last 2 of whole pictures."""
    own: dict[str, object] = {
        "stage": STAGE,
        "network": {
            "block_out_channels": [4, 8],
            "attention": [False, False],
            "attention_head_dim": 8,
        },
        "schedule": {"name": "cosine"},
        "prediction": "v_prediction",
        "phases": [
            {"size": 8, "views": 40, "sides": [40, 44, 52]},
            {"size": 12, "views": 8},
        ],
        "flip": False,
        "ema_sigma_rels": [0.1],
        "save_every": 6,
    }
    return fields(data, **own | changes)


def stage_config(data: Path, **changes: object) -> TrainConfig:
    return TrainConfig.checked(stage_fields(data, **changes))
