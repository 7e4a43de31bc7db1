"""`python -m tools.frame_trip`: the way of one frame through the code.

It paints a few steps of a DDPM run through the page's own stream, from the reverse process to the
message that the browser reads, and lists the files of app/ that a frame enters on the way.
"""

import itertools
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import gradio as gr
import typer

from app.painting.recipe import Recipe
from app.settings import ROOT, Settings
from app.studio import Studio
from app.ui.components.films import LatestRun
from app.ui.components.messages import Frames
from app.ui.paint.stream import paint_messages

STEPS: Final = 12
BEGINNING: Final = 3
"""The number of frames at the beginning that aren't steady yet, as the last two aren't."""

_APP: Final = f"{ROOT / 'app'}/"
_OPENING: Final = ("open", "fcntl.flock")


@dataclass(frozen=True)
class Trip:
    """The way of one steady frame.

    Attributes:
        files: The files of app/ in the order of their first entry, and how often each is entered
            per frame, by a call or by a generator that continues.
        threads: The number of threads that take part.
        opened: The files that app/ opens or locks in the steady frames, and from where.
    """

    files: dict[str, float]
    threads: int
    opened: tuple[str, ...]


@dataclass(frozen=True)
class _Event:
    thread: int
    file: str
    opened: str = ""


@dataclass(eq=False)
class _Recorder:
    """A recorder of what happens in app/, on all threads that begin while it records."""

    events: list[_Event] = field(default_factory=list)
    recording: bool = True

    def take(self) -> list[_Event]:
        """Return all events since the last call."""
        events, self.events = self.events, []
        return events

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        """Record that a file of app/ is entered; for sys.setprofile."""
        if self.recording and event == "call" and (file := _file(frame)):
            self.events.append(_Event(threading.get_ident(), file))

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        """Record a file that app/, or a library that it calls, opens or locks; an audit hook."""
        if self.recording and event in _OPENING and (file := _caller()):
            what = f"{event} {arguments[0]} from {file}"
            self.events.append(_Event(threading.get_ident(), file, what))


def _file(frame: FrameType) -> str:
    """Return the file of app/ that `frame` runs in; empty for any other."""
    path = frame.f_code.co_filename
    return path.removeprefix(_APP) if path.startswith(_APP) else ""


def _caller() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if file := _file(frame):
            return file
        frame = frame.f_back
    return ""


def frame_trip(settings: Settings) -> Trip:
    """Paint with the default model and follow the steady frames.

    They are followed on two threads: the one that asks for them, as the page's does, and the
    executor's. A third looks once a second how many processors are free.
    """
    recorder = _Recorder()
    sys.addaudithook(recorder.audit)  # the hook can't be removed, but is idle afterwards
    threading.setprofile(recorder.profile)
    sys.setprofile(recorder.profile)
    try:
        studio = Studio(settings)
        executor = studio.models.executor
        frames = _frames(studio, recorder)[BEGINNING:-2]
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        recorder.recording = False
    threads = {threading.get_ident(), executor.submit(threading.get_ident).result()}
    executor.shutdown()
    events = [event for frame in frames for event in frame if event.thread in threads]
    counts = Counter(event.file for event in events if not event.opened)
    return Trip(
        {file: count / len(frames) for file, count in counts.items()},
        len({event.thread for event in events}),
        tuple(sorted({event.opened for event in events if event.opened})),
    )


def _frames(studio: Studio, recorder: _Recorder) -> list[list[_Event]]:
    """Record the events of each frame, up to its message."""
    recipe = Recipe(model=studio.settings.default_model, sampler="ddpm", steps=STEPS)
    # With a clock that advances by a second per reading, every frame is a message of its own.
    run = paint_messages(studio, lambda: recipe, itertools.count().__next__)
    frames = []
    for message in LatestRun().follow(gr.Request(session_hash="trip"), run):
        events = recorder.take()
        if isinstance(message, Frames):
            frames.append(events)
    return frames


def main() -> None:
    """Print the trip of a frame."""
    trip = frame_trip(Settings(device="cpu"))
    for place, (file, count) in enumerate(trip.files.items(), start=1):
        typer.echo(f"{place:3}  {file:32}{count:5.0f}")
    typer.echo(f"{len(trip.files)} files of app/ on {trip.threads} threads")
    typer.echo("\n".join(trip.opened) or "no file opened, no lock taken")


if __name__ == "__main__":
    main()
