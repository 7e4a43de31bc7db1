"""The page: header, tabs, and how it is served."""

import os
import signal
import socket
import threading
from functools import partial
from importlib.util import find_spec
from typing import Final

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from app.errors import StudioError
from app.service.sets.store import MAX_UPLOAD
from app.service.studio import Studio
from app.settings import Settings
from app.ui.api import add_api
from app.ui.files import keep_to_own_files
from app.ui.gate import gate
from app.ui.hub_panel import hub_button, hub_panel, model_choices
from app.ui.owner import OwnerCookie, asker
from app.ui.run_controls import keep_usable
from app.ui.tabs.bound import bound_tab
from app.ui.tabs.lab_parts import Header
from app.ui.tabs.mix import mix_tab
from app.ui.tabs.noise import noise_tab
from app.ui.tabs.paint import NETWORK, paint_tab
from app.ui.tabs.theory import theory_tab
from app.ui.tabs.train import train_tab
from app.ui.theme import NIGHT_SWITCH, STUDIO_CSS, STUDIO_HEAD, STUDIO_NAME, StudioTheme

TITLE: Final = "Plein Air"
GRACE_SECONDS: Final = 1
MCP_COMMAND: Final = 'python -m pip install "gradio[mcp]>=6.31,<7"'


def build(studio: Studio) -> gr.Blocks:
    """The page of `studio`, not yet served; from here on its models are those of who asks."""
    studio.models.asks = partial(asker, studio.settings)
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400))
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
            hub = hub_button()
            precision = gr.Radio(
                ["exact", "fast"], value="fast", label="precision", elem_classes="studio-precision"
            )
            gr.HTML(NIGHT_SWITCH, elem_classes="studio-switch")
        keep_usable(studio, model)
        hub_panel(studio, model, hub, page)
        with gr.Tabs() as tabs:
            with gr.Tab("Paint", id="paint"):
                drop = paint_tab(studio, model, precision, page)
            header = Header(model, precision, page, tabs, drop)
            with gr.Tab("Noise", id="noise", elem_id="noise"):
                panels = noise_tab(studio, header)
            with gr.Tab("Mix", id="mix", elem_id="mix") as mix:
                mix_tab(studio, header, mix)
            with gr.Tab("Bound", id="bound", elem_id="bound") as bound:
                bound_tab(studio, header, bound)
            with gr.Tab("Train", id="train", elem_id="train") as train:
                train_tab(studio, header, train)
            with gr.Tab("Theory", id="theory", elem_id="theory"):
                theory_tab(tabs, panels)
        add_api(studio, NETWORK)
    keep_to_own_files(page)
    return page


def serve(settings: Settings) -> None:
    """Open the page, print its address, and serve it until the process is told to end.

    Raises:
        StudioError: If the default model can't be used, the port is taken, or MCP is asked for and
            not installed.
    """
    if settings.mcp and find_spec("mcp") is None:
        raise StudioError(
            "PLEIN_AIR_MCP is 1, and the package mcp is not installed.",
            f"Install it: {MCP_COMMAND}; or unset PLEIN_AIR_MCP.",
        )
    _require_address(settings.server_name, settings.server_port)
    # As Ctrl-C does; as a container's process 1 Python would not hear it at all.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    studio = Studio(settings)
    page = build(studio)
    # The first painting needn't wait for the network: it is loaded while the page is opened.
    if settings.zero_gpu:
        studio.warm_up()  # ZeroGPU takes networks from this thread alone, and before the launch.
    else:
        threading.Thread(target=studio.warm_up, daemon=True).start()
    ending = threading.Event()
    threading.Thread(target=studio.workshop.tend, args=(ending,), daemon=True).start()
    try:
        _launch(studio, page)
    finally:
        ending.set()
        if os.getpid() == 1:
            # A container ends with its first process, and would take the worker along unsaved.
            studio.workshop.end_worker()


def _require_address(name: str, port: int) -> None:
    """Look before anything is begun that a failed launch would leave half done."""
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        socket.create_server((name, port), family=family).close()
    except OSError as error:
        raise StudioError(
            f"The page can't be served at {name}:{port}.",
            "Another program may be there: end it, or set GRADIO_SERVER_PORT to a free port.",
        ) from error


def _launch(studio: Studio, page: gr.Blocks) -> None:
    settings, waiting = studio.settings, studio.limits.queue_length
    # Otherwise Gradio answers /run and /api at once, past the queue and its length.
    page.queue(default_concurrency_limit=8, max_size=waiting or None, api_open=False).launch(
        prevent_thread_lock=True,
        mcp_server=settings.mcp,
        server_name=settings.server_name,
        server_port=settings.server_port,
        root_path=settings.root_path or None,
        ssr_mode=False,
        show_error=True,
        max_file_size=MAX_UPLOAD,
        app_kwargs={
            "middleware": [
                Middleware(OwnerCookie),
                gate(studio, page),
                # The page itself, mostly; streams of events pass through as they are.
                Middleware(GZipMiddleware, minimum_size=50_000),
            ]
        },
        theme=StudioTheme(),
        css=STUDIO_CSS,
        head=f"<title>{TITLE}</title>{STUDIO_HEAD}",
    )
    # Every open page holds a connection for good; an end that waited for them would take longer
    # than a container is given.
    page.server.config.timeout_graceful_shutdown = GRACE_SECONDS
    page.block_thread()
