"""The messages to a player: one a yield, as JSON that the player's JavaScript reads.

A run is a Start, Frames with all frames since the last message, and an End; a stored one is a
FilmMessage. Timesteps are the paper's: T is noise, 0 the painting.
"""

import base64
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self
from uuid import uuid4

from app.images.encoding import data_uri, png_uri
from app.laboratory.noise import ForwardMaterial

VIEWS: Final = ("x_t", "x_0_hat", "eps_hat")
LATENT_VIEWS: Final = ("x_t", "x_0_hat", "channels", "eps_hat")
"""What a run of a latent model shows; the noise comes last, for at the end there is none."""


@dataclass(frozen=True)
class Progress:
    """A run's progress, for words such as "step 37 of 100 · t = 630 · 4 s left".

    Attributes:
        step: The network steps that are done.
        steps: All network steps of the run.
        t: The paper's timestep that was reached; None while a branch's parent is retraced.
        seconds_left: The time left; None where it isn't known yet.
    """

    step: int
    steps: int
    t: int | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class FrameInfo:
    """A frame's place in its run.

    Attributes:
        i: The frame's index: 0 at the noise, the number of steps at the painting.
        t: The paper's timestep, T to 0 (clean).
        snr_db: The signal-to-noise ratio in decibels; infinite at the end.
        signal: alpha_bar, the share of x_t's variance that is a picture's of variance 1.
    """

    i: int
    t: int
    snr_db: float
    signal: float


@dataclass(frozen=True)
class PlayerFrame(FrameInfo):
    """A frame and its sheet, as `frame_sheet` makes it."""

    src: str


@dataclass(frozen=True)
class FinishedPicture:
    """One picture of a finished run.

    Attributes:
        src: A PNG as a data-URI, with its recipe inside.
        name: The name of the saved file, "impressionist-64-ddim-50-seed-42.png".
        recipe: The picture's recipe, in a short line of text.
        seed: The seed of the picture's noise.
        link: The part after "?recipe=" of a link that restores the settings; empty for none.
        nearest: Which training painting comes nearest, in words; empty where unknown.
        small: The first stage's picture, likewise; empty where there is no second.
        small_name: The name of its file.
    """

    src: str
    name: str
    recipe: str
    seed: int
    link: str = ""
    nearest: str = ""
    small: str = ""
    small_name: str = ""


@dataclass(frozen=True)
class Message:
    """A value of a Player; `kind` tells the browser which one."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Start(Message):
    """A new run: the player forgets the old one and keeps a box ready for each moment.

    Attributes:
        run: The run's own name; later messages repeat it.
        title: A short line about the run.
        pictures: How many pictures are painted at once.
        tile: A picture's width and height in pixels, at the end.
        steps: The number of steps, n; up to n + 1 frames come.
        T: The training's number of timesteps.
        second: The index at which the second stage begins; None where there is none.
        small: A picture's width and height before that.
        enlarges: Whether a second stage can be asked for.
        picture: The picture to show first.
        source: The key of the run that this one came from; empty for none.
        recipe: The run's recipe, where its name can't hold it: one that starts from a picture.
        seq: The message's number, 0.
    """

    kind: ClassVar[str] = "start"
    run: str
    title: str
    pictures: int
    tile: tuple[int, int]
    steps: int
    T: int = 1000
    second: int | None = None
    small: tuple[int, int] | None = None
    enlarges: bool = False
    picture: int = 0
    source: str = ""
    recipe: str = ""
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
class Thumb:
    """A picture to choose, and its name."""

    src: str
    name: str


@dataclass(frozen=True)
class ExampleRow(Message):
    """Finished runs to open, under a title."""

    kind: ClassVar[str] = "examples"
    title: str
    examples: tuple[Thumb, ...]


@dataclass(frozen=True)
class FilmMessage(Message):
    """A stored run of one picture, at once: columns of a sheet are frames, rows are views.

    Attributes:
        sheets: The address of a JPEG for each stage.
        previews: The same in few bytes, to open with until somebody turns to the player; none
            where the sheets are small enough.
        second: The index at which the second stage begins; None where there is none.
        small: A picture's width and height before that.
        kept: Whether the run is only there to open with: one that a person began meanwhile stays.
        enlarges: Whether a second stage can be asked for.
    """

    kind: ClassVar[str] = "film"
    run: str
    title: str
    tile: tuple[int, int]
    steps: int
    frames: tuple[FrameInfo, ...]
    sheets: tuple[str, ...]
    finished: tuple[FinishedPicture, ...] = ()
    T: int = 1000
    second: int | None = None
    small: tuple[int, int] | None = None
    views: tuple[str, ...] = VIEWS
    kept: bool = False
    enlarges: bool = False
    previews: tuple[str, ...] = ()


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
    """A wait for the message that was asked for; the player keeps the run that it shows.

    Attributes:
        words: What is being done meanwhile.
        progress: How far the wait is, where that is known.
        token: The same for all messages of one wait.
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

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        """Make a file of the type that `name` ends in: a picture, a video or a zip."""
        ending = name.rpartition(".")[2]
        kind = {"mp4": "video/mp4", "zip": "application/zip"}.get(ending, f"image/{ending}")
        return cls(name, data_uri(data, kind))


@dataclass(frozen=True)
class ForwardMessage(Message):
    """Enough to draw x_t at every t: x_0 as a PNG, eps as float16, alpha_bar from 0 to T.

    The noise has a `deviation`, and is the same in squares of so many pixels.
    """

    kind: ClassVar[str] = "material"
    src: str
    eps: str
    alpha_bar: tuple[float, ...]
    deviation: float = 1.0
    square: int = 1

    @classmethod
    def of(cls, material: ForwardMaterial) -> "ForwardMessage":
        """Encode `material` for the page."""
        return cls(
            src=png_uri(material.pixels),
            eps=base64.b64encode(material.eps.astype("<f2").tobytes()).decode(),
            alpha_bar=tuple(float(f"{value:.6g}") for value in material.alpha_bar),
            deviation=material.deviation,
            square=material.square,
        )


@dataclass(frozen=True)
class Finish(Message):
    """The end of a grid or a morph."""

    kind: ClassVar[str] = "end"
    run: str
    words: str
