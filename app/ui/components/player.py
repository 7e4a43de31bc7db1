"""The player: a component that keeps a run's frames in the browser, and what is said to it.

Its value is one message at a time; each `yield` of an event's generator brings the frames that
came since the last one, and the browser appends them. Scrubbing asks the server nothing. What a
person asks for comes back as events: `player.select` (see `PlayerEvent`) and `player.stop`. The
player is never an event's input.
"""

import json
from typing import Any, Final, Literal, Self

import gradio as gr
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import StudioError
from app.images.video import HOW, NO_VIDEO, makes_videos
from app.painting.film import PictureView
from app.painting.recipe import MAX_JSON
from app.ui.components.instrument import BrowserComponent
from app.ui.components.messages import Message

FileType = Literal["gif", "webp", "mp4", "strip", "zip"]

FILES: Final = ("animate", "strip", "zip")
"""The requests for a file to save."""

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
        return cls.read(event._data)

    @classmethod
    def read(cls, data: object) -> Self:
        """Read a request, or its JSON.

        Raises:
            StudioError: If it is no such request.
        """
        try:
            if isinstance(data, str):
                return cls.model_validate_json(data)
            return cls.model_validate(data)
        except ValidationError as error:
            raise StudioError(
                "The page sent a request that can't be read.", "Reload the page."
            ) from error


class PlayerEvent(FromPage):
    """A person's request to a player.

    Attributes:
        action: What to do: make a file, as FILES says; "branch", "vary" or "enlarge"; or "whole",
            to paint a stopped run again.
        run: The run shown, as its Start or FilmMessage named it.
        recipe: What came beside the name, where that can't hold the run's recipe.
        picture: Which of the run's pictures, from 0.
        frame: The index i of the frame at the slider.
        format: For "animate": "gif", "webp" or "mp4".
        view: Of a file, which view it shows.
        strength: Of variations, how far from the picture they go.
    """

    action: Literal["animate", "strip", "zip", "branch", "vary", "enlarge", "whole"]
    run: str = Field(max_length=MAX_RUN)
    recipe: str = Field(default="", max_length=MAX_JSON)
    picture: int = Field(ge=0, lt=1000)
    frame: int = Field(ge=0, le=1_000_000)
    format: Literal["gif", "webp", "mp4"] = "gif"
    view: PictureView = "x_t"
    strength: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)

    @property
    def file_type(self) -> FileType:
        """The type of the file to save, where `action` is one of FILES."""
        match self.action:
            case "strip" | "zip" as kind:
                return kind
            case _:
                return self.format


class Visit(FromPage):
    """A person's return to a run that was shown before.

    Attributes:
        run: The run's name.
        recipe: What came beside it.
    """

    run: str = Field(max_length=MAX_RUN)
    recipe: str = Field(default="", max_length=MAX_JSON)


class Opening(FromPage):
    """What the page opens with, as the browser tells it.

    Attributes:
        link: The recipe of the link that was followed; empty for none.
        settings: The values that the form's controls had, by name; None where none are kept.
        start: What the form's painting starts from, where that isn't noise and is kept.
    """

    link: str = Field(default="", max_length=MAX_RUN)
    settings: dict[str, Any] | None = None
    start: dict[str, Any] | None = None


class Player(BrowserComponent):
    """The player of a run: three views, a slider from noise to painting, a strip of moments."""

    def __init__(
        self,
        value: Message | str | None = None,
        *,
        label: str = "player",
        keeps: bool = False,
        **kwargs: Any,
    ) -> None:
        """Build it; one that `keeps` has its runs kept by the browser, and shown by the address."""
        how = json.dumps({"keeps": keeps, "noVideo": "" if makes_videos() else f"{NO_VIDEO} {HOW}"})
        super().__init__(
            value,
            label=label,
            html_template='<div class="player-root"></div>',
            js_on_load=f"pleinAir.player(element, trigger, props, watch, {how});",
            elem_classes=["plein-air-player"],
            **kwargs,
        )
        self.keeps = keeps  # Gradio puts what a constructor takes into the page.
