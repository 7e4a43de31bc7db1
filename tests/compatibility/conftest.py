"""Today's studio, served with the data folder of an earlier version."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradio_client import Client

from tests.compatibility.fixtures import COOKIE, settle, unpack_data, variables
from tests.workers import end_workers
from tools.server import running_server


@dataclass(frozen=True)
class Served:
    """A studio that answers."""

    data: Path
    url: str
    client: Client


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio of one's own."""
    with _served(tmp_path_factory.mktemp("alone"), single_user="1") as studio:
        yield studio


@pytest.fixture
def visited(tmp_path: Path) -> Iterator[Served]:
    """An open studio, that the old visitor comes back to."""
    with _served(tmp_path, single_user="0") as studio:
        yield studio


@contextmanager
def _served(folder: Path, *, single_user: str) -> Iterator[Served]:
    data = settle(unpack_data(folder))
    environment = variables(data) | {
        "PLEIN_AIR_SINGLE_USER": single_user,
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
    }
    try:
        with running_server(environment) as server:
            client = Client(
                server.url,
                verbose=False,
                download_files=folder,
                httpx_kwargs={"cookies": COOKIE},
            )
            yield Served(data, server.url, client)
    finally:
        end_workers(data)
