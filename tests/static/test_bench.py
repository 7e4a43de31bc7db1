"""The bench of the page without a server prints its figures; what they are is for a person."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from app.painting.painter import Painter
from app.settings import Settings
from app.studio import Studio
from tools.bench.browser import compared


@pytest.mark.e2e
@pytest.mark.slow
def test_both_ways_of_serving_are_timed_beside_exact(
    site: Path, painter: Painter, chromium: Browser
) -> None:
    (root,) = painter.models._roots
    studio = Studio(Settings(models_dir=root, default_model="tiny", threads=1))
    several, one = compared(studio, "tiny", chromium, site, steps=3, rounds=1)
    assert "one thread; several need headers" in one
    for line in (several, one):
        assert "times exact's; first frame" in line
        assert "MB loaded" in line
