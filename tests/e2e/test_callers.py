"""A caller who cancels a call or hangs up ends its work, be it under way or in the queue."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from gradio_client import Client
from playwright.sync_api import Page, expect

from tests.e2e.lab_page import PATIENCE
from tools.server import Server, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PLACES: Final = 8
"""The calls of the network's group that the server answers at once."""

MINUTES: Final[dict[str, Any]] = {
    "model": "impressionist-64",
    "sampler": "ddpm",
    "steps": 1000,
    "pictures": 4,
}
FIRST: Final = "in line: 1 of 2"
"""What is said to a visitor who comes anew: their turn is before another's second."""

CALLS: Final[dict[str, dict[str, Any]]] = {
    "paint": MINUTES,
    "seed_morph": {
        "first_seed": 1,
        "second_seed": 2,
        "model": "impressionist-64",
        "steps": 1000,
        "frames": 24,
    },
}
"""Calls that take minutes."""


@pytest.fixture(scope="module")
def studio(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio of one person, who may ask for as much as they like."""
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(tmp_path_factory.mktemp("data")),
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
    }
    with running_server(environment) as server:
        yield server


def steps(server: Server) -> int:
    """Read how many steps the server's networks have taken."""
    return int(httpx.get(f"{server.url}status").json()["network_steps"])


def wait_until_it_computes(server: Server) -> None:
    before, ending = steps(server), time.monotonic() + 60
    while steps(server) < before + 2:
        assert time.monotonic() < ending, "it never began"
        time.sleep(0.1)


def wait_until_it_rests(server: Server) -> None:
    """Wait until no network takes a step any more, long before a call would have its answer."""
    ending, taken = time.monotonic() + 30, -1
    while (now := steps(server)) != taken:
        assert time.monotonic() < ending, "it computes on"
        taken = now
        time.sleep(4)


def queued(server: Server) -> int:
    return int(httpx.get(f"{server.url}status").json()["queue_length"])


@contextmanager
def listening(server: Server, name: str, **how: object) -> Iterator[None]:
    """Call an endpoint, and hang up at the end of the context."""
    calls = f"{server.url}gradio_api/call"
    event = httpx.post(f"{calls}/v2/{name}", json=how).raise_for_status().json()["event_id"]
    with httpx.stream("GET", f"{calls}/{name}/{event}", timeout=None):
        yield


@pytest.mark.parametrize("name", CALLS)
def test_who_hangs_up_ends_the_call_with_the_step_under_way(studio: Server, name: str) -> None:
    with listening(studio, name, **CALLS[name]):
        wait_until_it_computes(studio)
    wait_until_it_rests(studio)


def test_cancelling_a_job_ends_it_with_the_step_under_way(studio: Server) -> None:
    client = Client(studio.url, verbose=False)
    job = client.submit(**MINUTES, api_name="/paint")
    wait_until_it_computes(studio)
    job.cancel()
    wait_until_it_rests(studio)
    (file,), _ = client.predict(model="tiny", steps=2, api_name="/paint")
    assert Path(file).suffix == ".png", "the next call is answered"


def test_a_job_that_is_cancelled_in_the_queue_never_begins(studio: Server) -> None:
    client = Client(studio.url, verbose=False)
    with ExitStack() as others:
        for seed in range(PLACES):
            others.enter_context(listening(studio, "paint", **MINUTES, seed=seed))
        job = client.submit(**MINUTES, seed=99, api_name="/paint")
        ending = time.monotonic() + 30
        while queued(studio) != 1:
            assert time.monotonic() < ending, "it isn't queued"
            time.sleep(0.1)
        with listening(studio, "paint", **MINUTES, seed=100):
            assert queued(studio) == 2
        job.cancel()
        while queued(studio):
            assert time.monotonic() < ending, "it is still queued"
            time.sleep(0.1)
        wait_until_it_computes(studio)  # the others go on
    wait_until_it_rests(studio)


@pytest.mark.slow
def test_who_waits_in_the_page_sees_their_place_and_may_leave_the_line(
    studio: Server, browser_page: Page
) -> None:
    browser_page.goto(studio.url)
    player = browser_page.locator("#paint .player")
    words = player.locator(".player-progress")
    paint = browser_page.get_by_role("button", name="Paint", exact=True)
    with ExitStack() as others:
        for seed in range(PLACES + 1):
            others.enter_context(listening(studio, "paint", **MINUTES, seed=seed))
        paint.click()
        expect(words).to_have_text(FIRST, timeout=PATIENCE)
        player.get_by_role("button", name="Stop", exact=True).click()
        expect(words).to_have_text("", timeout=PATIENCE)
        assert queued(studio) == 1  # the other's
        paint.click()
        expect(words).to_have_text(FIRST, timeout=PATIENCE)
    expect(player).to_have_attribute("data-state", "live", timeout=PATIENCE)
    expect(player).to_have_attribute("data-state", "finished", timeout=PATIENCE)
    expect(words).to_have_text("", timeout=PATIENCE)
