"""An open studio under many visitors' requests: all get their turn, and little stays in memory."""

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.ui.middleware import COOKIE
from tools.server import Server, running_server

pytestmark = pytest.mark.faults

LONG: dict[str, Any] = {
    "model": "impressionist-64",
    "sampler": "ddpm",
    "steps": 500,
    "pictures": 16,
}
SHORT: dict[str, Any] = {"model": "tiny", "steps": 20, "pictures": 4}


@pytest.fixture(scope="module")
def open_studio(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio that is open to others, who may ask as often as they like."""
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(tmp_path_factory.mktemp("data")),
        "PLEIN_AIR_SINGLE_USER": "0",
        "PLEIN_AIR_REQUESTS_PER_MINUTE": "0",
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
    }
    with running_server(environment) as server:
        yield server


def visitor() -> dict[str, str]:
    """The headers of a visitor of one classroom."""
    return {"cookie": f"{COOKIE}={secrets.token_urlsafe(32)}"}


def call(server: Server, who: dict[str, str], **how: object) -> httpx.Response:
    address = f"{server.url}gradio_api/call/v2/paint"
    return httpx.post(address, json=how, headers=who, timeout=120)


def heard(server: Server, answer: httpx.Response) -> str:
    event = answer.raise_for_status().json()["event_id"]
    return httpx.get(f"{server.url}gradio_api/call/paint/{event}", timeout=300).text


def status(server: Server, what: str) -> int:
    return int(httpx.get(f"{server.url}status", timeout=60).json()[what])


def test_one_visitor_does_not_take_the_queue_and_what_they_leave_is_ended(
    open_studio: Server,
) -> None:
    greedy = visitor()
    answers = [call(open_studio, greedy, **LONG) for _ in range(40)]
    assert Counter(answer.status_code for answer in answers) == {200: 2, 429: 38}
    assert "2 runs of yours" in answers[-1].json()["detail"]
    assert "event: complete" in heard(open_studio, call(open_studio, visitor(), **SHORT))
    ending, taken = time.monotonic() + 60, -1
    while (now := status(open_studio, "network_steps")) != taken:
        assert time.monotonic() < ending, "it paints on for nobody"
        taken = now
        time.sleep(4)
    assert call(open_studio, greedy, **SHORT).status_code == 200
    event = answers[0].json()["event_id"]
    gone = httpx.get(f"{open_studio.url}gradio_api/call/paint/{event}")
    assert (gone.status_code, "30 s" in gone.json()["detail"]) == (404, True)


def test_a_class_behind_one_router_is_served_for_a_minute(open_studio: Server) -> None:
    ending = time.monotonic() + 60

    def painted(_: int) -> list[str]:
        who, said = visitor(), []
        while time.monotonic() < ending:
            said.append(heard(open_studio, call(open_studio, who, **SHORT)))
        return said

    with ThreadPoolExecutor(50) as people:
        said = list(people.map(painted, range(50)))
    assert all("event: complete" in each for person in said for each in person)
    counts = [len(person) for person in said]
    assert max(counts) <= 2 * min(counts) + 1, "turns go round"


@pytest.mark.timeout(1800)
def test_calls_of_as_many_sessions_leave_little_in_memory(open_studio: Server) -> None:
    calls = f"{open_studio.url}gradio_api/call"
    with httpx.Client(timeout=120) as client, ThreadPoolExecutor(4) as people:

        def asked(number: int) -> None:
            answer = client.post(f"{calls}/v2/models", json={}, headers=visitor())
            event = answer.raise_for_status().json()["event_id"]
            if number % 2:  # Every other caller fetches nothing.
                assert "event: complete" in client.get(f"{calls}/models/{event}").text

        list(people.map(asked, range(100)))
        before = status(open_studio, "process_mb")
        list(people.map(asked, range(10_000)))
    assert status(open_studio, "process_mb") < before + 150
