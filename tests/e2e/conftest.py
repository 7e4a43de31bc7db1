"""A real browser for the tests, and pages that are served for one test."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Page

from app.ui.served import ROUTES
from app.ui.theme import STUDIO_CSS, STUDIO_HEAD, StudioTheme
from tests.workers import end_workers
from tools.server import Server, running_server

Serve = Callable[[gr.Blocks], str]


@contextmanager
def served_studio(
    models: Path, model: str, folders: pytest.TempPathFactory, **settings: str
) -> Iterator[Server]:
    """Serve a studio that opens with a model, with further `settings` by their names."""
    data = folders.mktemp("data")
    environment = {
        "PLEIN_AIR_MODELS": str(models),
        "PLEIN_AIR_MODEL": model,
        "PLEIN_AIR_DATA": str(data),
        # The tests' one visitor is faster than a person.
        "PLEIN_AIR_REQUESTS_PER_MINUTE": "0",
        "PLEIN_AIR_JOB_THREADS": "1",
        "GRADIO_TEMP_DIR": str(folders.mktemp("gradio")),
    }
    try:
        with running_server(environment | settings) as server:
            yield server
    finally:
        end_workers(data)


@pytest.fixture(scope="session")
def studio(model_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A served studio that opens with the tiny model, and whose visitors are told apart."""
    apart = {"PLEIN_AIR_SINGLE_USER": "0"}
    with served_studio(model_root, "tiny", tmp_path_factory, **apart) as server:
        yield server


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
            app_kwargs={"routes": [*ROUTES]},
        )
        return f"http://127.0.0.1:{port}/"

    yield start
    for blocks in served:
        blocks.close(verbose=False)


@pytest.fixture
def browser_page(serve: Serve, browser_page: Page) -> Page:
    """The page, which is closed before the server that it may still be loading from."""
    del serve  # that it is ended later is all that is asked of it
    return browser_page
