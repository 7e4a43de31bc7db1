"""Theory: the paper in one page, each part with the laboratory where it can be tried."""

import re
from pathlib import Path
from typing import Final

import gradio as gr

from app.studio import Studio
from app.ui.components.layout import Header, note, quiet

_COLUMNS: Final = "<!-- columns -->\n"
_LEAD: Final = re.compile(r"\[([^]]+)\]\(#([^)]+)\)")


def theory_tab(_: Studio, header: Header, __: gr.Tab) -> None:
    """Build the tab from theory.md; its buttons open the other tabs and their panels.

    The last line of a part of the file is a link for each button; "noise/posterior" is a panel of
    the tab Noise. In a part that is marked so, neighbouring equations stand beside each other.
    """
    text = Path(__file__).with_name("theory.md").read_text(encoding="utf-8")
    *parts, references = re.split(r"^(?=##)", text, flags=re.M)[1:]
    with gr.Column(elem_classes="lab-theory"):
        for part in parts:
            words, links = part.strip().rsplit("\n\n", maxsplit=1)
            look = "lab-text lab-columns" if _COLUMNS in words else "lab-text"
            with gr.Column(elem_classes="lab-part"):
                note(words.replace(_COLUMNS, ""), look)
                with gr.Row():
                    for name, to in _LEAD.findall(links):
                        _lead(gr.Button(name, size="sm", elem_classes="lab-lead"), to, header)
        note(references, "lab-text")


def _lead(button: gr.Button, to: str, header: Header) -> None:
    tab, _, panel = to.partition("/")
    chosen = {header.tabs: tab}
    if panel:
        chosen[header.panels[tab]] = panel

    def led() -> dict[gr.Tabs, gr.Tabs]:
        return {tabs: gr.Tabs(selected=each) for tabs, each in chosen.items()}

    button.click(led, outputs=list(chosen), queue=False, **quiet())
