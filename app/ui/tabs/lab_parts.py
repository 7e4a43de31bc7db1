"""What the laboratories' tabs are made of: the page's header, texts with equations, events."""

import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from app.diffusion.noise import MAX_SEED
from app.ui.instrument import Instrument
from app.ui.messages import Message
from app.ui.tabs.paint import MAX_PAINTERS, NETWORK, RESTARTED

LATEX: Final[list[dict[str, str | bool]]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]


@dataclass(frozen=True, eq=False)
class Header:
    """What stands over all tabs, the page itself, and where saved PNGs are dropped."""

    model: gr.Dropdown
    precision: gr.Radio
    page: gr.Blocks
    tabs: gr.Tabs
    drop: gr.UploadButton


T: Final = r"\textcolor{#C2533B}{t}"
LAMBDA: Final = r"\textcolor{#8A6FB0}{\lambda}"
"""What sliders move has one colour, in the controls (labs.css) and in the equations."""


def coloured(text: str) -> str:
    """Text in which @t and @l stand for t and lambda in their colours."""
    return text.replace("@t", T).replace("@l", LAMBDA)


def intro(text: str) -> None:
    """The words and equations that a tab opens with."""
    gr.Markdown(coloured(text), latex_delimiters=LATEX, elem_classes="lab-intro")


def note(text: str) -> None:
    """A sentence or two over a panel, with its equations."""
    gr.Markdown(coloured(text), latex_delimiters=LATEX, elem_classes="lab-note")


def symbol(base: str, sub: str = "") -> str:
    """A letter of the paper as HTML."""
    below = f"<sub>{sub}</sub>" if sub else ""
    return f'<span class="lab-maths"><i>{base}</i>{below}</span>'


def quiet() -> dict[str, Any]:
    """How the page's own events behave."""
    return {"api_visibility": "private", "show_progress": "hidden"}


def light() -> dict[str, Any]:
    """Events that don't run a network; through the queue, where alone messages are shown."""
    return quiet() | {"concurrency_id": "light", "concurrency_limit": 8}


def streaming() -> dict[str, Any]:
    """Events that run a network."""
    return quiet() | {"concurrency_id": NETWORK, "concurrency_limit": MAX_PAINTERS}


def restarted() -> dict[str, Any]:
    """Events that a LatestRun follows: a click while one runs begins another."""
    return streaming() | RESTARTED


def keeping(run: Generator[tuple[Message, Any], None, None]) -> Iterator[tuple[Message, Any]]:
    """`run`, where what there is to save stays when it has nothing new: after a failure."""
    try:
        for message, result in run:
            yield message, gr.skip() if result is None else result
    finally:
        run.close()


def wire_dice(dice: gr.Button, seed: gr.Number) -> None:
    """Let the button draw a new seed."""
    dice.click(lambda: secrets.randbelow(MAX_SEED + 1), outputs=seed, queue=False, **quiet())


def open_with(
    tab: gr.Tab, instrument: Instrument, kept: Callable[[], Message | str | None]
) -> None:
    """Show a kept run when the tab is first opened; it needn't come with the page."""
    opened = gr.State(False)

    def first(opened: bool) -> tuple[bool, Any]:
        return True, gr.skip() if opened else kept() or gr.skip()

    tab.select(first, opened, [opened, instrument], **light())
