"""The tabs of the page, in order. To add one, add a folder here and a line in TABS."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import gradio as gr

from app.studio import Studio
from app.ui.bound.api import add_bound_api
from app.ui.bound.tab import bound_tab
from app.ui.components.laboratory import LabTab
from app.ui.components.layout import Header
from app.ui.mix.api import add_mix_api
from app.ui.mix.tab import mix_tab
from app.ui.noise.api import add_noise_api
from app.ui.noise.tab import noise_tab
from app.ui.paint.api import add_paint_api
from app.ui.paint.tab import paint_tab
from app.ui.theory.tab import theory_tab
from app.ui.train.api import add_train_api
from app.ui.train.tab import train_tab


@dataclass(frozen=True)
class Tab:
    """A tab of the page, with all that belongs to it alone.

    Attributes:
        name: The word on the tab.
        build: Fills the given gr.Tab; a laboratory's returns it.
        heading: The heading of the tab's endpoints in docs/api.md.
        calls: Adds the endpoints; those that run a network join the group named.
    """

    name: str
    build: Callable[[Studio, Header, gr.Tab], LabTab | None]
    heading: str = ""
    calls: Callable[[Studio, str], None] | None = None

    @property
    def id(self) -> str:
        """The tab's id on the page, and the name of its folders in app/ui and in assets."""
        return self.name.lower()


TABS: Final = (
    Tab("Paint", paint_tab, "Painting", add_paint_api),
    Tab("Noise", noise_tab, "The laboratory Noise", add_noise_api),
    Tab("Mix", mix_tab, "The laboratory Mix", add_mix_api),
    Tab("Bound", bound_tab, "The laboratory Bound", add_bound_api),
    Tab("Train", train_tab, "Training", add_train_api),
    Tab("Theory", theory_tab),
)
