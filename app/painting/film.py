"""Films: the moments of a run as a person sees them, the runs that leave them, and their files."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Literal, Self, TypeVar

import numpy as np
from torch import Tensor

from app.diffusion.reverse import Frame
from app.documents import Document
from app.images.arrays import Pixels
from app.images.encoding import AnimationFormat, animation, png_bytes
from app.images.pixels import (
    channel_pixels,
    evenly_spaced,
    joined,
    noise_pixels,
    picture_pixels,
)
from app.images.sheets import film_strip
from app.painting.recipe import Filmed, Recipe
from app.painting.runs import CheckedRun, LoadedRun, Runs, at_once

MAX_KEPT: Final = 250
MAX_KEPT_TILES: Final = 4700
TILE: Final = 64
MAX_BYTES: Final = 128_000_000

STRIP_PICTURES: Final = 10

PictureView = Literal["x_t", "x_0_hat"]
"""The picture so far, or the painting that the network expects."""

Shown = TypeVar("Shown", bound=Filmed)
Shown_co = TypeVar("Shown_co", bound=Filmed, covariant=True)


@dataclass(frozen=True, eq=False)
class LatentFrame(Frame):
    """A frame of pictures, made of a frame of latents.

    Attributes:
        z_t: What is diffused, (B, L, h, w).
    """

    z_t: Tensor


@dataclass(frozen=True, eq=False)
class Moment:
    """One moment of a run, as a person sees it.

    Attributes:
        index: 0 at the noise, `total` at the painting; a second stage's noise is a step further
            than what the first stage painted.
        total: The number of steps.
        t: The paper's timestep, T to 0 (clean).
        signal: alpha_bar, the share of x_t's variance that is a picture's of variance 1.
        snr_db: The signal-to-noise ratio in decibels; infinite at the end.
        x_t: (B, H, W, 3) uint8.
        x_0_hat: The estimate of the painting made at this x_t, (B, H, W, 3) uint8.
        eps_hat: The noise predicted at this x_t, (B, H, W, 3) uint8; None at the end.
        channels: Of a latent model, the channels of what is diffused, in grey, (B, H, W, 3) uint8.
    """

    index: int
    total: int
    t: int
    signal: float
    snr_db: float
    x_t: Pixels
    x_0_hat: Pixels
    eps_hat: Pixels | None
    channels: Pixels | None = None

    @classmethod
    def of(cls, frame: Frame, total: int | None = None) -> Self:
        """Turn a frame of the reverse process into pixels; it has `total` steps, or `frame`'s."""
        level = frame.level
        return cls(
            index=frame.index,
            total=frame.total if total is None else total,
            t=level.t,
            signal=level.signal,
            snr_db=level.snr_db,
            x_t=picture_pixels(frame.x_t),
            x_0_hat=picture_pixels(frame.x_0_hat),
            eps_hat=None if frame.eps_hat is None else noise_pixels(frame.eps_hat),
            channels=(
                channel_pixels(frame.z_t, frame.x_t.shape[-1])
                if isinstance(frame, LatentFrame)
                else None
            ),
        )

    @property
    def nbytes(self) -> int:
        """The bytes of the moment's pictures."""
        views = (self.x_t, self.x_0_hat, self.eps_hat, self.channels)
        return sum(view.nbytes for view in views if view is not None)


class Film(tuple[Moment, ...]):
    """The kept moments of a run, in their order."""

    @property
    def nbytes(self) -> int:
        """The bytes of all pictures."""
        return sum(moment.nbytes for moment in self)


@dataclass(frozen=True)
class ReplayStep:
    """A step of painting a source, or a branch's parent up to the branching frame."""

    step: int
    steps: int


def shown(item: Frame | ReplayStep, total: int | None = None) -> Moment | ReplayStep:
    """Turn a frame into a Moment of a run of `total` steps; leave a ReplayStep as it is."""
    return item if isinstance(item, ReplayStep) else Moment.of(item, total)


def kept_frames(steps: int, pictures: int, side: int, views: int = 3) -> tuple[int, ...]:
    """Choose which of the `steps` + 1 frames a page keeps: evenly spread, first and last always.

    Fewer frames are kept of pictures with a large `side`, in pixels, to take no more memory.
    """
    tiles = pictures * views * max(1, side / TILE) ** 2
    room = max(2, min(MAX_KEPT, int(MAX_KEPT_TILES / tiles), steps + 1))
    return tuple(sorted({round(i * steps / (room - 1)) for i in range(room)}))


def kept_moments(recipe: Recipe, steps: int, side: int) -> frozenset[int]:
    """Choose which moments of a run are kept, by their indices.

    Args:
        recipe: The run's.
        steps: The first stage's steps; the second's are counted on from there.
        side: The first stage's pictures' side, in pixels.
    """
    kept = set(kept_frames(steps, recipe.pictures, side))
    if recipe.size:
        later = kept_frames(recipe.stage_steps, recipe.pictures, recipe.size)
        kept |= {steps + 1 + index for index in later}
    return frozenset(kept)


def film_sheet(moments: Sequence[Moment], picture: int) -> Pixels:
    """Join the moments of one picture in one stage into a sheet, (3 H, n W, 3) uint8.

    The moments lie from left to right; x_t, x_0_hat and eps_hat from top to bottom. The last
    moment has no eps_hat; its place shows the last prediction there was.
    """
    last = next(m.eps_hat for m in reversed(moments) if m.eps_hat is not None)
    noises = [last if m.eps_hat is None else m.eps_hat for m in moments]
    rows = ([m.x_t for m in moments], [m.x_0_hat for m in moments], noises)
    return joined(np.stack([[view[picture] for view in row] for row in rows]))


@dataclass(frozen=True, eq=False)
class FilmResult(Generic[Shown_co]):
    """One finished picture and the film of how it came about.

    Attributes:
        request: Says how to paint the picture again, and which one of the batch it is.
        film: The kept moments of the whole batch's run, noise or x_t first.
    """

    request: Shown_co
    film: Film

    @property
    def name(self) -> str:
        """A file name without its ending."""
        return self.request.file_name

    @property
    def pictures(self) -> list[Pixels]:
        """This picture at each moment, (H, W, 3) uint8."""
        return self.seen("x_t")

    def seen(self, view: PictureView) -> list[Pixels]:
        """Return this picture at each moment as a `view` shows it, (H, W, 3) uint8."""
        of = self.request.process.picture
        if view == "x_t":
            return [moment.x_t[of] for moment in self.film]
        # At the end nothing is left to expect: that is the painting itself.
        return [*(moment.x_0_hat[of] for moment in self.film[:-1]), self.film[-1].x_t[of]]

    @property
    def pixels(self) -> Pixels:
        """The finished picture, (H, W, 3) uint8."""
        return np.asarray(self.pictures[-1])

    @property
    def small(self) -> Pixels:
        """The picture that the first stage handed over; without a second stage, the picture."""
        recipe, total = self.request.process, self.film[-1].total
        last = total - 1 - recipe.stage_steps if recipe.size else total
        (moment,) = (moment for moment in self.film if moment.index == last)
        return np.asarray(moment.x_0_hat[recipe.picture])

    def png(self) -> bytes:
        """Return the picture at its own size as a PNG, with the request inside."""
        return png_bytes(self.pixels, self.request)

    def strip(self, view: PictureView = "x_t") -> bytes:
        """Draw ten evenly spaced moments, noise or x_t to clean, with t under each, as a PNG."""
        at, pictures = evenly_spaced(STRIP_PICTURES, len(self.film)), self.seen(view)
        captions = [f"t = {self.film[i].t}" for i in at]
        return png_bytes(film_strip([pictures[i] for i in at], captions), self.request)

    def animation(self, form: AnimationFormat, view: PictureView = "x_t") -> bytes:
        """Encode the run as a moving picture."""
        return animation(self.seen(view), form)


class Films(Runs[Shown, Moment | ReplayStep, Film]):
    """Runs that give a stream of moments, of which they leave a film."""

    complete: Callable[[Shown], LoadedRun[Shown]]

    def stream(self, run: Shown | CheckedRun[Shown]) -> Generator[Moment | ReplayStep, None, Film]:
        """Do a run, step by step, and gather its moments into a film.

        Yields:
            A ReplayStep for each step of painting a parent or a source, where that is needed, then
            Moments, from the noise, or x_t, to clean.
        """
        run, film = self._completed(run), []
        info, request = run.model.info, run.request
        steps = request.num_steps(info.num_train_timesteps)
        kept = kept_moments(request.process, steps, info.size)
        for moment in self._work(run):
            if isinstance(moment, Moment) and moment.index in kept:
                film.append(moment)
            yield moment
        if request.process.size and steps and not request.process.is_truncated:
            small = (replace(m, total=steps) for m in film if m.index <= steps)
            first = LoadedRun.of(request.small, run.model)
            self._keep(first, Film(small))
        return self._keep(run, Film(film))

    def _completed(self, run: Shown | CheckedRun[Shown]) -> LoadedRun[Shown]:
        completed = super()._completed(run)
        if not isinstance(completed, LoadedRun):
            raise TypeError("a film's run has its model")
        return completed

    def pictures(self, run: Shown | CheckedRun[Shown]) -> tuple[FilmResult[Shown], ...]:
        """Return the finished pictures of a run, which is done first where it hasn't been lately.

        Raises:
            ModelError, PictureError, RecipeError: As `stream` does.
        """
        return at_once(self.picture_steps(run))

    def picture_steps(
        self, run: Shown | CheckedRun[Shown]
    ) -> Generator[Moment | ReplayStep, None, tuple[FilmResult[Shown], ...]]:
        """Do a run as `steps` does, and return its finished pictures."""
        film = yield from self.steps(run)
        request = run.request if isinstance(run, CheckedRun) else run
        return tuple(
            FilmResult(request.for_picture(i), film) for i in range(request.process.pictures)
        )

    def _key(self, request: Shown) -> Document:
        return request.for_picture(0)
