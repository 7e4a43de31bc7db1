"""The page: header, tabs, and how it is served."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Final, NoReturn

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from app.confined import limits_memory
from app.datasets.uploads import MAX_UPLOAD
from app.errors import StudioError
from app.images.reader import READERS
from app.limits import OPEN_SHARE, QueueShare
from app.settings import Settings, quiet_matplotlib
from app.studio import Studio
from app.ui.blocks import StudioBlocks
from app.ui.bodies import BodyLimit
from app.ui.browser import browser_first, browser_routes
from app.ui.card import CardPicture, show_card
from app.ui.components.layout import NETWORK, Header, model_choices
from app.ui.components.recipe_controls import keep_usable
from app.ui.components.upload import UploadButton
from app.ui.endpoints.calls import Calls, CheckedCalls
from app.ui.endpoints.files import keep_to_own_files
from app.ui.hosts import AllowedHosts, Hosts
from app.ui.hub.panel import hub_panel
from app.ui.listeners import CountedListeners, Listeners
from app.ui.middleware import VisitorCookie, asker, gate, outermost, tell_full_disk, visitor
from app.ui.page_cache import UnchangedPage
from app.ui.queue import VisitorQueue
from app.ui.served import ROUTES
from app.ui.tab_list import TABS, Tab
from app.ui.theme import NIGHT_SWITCH, STUDIO_CSS, STUDIO_HEAD, STUDIO_NAME, StudioTheme
from app.ui.uploads import upload_desk

TITLE: Final = "Plein Air"
GRACE_SECONDS: Final = 1
MAX_AT_ONCE: Final = 8
MAX_SESSIONS: Final = 10**9
MCP_COMMAND: Final = 'python -m pip install "gradio[mcp]>=6.31,<7"'


def build(studio: Studio, tabs: Sequence[Tab] = TABS) -> gr.Blocks:
    """Build `studio`'s page, not yet served; from then on the studio's models are the asker's."""
    studio.models.asks = partial(asker, studio.settings)
    READERS.asks = str if studio.settings.single_user else studio.models.asks
    page = StudioBlocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400))
    with page:
        with gr.Row(elem_classes="studio-header"):
            gr.HTML(STUDIO_NAME, elem_classes="studio-title")
            model = gr.Dropdown(
                model_choices(studio),
                value=studio.settings.default_model,
                label="model",
                show_label=False,
                elem_classes="studio-model",
            )
            hub = gr.Button("Hub", size="sm", min_width=44, elem_classes="studio-hub-button")
            precision = gr.Radio(
                ["exact", "fast"], value="fast", label="precision", elem_classes="studio-precision"
            )
            gr.HTML(NIGHT_SWITCH, elem_classes="studio-switch")
        keep_usable(studio, model)
        hub_panel(studio, model, hub, page)
        with gr.Tabs(elem_classes="studio-tabs") as shown:
            drop = UploadButton(
                "Open a saved PNG, or drop it anywhere",
                file_types=[".png"],
                size="sm",
                render=False,
            )
            header = Header(model, precision, page, shown, drop)
            for tab in tabs:
                with gr.Tab(tab.name, id=tab.id, elem_id=tab.id) as opened:
                    tab.build(studio, header, opened)
        for tab in tabs:
            if tab.calls:
                tab.calls(studio, NETWORK)
    keep_to_own_files(page)
    return page


def serve(settings: Settings) -> NoReturn:
    """Open the page, print its address, serve it until the process is told to end, and end it.

    Raises:
        StudioError: If the default model can't be used, the port is taken, MCP is asked for and
            not installed, or others are let in on a system that can't protect the page from them.
    """
    if settings.mcp and find_spec("mcp") is None:
        raise StudioError(
            "PLEIN_AIR_MCP is 1, and the package mcp is not installed.",
            f"Install it: {MCP_COMMAND}; or unset PLEIN_AIR_MCP.",
        )
    if not settings.single_user and not limits_memory():
        raise StudioError(
            "This system can't limit the memory of the process that reads strangers' files.",
            "Run an open studio on Linux, or set PLEIN_AIR_SINGLE_USER to 1.",
        )
    _require_address(settings.server_name, settings.server_port)
    # End as Ctrl-C does; as a container's process 1, Python would otherwise ignore SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    quiet_matplotlib()
    studio = Studio(settings)
    page = build(studio)
    READERS.warm_up()
    if settings.zero_gpu:
        studio.warm_up()  # ZeroGPU takes networks from this thread alone, and before the launch.
    ending = threading.Event()
    threading.Thread(target=studio.workshop.tend, args=(ending,), daemon=True).start()
    try:
        with suppress(KeyboardInterrupt):
            _launch(studio, page)
    finally:
        ending.set()
        if os.getpid() == 1:
            # A container ends with its first process, and would take the worker along unsaved.
            studio.workshop.end_worker()
    _end_process()


def _end_process() -> NoReturn:
    """End the process at once, whatever its threads do.

    Python would first end its own threads wherever they are; inside torch's code that aborts.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _require_address(name: str, port: int) -> None:
    """Check that the address is free, before a failed launch could leave anything half done."""
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        socket.create_server((name, port), family=family).close()
    except OSError as error:
        raise StudioError(
            f"The page can't be served at {name}:{port}.",
            "Another program may be there: end it, or set GRADIO_SERVER_PORT to a free port.",
        ) from error


def _doors(settings: Settings) -> Iterator[Middleware]:
    if settings.single_user:
        yield Middleware(AllowedHosts, hosts=Hosts(settings))
    yield Middleware(BodyLimit)


def _launch(studio: Studio, page: gr.Blocks) -> None:
    settings, listeners = studio.settings, Listeners()
    show_card(TITLE)
    # Otherwise Gradio answers /run and /api at once, past the queue and its length.
    page.queue(api_open=False)
    page._queue = queue = VisitorQueue(
        page,
        QueueShare() if settings.single_user else OPEN_SHARE,
        partial(visitor, proxies=settings.proxies),
        listeners,
        NETWORK,
        MAX_AT_ONCE,
        studio.limits.queue_length or None,
    )
    page.launch(
        prevent_thread_lock=True,
        mcp_server=settings.mcp,
        server_name=settings.server_name,
        server_port=settings.server_port,
        root_path=settings.root_path or None,
        ssr_mode=False,
        show_error=True,
        # Gradio's tells whoever asks which events others sent, and how long they took.
        enable_monitoring=False,
        # Else Gradio ends the server where a busy machine takes 3 s for its first page.
        _frontend=False,
        max_file_size=MAX_UPLOAD,
        # The queue forgets sessions; Gradio would forget those of open pages too.
        state_session_capacity=MAX_SESSIONS,
        app_kwargs={
            "middleware": [
                *browser_first(settings),
                Middleware(VisitorCookie),
                gate(studio, page),
                Middleware(CardPicture),
                Middleware(CheckedCalls, calls=Calls(page)),
                Middleware(CountedListeners, listeners=listeners, session_of=queue.session_of),
                upload_desk(studio),
                # The page itself, mostly; streams of events pass through as they are.
                Middleware(GZipMiddleware, minimum_size=50_000),
                Middleware(UnchangedPage),
            ],
            "routes": [*ROUTES, *browser_routes(settings)],
            "exception_handlers": {OSError: tell_full_disk},
            "lifespan": outermost(*_doors(settings)),
        },
        theme=StudioTheme(),
        css=STUDIO_CSS,
        head=f"<title>{TITLE}</title>{STUDIO_HEAD}",
    )
    # Every open page holds its connection for good; waiting for them all would take longer than
    # a container is given to end.
    page.server.config.timeout_graceful_shutdown = GRACE_SECONDS
    if not settings.zero_gpu:
        # Once the page answers: whoever opens it finds the network by the time of the first click.
        threading.Thread(target=studio.warm_up, daemon=True).start()
    page.block_thread()
