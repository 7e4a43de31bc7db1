"""A real browser for the tests, and pages that are served for one test."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from app.shell.server import Server, running_server
from app.ui.theme import STUDIO_CSS, STUDIO_HEAD, StudioTheme
from tests.lacking import lacking
from tests.workers import end_workers

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# On a busy machine a first interaction takes seconds; what never comes still fails the test.
expect.set_options(timeout=30_000)

Serve = Callable[[gr.Blocks], str]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium; without one the test is skipped, or fails where CI=true."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        lacking("browser tests need Chromium: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """One browser profile for all pages: what was downloaded and compiled once stays so."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 720}, accept_downloads=True, reduced_motion="reduce"
    )
    yield context
    context.close()


@pytest.fixture
def browser_page(visitor: BrowserContext) -> Iterator[Page]:
    """An empty page of laptop size, as of a new visitor; errors in it fail the test."""
    page = visitor.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    yield page
    page.close()
    visitor.set_storage_state({"cookies": [], "origins": []})
    assert errors == []


@pytest.fixture(scope="session")
def studio(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A served studio that opens with the tiny model, and whose visitors are told apart."""
    data = tmp_path_factory.mktemp("data")
    environment = {
        "PLEIN_AIR_MODELS": str(model_root),
        "PLEIN_AIR_MODEL": "tiny",
        "PLEIN_AIR_DATA": str(data),
        "PLEIN_AIR_SINGLE_USER": "0",
        # The tests' one visitor is faster than a person.
        "PLEIN_AIR_REQUESTS_PER_MINUTE": "0",
        "PLEIN_AIR_JOB_THREADS": "1",
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
    }
    try:
        with running_server(environment) as server:
            yield server
    finally:
        end_workers(data)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a page on a free port until the test is over, and says where."""
    served: list[gr.Blocks] = []

    def start(blocks: gr.Blocks) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        served.append(blocks)
        blocks.queue().launch(
            server_name="127.0.0.1",
            server_port=port,
            prevent_thread_lock=True,
            ssr_mode=False,
            quiet=True,
            footer_links=[],
            theme=StudioTheme(),
            css=STUDIO_CSS,
            head=STUDIO_HEAD,
        )
        return f"http://127.0.0.1:{port}/"

    yield start
    for blocks in served:
        blocks.close(verbose=False)
