"""The Hub's panel in a real browser, with a Hub of our own behind it."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.hub.stand_in import TOKEN, StandIn, stand_in_hub
from tools.server import Server, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def hub() -> Iterator[StandIn]:
    with stand_in_hub() as served:
        yield served


@pytest.fixture(scope="module")
def server(
    hub: StandIn, model_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(home / "data"),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "HF_HOME": str(home / "huggingface"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    with running_server(environment) as served:
        yield served


@pytest.fixture
def page(browser_page: Page, server: Server) -> Page:
    """The studio's page with the panel open."""
    browser_page.goto(server.url)
    browser_page.get_by_role("button", name="Hub", exact=True).click()
    expect(browser_page.get_by_label("another model")).to_be_visible()
    return browser_page


def download(page: Page, name: str) -> None:
    page.get_by_label("another model").fill(name)
    page.get_by_role("button", name="Download", exact=True).click()


def test_a_model_of_the_hub_is_downloaded_chosen_and_painted_with(
    hub: StandIn, page: Page, model_root: Path
) -> None:
    hub.put("monet/tiny", model_root / "tiny")
    download(page, "monet/tiny")
    expect(page.get_by_text("monet/tiny · 16 px · 0.2 M is here, and chosen.")).to_be_visible()
    expect(page.get_by_label("model", exact=True)).to_have_value(re.compile("monet/tiny"))
    run = page.locator(".player").get_attribute("data-run")
    page.get_by_role("button", name="quick", exact=True).click()
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator(".player")).not_to_have_attribute("data-run", run or "")
    expect(page.locator(".player")).to_have_attribute("data-state", "finished")
    page.reload()
    page.get_by_label("model", exact=True).click()
    expect(page.get_by_role("option").filter(has_text="monet/tiny")).to_be_visible()


def test_what_the_hub_refuses_is_said_under_the_field(page: Page) -> None:
    download(page, "monet/nothing")
    expect(page.get_by_text("The Hub has no public model monet/nothing.")).to_be_visible()
    download(page, "<b>monet</b>/x")
    expect(page.get_by_text("'<b>monet</b>/x' is no name of a model")).to_be_visible()


def test_a_model_is_published_after_it_was_seen_and_by_a_click_that_says_so(
    hub: StandIn, page: Page
) -> None:
    page.get_by_label("publish as").fill("me/garden")
    page.get_by_label("licence").click()
    page.get_by_role("option", name="cc-by-4.0").click()
    page.get_by_label("private").uncheck()
    page.get_by_role("button", name="See what would be published").click()
    shown = page.locator(".studio-hub-preview")
    expect(shown).to_contain_text("where everybody can read them")
    expect(shown).to_contain_text("license: cc-by-4.0")
    expect(shown).to_contain_text("unet/diffusion_pytorch_model.safetensors")
    assert "me/garden" not in hub.repositories
    token = page.get_by_label("token of the Hub")
    expect(token).to_have_attribute("type", "password")
    token.fill(TOKEN)
    page.get_by_role("button", name=re.compile("^Publish . files for everybody to see")).click()
    expect(page.get_by_role("link", name=f"{hub.url}/me/garden")).to_be_visible()
    expect(shown).to_be_hidden()
    assert "README.md" in hub.main("me/garden")
    assert TOKEN not in page.content()


def test_another_choice_has_to_be_seen_first(hub: StandIn, page: Page) -> None:
    page.get_by_label("publish as").fill("me/other")
    page.get_by_label("licence").click()
    page.get_by_role("option", name="mit").click()
    page.get_by_role("button", name="See what would be published").click()
    button = page.get_by_role("button", name=re.compile("^Publish . files privately"))
    expect(button).to_be_visible()
    page.get_by_label("private").uncheck()
    expect(button).to_be_hidden()
    assert "me/other" not in hub.repositories


def test_what_is_not_ones_own_is_not_published(page: Page) -> None:
    page.get_by_label("model", exact=True).click()
    page.get_by_role("option", name=re.compile("impressionist-64")).click()
    page.get_by_label("publish as").fill("me/other")
    page.get_by_role("button", name="See what would be published").click()
    expect(page.get_by_text("impressionist-64 is no model of your own.")).to_be_visible()


def test_status_is_open_to_whoever_watches(server: Server) -> None:
    with urlopen(f"{server.url}status") as answer:
        status = json.load(answer)
    assert status["model"] == "tiny"
    assert status["queue_length"] == 0
    assert status["process_mb"] > 100


@contextmanager
def flooding(url: str) -> Iterator[None]:
    """Ask for more than this address may, without end: a share grows again in a second."""
    over = threading.Event()

    def ask() -> int:
        return httpx.post(f"{url}gradio_api/queue/join", json={}).status_code

    def flood() -> None:
        while not over.wait(0.05):
            ask()

    while ask() != 429:
        pass
    flooder = threading.Thread(target=flood)
    flooder.start()
    try:
        yield
    finally:
        over.set()
        flooder.join()


@pytest.mark.slow
def test_an_open_page_limits_each_visitor_and_says_so(
    browser_page: Page, model_root: Path, tmp_path: Path
) -> None:
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(tmp_path / "data"),
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "PLEIN_AIR_SINGLE_USER": "0",
        "PLEIN_AIR_PICTURE_STEPS": "10",
        "PLEIN_AIR_REQUESTS_PER_MINUTE": "60",
    }
    with running_server(environment) as server:
        browser_page.goto(server.url)
        browser_page.get_by_role("button", name="Hub", exact=True).click()
        expect(browser_page.get_by_text("Whoever runs this studio decides")).to_be_visible()
        expect(browser_page.get_by_role("button", name="Download", exact=True)).to_have_count(0)
        browser_page.get_by_role("button", name="the full 1000", exact=True).click()
        browser_page.get_by_role("button", name="Paint", exact=True).click()
        expect(browser_page.get_by_text("more than this open studio computes")).to_be_visible()
        refused = browser_page.get_by_text("more requests than one visitor may make")
        with flooding(server.url):
            # Each second there is a share for the quickest, and that may be a click.
            for _ in range(10):
                browser_page.get_by_role("button", name="Paint", exact=True).click()
                try:
                    expect(refused).to_be_visible(timeout=3_000)
                    break
                except AssertionError:
                    continue
            else:
                pytest.fail("no click was refused")
        # The page is open still, and its connection doesn't keep the server.
        os.kill(server.pid, signal.SIGTERM)
        asked = time.monotonic()
        while psutil.Process(server.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < asked + 30
            time.sleep(0.05)
