"""A single user's studio answers to its own names, and to no page of another site."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from app.ui.hosts import Hosts
from tools.server import Server, running_server

HOSTS = Hosts(Settings(hosts=("Studio.example", "192.168.0.7"), space_host="me-air.hf.space"))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:7860", "[::1]:7860", "192.168.0.9:80", "localhost:7860", ""),
        *("LOCALHOST", "localhost.", "studio.example:7860", "me-air.hf.space"),
        *(socket.gethostname(), f"{socket.gethostname().removesuffix('.local')}.local"),
    ],
)
def test_own_names_and_addresses_are_answered(host: str) -> None:
    assert HOSTS.stranger(host, None) == ""
    assert HOSTS.stranger(host, f"http://{host}" if host else "http://localhost") == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7860", "a@b"]
)
def test_other_names_are_not(host: str) -> None:
    assert HOSTS.stranger(host, None)
    assert HOSTS.stranger(host, "http://localhost")


@pytest.mark.parametrize(
    ("origin", "stranger"),
    [
        ("http://127.0.0.1:3000", ""),
        ("https://studio.example", ""),
        ("https://192.168.0.7", ""),
        ("https://192.0.2.5", "192.0.2.5"),
        ("https://evil.example:443", "evil.example"),
        ("null", "null"),
        ("", ""),
        ("http://[", "http://["),
    ],
)
def test_a_page_of_another_site_may_not_ask(origin: str, stranger: str) -> None:
    assert HOSTS.stranger("192.168.0.9:7860", origin) == stranger


@pytest.fixture(scope="module")
def open_server(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio that is open to others, by whatever name they know it."""
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_SINGLE_USER": "0",
        "PLEIN_AIR_DATA": str(tmp_path_factory.mktemp("data")),
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
    }
    with running_server(environment) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "config", "status", "gradio_api/queue/join"])
@pytest.mark.parametrize("header", ["host", "origin"])
def test_a_stranger_is_told_the_setting_and_not_allowed(
    server: Server, method: str, path: str, header: str
) -> None:
    given = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    given |= {header: "http://evil.example" if header == "origin" else "evil.example"}
    refused = httpx.request(method, server.url + path, headers=given)
    assert refused.status_code == 403
    assert "evil.example" in refused.text
    assert "PLEIN_AIR_HOSTS" in refused.text
    assert not [name for name in refused.headers if name.startswith("access-control")]


def test_an_open_studio_answers_to_any_name(open_server: Server) -> None:
    assert httpx.get(open_server.url, headers={"host": "air.example"}).status_code == 200
