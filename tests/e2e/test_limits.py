"""What one visitor of an open page may ask for, asked past the page."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import served_studio
from tools.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ADDRESSES = (f"192.0.2.{i}" for i in count(1))
"""Whoever asks the first time has their one request of the minute."""


@pytest.fixture(scope="module")
def server(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio that is open to others."""
    limited = {"PLEIN_AIR_SINGLE_USER": "0", "PLEIN_AIR_REQUESTS_PER_MINUTE": "1"}
    with served_studio(model_root, "tiny", tmp_path_factory, **limited) as running:
        yield running


def post(server: Server, way: str, forwarded: str) -> httpx.Response:
    """Ask as a proxy hands it on."""
    return httpx.post(
        f"{server.url}gradio_api/{way}",
        json={"data": []},
        headers={"x-forwarded-for": forwarded},
        timeout=60,
    )


@pytest.mark.parametrize("way", ["run/paint", "api/paint", "run/trainings", "run/paint/"])
def test_no_way_goes_past_the_queue_or_the_share(server: Server, way: str) -> None:
    address = next(ADDRESSES)
    refused = post(server, way, address)
    assert refused.status_code == 404
    assert "join the queue" in refused.json()["detail"]
    assert [post(server, each, address).status_code for each in (way, "call/models")] == [429, 429]


def test_an_invented_address_before_the_proxys_gives_no_other_share(server: Server) -> None:
    address = next(ADDRESSES)
    answers = [post(server, "call/models", f"10.0.0.{i}, {address}") for i in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]


def test_uploads_are_requests_too(server: Server) -> None:
    headers = {"x-forwarded-for": next(ADDRESSES)}
    answers = [
        httpx.post(
            f"{server.url}gradio_api/upload",
            files={"files": ("a.txt", b"words")},
            headers=headers,
            timeout=60,
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 429]
