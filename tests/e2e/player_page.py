"""A page with one player, fed by made-up runs whose every colour is known."""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import gradio as gr
import numpy as np

from app.errors import StudioError
from app.images.arrays import Pixels
from app.images.encoding import data_uri, png_bytes
from app.ui.components.films import RunMessages, frame_sheet
from app.ui.components.messages import (
    Download,
    Failure,
    FilmMessage,
    FinishedPicture,
    FrameInfo,
    Message,
    PlayerFrame,
    Progress,
)
from app.ui.components.player import Player, PlayerEvent
from app.ui.theme import NIGHT_SWITCH

SIDE = 20
"""No multiple of 8, so tiles are padded."""

HUES = ((200, 40, 40), (40, 160, 60), (40, 80, 200), (220, 180, 40))
GREY = (128, 128, 128)


def tile(colour: tuple[int, int, int]) -> Pixels:
    return np.full((SIDE, SIDE, 3), colour, dtype=np.uint8)


def info(i: int, steps: int) -> FrameInfo:
    signal = i / steps
    snr_db = float("inf") if i == steps else -40.0 + 60 * signal
    return FrameInfo(i, round(1000 * (1 - signal)), snr_db, signal)


def frame(i: int, steps: int, pictures: int) -> PlayerFrame:
    """x_t is grey until the last frame, x_0_hat each picture's hue, eps_hat black."""
    hues = np.stack([tile(HUES[n % len(HUES)]) for n in range(pictures)])
    x_t = hues if i == steps else np.stack([tile(GREY)] * pictures)
    eps_hat = None if i == steps else np.zeros_like(hues)
    return PlayerFrame(**vars(info(i, steps)), src=frame_sheet((x_t, hues, eps_hat)))


def png(n: int) -> bytes:
    return png_bytes(tile(HUES[n % len(HUES)]))


def finished(pictures: int) -> tuple[FinishedPicture, ...]:
    return tuple(
        FinishedPicture(data_uri(png(n), "image/png"), f"hue-{n}.png", f"hue {n}", n, f"link{n}")
        for n in range(pictures)
    )


def film(steps: int = 12) -> FilmMessage:
    hue = np.stack([tile(HUES[0])] * (steps + 1))
    x_t = np.stack([*[tile(GREY)] * steps, tile(HUES[0])])
    return FilmMessage(
        run="stored",
        title="a stored run",
        tile=(SIDE, SIDE),
        steps=steps,
        frames=tuple(info(i, steps) for i in range(steps + 1)),
        sheets=(frame_sheet((x_t, hue, np.zeros_like(hue))),),
        finished=finished(1),
    )


class PlayerPage:
    """The page, its runs, and what reached the server.

    Args:
        value: What the player shows at first.
        cancels: Whether Stop ends the run; else it goes on, as if its frames were on their way.
        keeps: Whether the browser keeps its runs.

    Attributes:
        gate: While it is closed, gated runs wait before the frame `gate_at`.
        asked: What the player asked for.
        stopped: Set when a run was closed before its end.
        dropped: The bytes of the files that were dropped on the page.
    """

    def __init__(
        self, value: Message | None = None, *, cancels: bool = True, keeps: bool = False
    ) -> None:
        self.gate = threading.Event()
        self.gate_at = 6
        self.asked: list[PlayerEvent] = []
        self.stopped = threading.Event()
        self.dropped: queue.Queue[bytes] = queue.Queue()
        self.blocks = self._build(value, cancels, keeps)

    def _build(self, value: Message | None, cancels: bool, keeps: bool) -> gr.Blocks:
        private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        with gr.Blocks(title="player") as blocks:
            gr.HTML(NIGHT_SWITCH)
            with gr.Tab("Paint"):
                with gr.Row():
                    steps = gr.Number(12, label="steps", precision=0)
                    pictures = gr.Number(1, label="pictures", precision=0)
                    rate = gr.Number(1000, label="rate", precision=0)
                with gr.Row():
                    paint, fail, look = gr.Button("Paint"), gr.Button("Fail"), gr.Button("Look")
                player = Player(value, keeps=keeps)
                dropped = gr.File(elem_id="recipe-drop", file_types=[".png"], type="binary")
            with gr.Tab("Elsewhere"):
                gr.Markdown("Something else.")
        with blocks:
            run = paint.click(
                self._paint, [steps, pictures, rate], player, trigger_mode="multiple", **private
            )
            fail.click(self._fail, None, player, **private)
            kept = replace(film(), run="kept", kept=True)
            look.click(lambda: kept, None, player, **private)
            player.select(self._select, None, player, **private)
            player.stop(None, cancels=[run] if cancels else None)
            dropped.upload(self.dropped.put, dropped, None, **private)
        return cast(gr.Blocks, blocks)

    def _paint(self, steps: int, pictures: int, rate: int) -> Iterator[Message]:
        run = RunMessages(f"{steps} steps", pictures, (SIDE, SIDE), steps)
        done = False
        try:
            yield run.start()
            for i in range(steps + 1):
                if i == self.gate_at:
                    self.gate.wait(30)
                run.add(frame(i, steps, pictures))
                yield run.frames(Progress(i, steps, info(i, steps).t, 4.0))
                time.sleep(1 / rate)
            done = True
            yield run.end(finished(pictures))
        finally:
            if not done:
                self.stopped.set()

    def _fail(self) -> Iterator[Message]:
        run = RunMessages("a run that fails", 1, (SIDE, SIDE), 12)
        yield run.start()
        run.add(frame(0, 12, 1))
        yield run.frames(Progress(0, 12, 1000))
        yield Failure("The model's file is gone.", "Choose another model.")

    def _select(self, event: gr.EventData) -> Message:
        try:
            asked = PlayerEvent.of(event)
        except StudioError as error:
            return Failure(error.message, error.hint)
        self.asked.append(asked)
        return Download(f"run.{asked.file_type}", data_uri(png(0), "image/png"))
