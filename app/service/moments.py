"""The moments of a run, as a person sees them."""

from dataclasses import dataclass
from typing import Final

from app.diffusion.reverse import Frame
from app.diffusion.schedule import NoiseSchedule, paper_t
from app.service.pictures import Pixels, noise_pixels, picture_pixels

MAX_KEPT: Final = 250
MAX_KEPT_TILES: Final = 4700
TILE: Final = 64


@dataclass(frozen=True, eq=False)
class Moment:
    """One moment of a run, as a person sees it.

    Attributes:
        index: 0 at the noise, `total` at the painting.
        total: The number of steps.
        t: The paper's timestep, T to 0 (clean).
        signal: alpha_bar, the share of x_t's variance that is the picture's.
        snr_db: The signal-to-noise ratio in decibels; infinite at the end.
        x_t: (B, H, W, 3) uint8.
        x_0_hat: The estimate of the painting made at this x_t, (B, H, W, 3) uint8.
        eps_hat: The noise predicted at this x_t, (B, H, W, 3) uint8; None at the end.
    """

    index: int
    total: int
    t: int
    signal: float
    snr_db: float
    x_t: Pixels
    x_0_hat: Pixels
    eps_hat: Pixels | None

    @property
    def nbytes(self) -> int:
        """The bytes of its pictures."""
        eps_hat = 0 if self.eps_hat is None else self.eps_hat.nbytes
        return self.x_t.nbytes + self.x_0_hat.nbytes + eps_hat


@dataclass(frozen=True)
class Retrace:
    """A step of a branch's way back: its parent is painted again up to the branching frame."""

    step: int
    steps: int


def kept_frames(steps: int, pictures: int, side: int, views: int = 3) -> tuple[int, ...]:
    """Which of the `steps` + 1 frames a page keeps: evenly spread, first and last always.

    Of pictures with a large `side`, in pixels, fewer are kept: they take as much memory.
    """
    tiles = pictures * views * max(1, side / TILE) ** 2
    room = max(2, min(MAX_KEPT, int(MAX_KEPT_TILES / tiles), steps + 1))
    return tuple(sorted({round(i * steps / (room - 1)) for i in range(room)}))


def moment_of(frame: Frame, schedule: NoiseSchedule) -> Moment:
    """`frame` as a person sees it."""
    return Moment(
        index=frame.index,
        total=frame.total,
        t=paper_t(frame.t),
        signal=schedule.signal(frame.t),
        snr_db=schedule.snr_db(frame.t),
        x_t=picture_pixels(frame.x_t),
        x_0_hat=picture_pixels(frame.x_0_hat),
        eps_hat=None if frame.eps_hat is None else noise_pixels(frame.eps_hat),
    )
