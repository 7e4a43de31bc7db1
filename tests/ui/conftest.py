"""A real server of the page, which answers requests that are no browser's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.server import Server, running_server


@pytest.fixture(scope="session")
def server(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio of one person, with models that paint in milliseconds."""
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(tmp_path_factory.mktemp("data")),
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
    }
    with running_server(environment) as running:
        yield running
