"""The header's panel: bring a model from the Hub, or publish the chosen one there."""

from collections.abc import Generator, Iterator
from typing import Any, Final

import gradio as gr

from app.service.hub.ids import MAX_REVISION
from app.service.hub.progress import Transfer
from app.service.studio import Studio
from app.ui.faults import explained
from app.ui.hub_words import status
from app.ui.publish_panel import publish_panel

EXAMPLE: Final = "google/ddpm-cifar10-32"
ABOUT: Final = (
    "A DDPM in diffusers' layout with safetensors, of any size. It is downloaded once, "
    "and kept for when there is no network."
)
STOPPED: Final = "Stopped. What is whole is kept; download again to go on."
ELSEWHERE: Final = "Whoever runs this studio decides which models there are."


def hub_button() -> gr.Button:
    """The words in the header that open the panel."""
    return gr.Button("Hub", size="sm", min_width=44, elem_classes="studio-hub-button")


def hub_panel(studio: Studio, model: gr.Dropdown, button: gr.Button, page: gr.Blocks) -> None:
    """Build the panel under the header, which `button` opens and closes."""
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    with gr.Column(visible=False, elem_classes="studio-hub") as panel:
        if studio.settings.may_add_models:
            _add_panel(studio, model)
        else:
            gr.HTML(status(ELSEWHERE))
        publish_panel(studio, model)
    is_open = gr.State(False)

    def toggle(was_open: bool) -> tuple[bool, Any]:
        return not was_open, gr.update(visible=not was_open)

    button.click(toggle, is_open, [is_open, panel], queue=False, **quiet)
    built = model_choices(studio)

    def known() -> Any:
        """The models that came since the page was built, and the visitor's own."""
        found = model_choices(studio)
        # Nothing is sent in vain: Gradio loses what is chosen while the list is exchanged.
        return gr.skip() if found == built else gr.update(choices=found)

    page.load(known, outputs=model, **quiet)


def model_choices(studio: Studio) -> list[tuple[str, str]]:
    """The models there are now, by label."""
    return [(info.summary, info.id) for info in studio.models.list()]


def chosen_model(studio: Studio, model_id: str) -> Any:
    """What chooses a model in the page's header, also one of a job's that isn't its newest.

    Raises:
        ModelError: If whoever asks has none of that id.
    """
    choices = model_choices(studio)
    if all(model_id != known for _, known in choices):
        choices.append((studio.models.describe(model_id).summary, model_id))
    return gr.update(choices=choices, value=model_id)


def _add_panel(studio: Studio, model: gr.Dropdown) -> None:
    with gr.Row(elem_classes="studio-hub-row"):
        name = gr.Textbox(label="another model", placeholder=EXAMPLE, max_lines=1, max_length=120)
        revision = gr.Textbox(
            label="revision", placeholder="main", max_lines=1, max_length=MAX_REVISION
        )
        download = gr.Button("Download", size="sm")
        stop = gr.Button("Stop", size="sm")
    line = gr.HTML(status(ABOUT))

    def add(name: str, revision: str) -> Iterator[tuple[str, Any]]:
        yield status("asking the Hub"), gr.skip()
        try:
            info = yield from _told(studio.hub.models.add(name, revision))
        except Exception as error:
            yield status(str(explained(error)), fault=True), gr.skip()
            return
        yield status(f"{info.summary} is here, and chosen."), chosen_model(studio, info.id)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    downloads = quiet | {"concurrency_id": "hub", "concurrency_limit": 2}
    events: list[Any] = [
        trigger(add, [name, revision], [line, model], **downloads)
        for trigger in (download.click, name.submit, revision.submit)
    ]
    stop.click(lambda: status(STOPPED), outputs=line, cancels=events, **quiet)


def _told(stream: Generator[Transfer, None, Any]) -> Generator[tuple[str, Any], None, Any]:
    """A transfer's progress in the status line's words, each percent once."""
    percent = -1
    try:
        while True:
            transfer = next(stream)
            now = 100 * transfer.done // max(1, transfer.total)
            if now != percent:
                percent = now
                yield status(f"{now} % · {transfer.in_words}"), gr.skip()
    except StopIteration as end:
        return end.value
    finally:
        stream.close()
