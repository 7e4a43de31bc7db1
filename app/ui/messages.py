"""What is said to a player: one message a yield, as JSON that its JavaScript reads.

A run is a Start, Frames with all frames since the last message, and an End; a stored one is a
Film. Timesteps are the paper's: T is noise, 0 the painting.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final
from uuid import uuid4

VIEWS: Final = ("x_t", "x_0_hat", "eps_hat")


@dataclass(frozen=True)
class Progress:
    """How far a run is, in words: "step 37 of 100 · t = 630 · 4 s left".

    Attributes:
        step: The network's steps done.
        steps: All of them.
        t: The paper's timestep that was reached; None while a branch's parent is retraced.
        seconds_left: None where it isn't known yet.
    """

    step: int
    steps: int
    t: int | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class FrameInfo:
    """Where in its run a frame lies.

    Attributes:
        i: 0 at the noise, the number of steps at the painting.
        t: The paper's timestep, T to 0 (clean).
        snr_db: The signal-to-noise ratio in decibels; infinite at the end.
        signal: alpha_bar, the share of x_t's variance that is the picture's.
    """

    i: int
    t: int
    snr_db: float
    signal: float


@dataclass(frozen=True)
class PlayerFrame(FrameInfo):
    """A frame and its sheet, as `sheets.frame_sheet` makes it."""

    src: str


@dataclass(frozen=True)
class FinishedPicture:
    """One picture of a finished run.

    Attributes:
        src: A PNG as a data-URI, with its recipe inside.
        name: The name it is saved by, "impressionist-64-ddim-50-seed-42.png".
        recipe: What painted it, in a short line of text.
        seed: The seed of its noise.
        link: What follows "?recipe=" in a link that restores its settings; empty for none.
        nearest: Which training painting it comes nearest to, in words; empty where unknown.
    """

    src: str
    name: str
    recipe: str
    seed: int
    link: str = ""
    nearest: str = ""


@dataclass(frozen=True)
class Message:
    """What a Player's value can be; `kind` names it to the browser."""

    kind: ClassVar[str]

    def to_json(self) -> str:
        """The message as the browser reads it; what is infinite becomes null."""
        return json.dumps({"kind": self.kind} | _finite(asdict(self)), separators=(",", ":"))


@dataclass(frozen=True)
class Start(Message):
    """A new run: the player forgets the old one and keeps a box ready for each moment.

    Attributes:
        run: The run's own name; later messages repeat it.
        title: A short line about it.
        pictures: How many are painted at once.
        tile: A picture's width and height.
        steps: n; n + 1 frames could come.
        T: The training's number of timesteps.
        seq: 0.
    """

    kind: ClassVar[str] = "start"
    run: str
    title: str
    pictures: int
    tile: tuple[int, int]
    steps: int
    T: int = 1000
    views: tuple[str, ...] = VIEWS
    seq: int = 0


@dataclass(frozen=True)
class Frames(Message):
    """The frames since the last message, and how far the run is. `seq` counts on from Start's."""

    kind: ClassVar[str] = "frames"
    run: str
    seq: int
    frames: tuple[PlayerFrame, ...]
    progress: Progress


@dataclass(frozen=True)
class Film(Message):
    """A stored run of one picture, at once: columns of its sheet are frames, rows are views.

    Attributes:
        kept: It is there for the first sight: a run that a person began meanwhile stays.
    """

    kind: ClassVar[str] = "film"
    run: str
    title: str
    tile: tuple[int, int]
    steps: int
    frames: tuple[FrameInfo, ...]
    src: str
    finished: tuple[FinishedPicture, ...] = ()
    T: int = 1000
    views: tuple[str, ...] = VIEWS
    kept: bool = False


@dataclass(frozen=True)
class End(Message):
    """A run is painted to its end."""

    kind: ClassVar[str] = "end"
    run: str
    seq: int
    pictures: tuple[FinishedPicture, ...] = ()


@dataclass(frozen=True)
class Failure(Message):
    """A run, or what was asked of one, failed; the player keeps the frames it has."""

    kind: ClassVar[str] = "error"
    message: str
    hint: str = ""
    token: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Waiting(Message):
    """What is done before the message that was asked for; the player keeps the run it shows.

    Attributes:
        words: What that is.
        progress: How far it is, where that is known.
        token: The same for all that is told of one wait.
    """

    kind: ClassVar[str] = "waiting"
    words: str
    progress: Progress | None = None
    token: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Download(Message):
    """A file made on request (an animation, a strip), saved by the browser as `name`."""

    kind: ClassVar[str] = "download"
    name: str
    src: str
    token: str = field(default_factory=lambda: uuid4().hex)


@dataclass
class RunMessages:
    """Gathers one run's frames between two yields and numbers its messages."""

    title: str
    pictures: int
    tile: tuple[int, int]
    steps: int
    T: int = 1000
    run: str = field(default_factory=lambda: uuid4().hex)
    _seq: int = 0
    _waiting: list[PlayerFrame] = field(default_factory=list)

    def start(self) -> Start:
        """The first message."""
        return Start(self.run, self.title, self.pictures, self.tile, self.steps, self.T)

    def add(self, frame: PlayerFrame) -> None:
        """Keep a frame for the next message."""
        self._waiting.append(frame)

    def frames(self, progress: Progress) -> Frames:
        """All frames since the last message."""
        self._seq += 1
        waiting, self._waiting = tuple(self._waiting), []
        return Frames(self.run, self._seq, waiting, progress)

    def end(self, pictures: Sequence[FinishedPicture] = ()) -> End:
        """The last message; frames that still wait belong into a `frames` before it."""
        self._seq += 1
        return End(self.run, self._seq, tuple(pictures))


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
