"""The parts that several tabs are made of: the page's header, equations, events, a kept run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import gradio as gr

from app.errors import ModelError
from app.settings import ASSETS
from app.studio import Studio
from app.ui.components.instrument import BrowserComponent
from app.ui.components.messages import Message


def model_choices(studio: Studio) -> list[tuple[str, str]]:
    """List the models there are now, as (label, id) pairs."""
    return [(info.summary, info.id) for info in studio.models.list()]


def chosen_model(studio: Studio, model_id: str) -> Any:
    """Return the update that chooses a model in the page's header, even a job's older one.

    Raises:
        ModelError: If whoever asks has no model of that id.
    """
    choices = model_choices(studio)
    if all(model_id != known for _, known in choices):
        choices.append((studio.models.describe(model_id).summary, model_id))
    return gr.update(choices=choices, value=model_id)


def kept_model(studio: Studio, model_id: str) -> Any:
    """Return the update that lists the models anew: one that is gone gives way to the default."""
    try:
        return chosen_model(studio, model_id)
    except ModelError:
        return chosen_model(studio, studio.settings.default_model)


Kept = TypeVar("Kept")

NETWORK: Final = "network"
"""The concurrency group of all events that paint."""

MAX_PAINTERS: Final = 16

LATEX: Final[list[dict[str, str | bool]]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]


@dataclass(frozen=True, eq=False)
class Header:
    """The header over all tabs, and the parts of the page that the tabs share.

    Attributes:
        model: The model that is chosen.
        precision: The precision that is chosen.
        page: The page itself.
        tabs: All tabs, of which one is open.
        drop: The button on which saved PNGs are dropped; the tab Paint puts it in its place.
        panels: Panels that other tabs may open, by the id of the tab, which adds them.
    """

    model: gr.Dropdown
    precision: gr.Radio
    page: gr.Blocks
    tabs: gr.Tabs
    drop: gr.UploadButton
    panels: dict[str, gr.Tabs] = field(default_factory=dict)


T: Final = r"\textcolor{#C2533B}{t}"
LAMBDA: Final = r"\textcolor{#8A6FB0}{\lambda}"
"""A symbol that sliders move has one colour, in the controls (labs.css) and in the equations."""


def note(text: str, look: str = "lab-note") -> None:
    """Show words and equations, @t and @l in their colours, with the CSS classes `look`."""
    coloured = text.replace("@t", T).replace("@l", LAMBDA)
    gr.Markdown(coloured, latex_delimiters=LATEX, elem_classes=look.split())


def counted(number: int, noun: str, style: str = "") -> str:
    """Count things in words: "1 step", "1000 steps"; with the style ",", "1,000 steps"."""
    return f"{number:{style}} {noun}{'' if number == 1 else 's'}"


def symbol(base: str, sub: str) -> str:
    """Return a letter of the paper as HTML, `sub` below it."""
    return f'<span class="lab-maths"><i>{base}</i><sub>{sub}</sub></span>'


def fit_control(label: str, **how: Any) -> gr.Radio:
    """Build the switch between cropping and squashing; a screen reader reads its `label` out."""
    return gr.Radio(
        ["crop", "squash"],
        value="crop",
        label=label,
        show_label=False,
        elem_classes="studio-segments",
        **how,
    )


def quiet() -> dict[str, Any]:
    """Return the options of the page's own events."""
    return {"api_visibility": "private", "show_progress": "hidden"}


def light() -> dict[str, Any]:
    """Return the options of events that run no network; they queue, as only then messages show."""
    return quiet() | {"concurrency_id": "light", "concurrency_limit": 8}


def streaming() -> dict[str, Any]:
    """Return the options of events that run a network."""
    return quiet() | {"concurrency_id": NETWORK, "concurrency_limit": MAX_PAINTERS}


def restarted() -> dict[str, Any]:
    """Return the options of events that a LatestRun follows: a click in a run begins another."""
    # Otherwise Gradio ignores clicks until it hears that the last run is over.
    return streaming() | {"trigger_mode": "multiple", "show_progress": "minimal"}


def open_with(
    tab: gr.Tab, instrument: BrowserComponent, kept: Callable[[], Message | str | None]
) -> None:
    """Show a kept run when the tab is first opened, so that it needn't come with the page."""
    opened = gr.State(False)

    def first(opened: bool) -> tuple[bool, Any]:
        return True, gr.skip() if opened else kept() or gr.skip()

    tab.select(first, opened, [opened, instrument], **light())


STORED: Final = "stored"
"""The name of a run that a tab opens with: done once by the bundled model, and kept."""

FOLDER: Final = ASSETS / "laboratory"
"""Films as the message that a player takes; grid, morph and bound as results."""


def stored(name: str) -> str | None:
    """Read the film kept as `name`, as the player takes it; None where there is none."""
    return stored_result(lambda file: file.read_text(encoding="utf-8"), f"{name}.json")


def stored_result(read: Callable[[Path], Kept], file: str) -> Kept | None:
    """Read the kept result in a `file`; None where there is none."""
    return read(FOLDER / file) if (FOLDER / file).exists() else None
