"""A frame takes a short way through the code, and no disk lies on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from torch import Tensor

from app.diffusion.seeds import SeededNoise
from app.settings import Settings
from tools.frame_trip import frame_trip

MOST: Final = 9
"""Four files of the mathematics, the network, two of images, the film and its messages."""


@pytest.fixture
def settings(model_root: Path, tmp_path: Path) -> Settings:
    return Settings(
        models_dir=model_root, data_dir=tmp_path, default_model="tiny", device="cpu", threads=1
    )


def test_a_frame_enters_few_files_and_opens_none(settings: Settings) -> None:
    trip = frame_trip(settings)
    assert "diffusion/reverse.py" in trip.files
    assert trip.threads == 2, "the page's and the network's"
    assert len(trip.files) <= MOST, tuple(trip.files)
    assert trip.opened == ()


def test_what_is_opened_on_the_way_is_seen(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = SeededNoise.draw

    def reading(self: SeededNoise, picture_shape: Sequence[int]) -> Tensor:
        (tmp_path / "lock").write_bytes(b"")
        return draw(self, picture_shape)

    monkeypatch.setattr(SeededNoise, "draw", reading)
    (opened,) = frame_trip(settings).opened
    assert opened == f"open {tmp_path / 'lock'} from diffusion/samplers/ddpm.py"
