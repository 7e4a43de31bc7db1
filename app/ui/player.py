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
from app.settings import ASSETS
from app.ui.instrument import Instrument
from app.ui.messages import (
    Download,
    End,
    Failure,
    Film,
    FinishedPicture,
    FrameInfo,
    Frames,
    Message,
    PlayerFrame,
    Progress,
    RunMessages,
    Start,
    Waiting,
)
from app.ui.sheets import data_uri, frame_sheet, sheet_quality

__all__ = [
    "Download",
    "End",
    "Failure",
    "FileType",
    "Film",
    "FinishedPicture",
    "FrameInfo",
    "Frames",
    "Message",
    "Player",
    "PlayerEvent",
    "PlayerFrame",
    "Progress",
    "RunMessages",
    "Start",
    "Waiting",
    "data_uri",
    "frame_sheet",
    "sheet_quality",
]

FileType = Literal["gif", "webp", "strip"]

MAX_RUN: Final = 10_000
"""A run's name may carry its recipe."""

_JS: Final = "\n".join(
    (ASSETS / name).read_text(encoding="utf-8")
    for name in ("film.js", "player_view.js", "player_controls.js", "player.js")
)


class PlayerEvent(BaseModel):
    """What a person asked of a player: `def on_select(event: gr.EventData)` reads it by `of`.

    It comes from the browser, so nothing about it is taken for granted.

    Attributes:
        action: "animate", "strip" or "branch".
        run: The run shown, as its Start or Film named it.
        picture: Which of its pictures, from 0.
        frame: The index i of the frame at the slider.
        format: For "animate": "gif" or "webp".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Literal["animate", "strip", "branch"]
    run: str = Field(max_length=MAX_RUN)
    picture: int = Field(ge=0, lt=1000)
    frame: int = Field(ge=0, le=1_000_000)
    format: Literal["gif", "webp"] = "gif"

    @property
    def file_type(self) -> FileType:
        """What is to be saved, where `action` is not "branch"."""
        return "strip" if self.action == "strip" else self.format

    @classmethod
    def of(cls, event: gr.EventData) -> Self:
        """Read an event.

        Raises:
            StudioError: If it is none of the player's.
        """
        try:
            return cls.model_validate(event._data)
        except ValidationError as error:
            raise StudioError(
                "The page sent a request that can't be read.", "Reload the page."
            ) from error


class Player(Instrument):
    """Shows a run: three views, a slider from noise to painting, a strip of moments."""

    def __init__(
        self, value: Message | str | None = None, *, label: str = "player", **kwargs: Any
    ) -> None:
        super().__init__(
            value,
            label=label,
            html_template='<div class="player-root"></div>',
            js_on_load=f"{_JS}\nmountPlayer(element, trigger, props, watch);",
            elem_classes=["plein-air-player"],
            **kwargs,
        )
