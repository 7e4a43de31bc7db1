"""docs/training.md lists every setting."""

import pytest
from pydantic import BaseModel

from app.datasets.labels import LabelConfig
from app.settings import ROOT
from app.training.autoencoder_config import AutoencoderConfig
from app.training.config import NetworkConfig, Phase, ScheduleConfig, TrainConfig
from app.training.stage_config import StageConfig

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "table",
    [
        *(TrainConfig, NetworkConfig, ScheduleConfig, LabelConfig, Phase),
        *(StageConfig, AutoencoderConfig),
    ],
)
def test_every_setting_is_documented(table: type[BaseModel]) -> None:
    missing = [n for n in table.model_fields if f"`{n}`" not in TEXT and f'"{n}"' not in TEXT]
    assert missing == []
