"""The page: header, tabs, and how it is served."""

import signal
import threading
from typing import Final

import gradio as gr

from app.service.studio import Studio
from app.settings import Settings
from app.ui.api import add_api
from app.ui.tabs.bound import bound_tab
from app.ui.tabs.lab_parts import Header
from app.ui.tabs.mix import mix_tab
from app.ui.tabs.noise import noise_tab
from app.ui.tabs.paint import NETWORK, paint_tab
from app.ui.tabs.theory import theory_tab
from app.ui.theme import NIGHT_SWITCH, STUDIO_CSS, STUDIO_HEAD, STUDIO_NAME, StudioTheme

TITLE: Final = "Plein Air"


def build(studio: Studio) -> gr.Blocks:
    """The page of `studio`, not yet served."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400))
    with page:
        with gr.Row(elem_classes="studio-header"):
            gr.HTML(STUDIO_NAME, elem_classes="studio-title")
            model = gr.Dropdown(
                [(info.summary, info.id) for info in studio.models.list()],
                value=studio.settings.default_model,
                label="model",
                show_label=False,
                elem_classes="studio-model",
            )
            precision = gr.Radio(
                ["exact", "fast"], value="fast", label="precision", elem_classes="studio-precision"
            )
            gr.HTML(NIGHT_SWITCH, elem_classes="studio-switch")
        with gr.Tabs() as tabs:
            with gr.Tab("Paint", id="paint"):
                drop = paint_tab(studio, model, precision, page)
            header = Header(model, precision, page, tabs, drop)
            with gr.Tab("Noise", id="noise", elem_id="noise"):
                noise_tab(studio, header)
            with gr.Tab("Mix", id="mix", elem_id="mix") as mix:
                mix_tab(studio, header, mix)
            with gr.Tab("Bound", id="bound", elem_id="bound") as bound:
                bound_tab(studio, header, bound)
            with gr.Tab("Theory", id="theory", elem_id="theory"):
                theory_tab(tabs)
        add_api(studio, NETWORK)
    return page


def serve(settings: Settings) -> None:
    """Open the page, print its address, and serve it until the process is told to end.

    Raises:
        StudioError: If the default model can't be used.
    """
    # As Ctrl-C does; as a container's process 1 Python would not hear it at all.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    studio = Studio(settings)
    page = build(studio)
    # The first painting needn't wait for the network: it is loaded while the page is opened.
    threading.Thread(target=studio.warm_up, daemon=True).start()
    page.queue(default_concurrency_limit=8).launch(
        server_name=settings.server_name,
        server_port=settings.server_port,
        root_path=settings.root_path or None,
        ssr_mode=False,
        show_error=True,
        theme=StudioTheme(),
        css=STUDIO_CSS,
        head=f"<title>{TITLE}</title>{STUDIO_HEAD}",
    )
