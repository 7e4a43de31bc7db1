"""A request's body is read up to its route's limit, and no further."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest

from app.ui.bodies import MAX_BODY, MAX_UPLOAD_BODY
from tools.server import Server

ROUTES = ("queue/join", "call/paint", "call/v2/paint", "component_server", "cancel", "reset")


def chunks(size: int) -> Iterator[bytes]:
    """A JSON text of `size` bytes that doesn't say how long it is."""
    yield b'{"data": ["'
    for _ in range(size // 1_000_000):
        yield b"a" * 1_000_000
    yield b'"]}'


def post(server: Server, route: str, **how: object) -> httpx.Response:
    headers = {"content-type": "application/json"}
    address = f"{server.url}gradio_api/{route}"
    return httpx.post(address, headers=headers, timeout=60, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_without_an_end_is_refused_as_it_comes(server: Server, route: str) -> None:
    refused = post(server, route, content=chunks(20 * MAX_BODY))
    assert (refused.status_code, refused.json()["detail"]) == (
        413,
        "A request here may have at most 8 MB.",
    )


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_says_how_long_it_is_is_refused_unread(server: Server, route: str) -> None:
    assert post(server, route, content=b"a" * (MAX_BODY + 1)).status_code == 413


def test_an_upload_may_be_larger_and_not_endless(server: Server) -> None:
    files = {"files": ("a.txt", b"a" * (2 * MAX_BODY))}
    address = f"{server.url}gradio_api/upload"
    assert httpx.post(address, files=files, timeout=60).status_code == 200
    place = urlsplit(server.url)
    with closing(HTTPConnection(str(place.hostname), place.port)) as connection:
        connection.putrequest("POST", "/gradio_api/upload")
        connection.putheader("Content-Length", str(MAX_UPLOAD_BODY + 1))
        connection.endheaders()
        refused = connection.getresponse()
        assert (refused.status, refused.read()) == (
            413,
            b"A request here may have at most 2,001 MB.",
        )


def test_what_is_refused_is_not_kept_in_memory(server: Server) -> None:
    before = httpx.get(f"{server.url}status").json()["process_mb"]
    assert post(server, "queue/join", content=chunks(400_000_000)).status_code == 413
    assert httpx.get(f"{server.url}status").json()["process_mb"] < before + 60
