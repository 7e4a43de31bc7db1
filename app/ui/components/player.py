"""The player: a component that keeps a run's frames in the browser, and what is said to it.

Its value is one message at a time; each `yield` of an event's generator brings the frames that
came since the last one, and the browser appends them. Scrubbing asks the server nothing. What a
person asks for comes back as events: `player.select` (see `PlayerEvent`) and `player.stop`. The
player is never an event's input.
"""

from typing import Any, Final, Literal, Self

import gradio as gr
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import StudioError
from app.ui.components.instrument import BrowserComponent
from app.ui.components.messages import Message

FileType = Literal["gif", "webp", "strip"]

MAX_RUN: Final = 10_000
"""The most characters of a run's name, which may carry the run's recipe."""


class FromPage(BaseModel):
    """A request from the browser, in which nothing is taken for granted.

    A handler, `def on_select(event: gr.EventData)`, reads it by `of`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def of(cls, event: gr.EventData) -> Self:
        """Read an event.

        Raises:
            StudioError: If the event is no such request.
        """
        try:
            return cls.model_validate(event._data)
        except ValidationError as error:
            raise StudioError(
                "The page sent a request that can't be read.", "Reload the page."
            ) from error


class PlayerEvent(FromPage):
    """A person's request to a player.

    Attributes:
        action: "animate", "strip", "branch" or "enlarge".
        run: The run shown, as its Start or FilmMessage named it.
        picture: Which of the run's pictures, from 0.
        frame: The index i of the frame at the slider.
        format: For "animate": "gif" or "webp".
    """

    action: Literal["animate", "strip", "branch", "enlarge"]
    run: str = Field(max_length=MAX_RUN)
    picture: int = Field(ge=0, lt=1000)
    frame: int = Field(ge=0, le=1_000_000)
    format: Literal["gif", "webp"] = "gif"

    @property
    def file_type(self) -> FileType:
        """The type of the file to save, where `action` is "animate" or "strip"."""
        return "strip" if self.action == "strip" else self.format


class Player(BrowserComponent):
    """The player of a run: three views, a slider from noise to painting, a strip of moments."""

    def __init__(
        self, value: Message | str | None = None, *, label: str = "player", **kwargs: Any
    ) -> None:
        super().__init__(
            value,
            label=label,
            html_template='<div class="player-root"></div>',
            js_on_load="pleinAir.player(element, trigger, props, watch);",
            elem_classes=["plein-air-player"],
            **kwargs,
        )
