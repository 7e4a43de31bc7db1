"""What one visitor of an open studio may ask for, so that the others get their turn."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

from cachetools import LRUCache

from app.errors import LimitError
from app.settings import Settings

MAX_VISITORS: Final = 10_000
"""Visitors that are remembered; the one seen longest ago is forgotten first."""

TILE: Final = 64
"""The side in pixels of the pictures that a budget is counted in."""

STAGE_COST: Final = 2
"""A step of the second stage takes about as long as two of the first."""

LOOKS: Final = 3
"""The forward passes that take as long as training on one picture, forward and backward."""


@dataclass(frozen=True)
class Limits:
    """Limits of a studio, which the settings of the same names describe; 0 is none."""

    picture_steps: int = 0
    requests_per_minute: int = 0
    queue_length: int = 0
    training_views: int = 0
    jobs_per_visitor: int = 0
    job_queue_length: int = 0
    visitor_upload_mb: int = 0
    uploads_mb: int = 0

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Read the limits from `settings`; by default there are none for a single user."""
        usual = cls() if settings.single_user else OPEN
        chosen = {field.name: getattr(settings, field.name) for field in fields(cls)}
        return replace(usual, **{name: most for name, most in chosen.items() if most is not None})

    def check_work(
        self,
        steps: int,
        pictures: int,
        side: int,
        *,
        guided: int = 0,
        before: int = 0,
        later: int = 0,
    ) -> None:
        """Refuse a request of `steps` network steps with `pictures` of `side` pixels in each.

        Args:
            steps: Its own steps.
            pictures: The pictures in each.
            side: Their side in pixels.
            guided: How many of the steps ask the network with the class and without: they count
                twice.
            before: Steps times pictures that are taken before it, a guided one counted twice.
            later: A second stage's steps, each of which counts as STAGE_COST of them.

        Raises:
            LimitError: If it is more than one visitor may ask for.
        """
        taken = (steps + guided + STAGE_COST * later) * pictures + before
        cost = taken * (side / TILE) ** 2
        if self.picture_steps and cost > self.picture_steps:
            rows = (steps + guided) / steps if steps else 1
            per_picture = rows * max(1, (side / TILE) ** 2)
            affordable = int(self.picture_steps / per_picture)
            retraced = f", after {before:,} to reach its beginning," if before else ""
            retraced += f" and {later} of a second stage, which count twice," if later else ""
            raise LimitError(
                f"{steps:,} {'guided ' * bool(guided)}steps with {pictures} pictures of {side} px"
                f"{retraced} are more than this open studio computes for one request.",
                f"Keep steps times pictures within {affordable:,}, or run Plein Air yourself.",
            )

    def check_training(self, views: int, looks: int, side: int) -> None:
        """Refuse a training that is longer than one visitor's may be.

        Args:
            views: Pictures that the network learns from, steps times batch.
            looks: Pictures that go through the network beside those, for samples and losses.
            side: Their side in pixels.

        Raises:
            LimitError: If the training is longer.
        """
        if not self.training_views:
            return
        most = int(self.training_views / (side / TILE) ** 2)
        if views > most:
            raise LimitError(
                f"A training of {views:,} pictures of {side} px, steps times batch, is longer than "
                "this open studio carries out for a visitor.",
                f"Keep steps times batch within {most:,}, or run Plein Air yourself.",
            )
        if looks > LOOKS * most:
            raise LimitError(
                "The samples and held-out losses would take longer than this open studio trains "
                "for a visitor.",
                "Save and paint samples less often.",
            )

    def check_jobs(self, own: int, everybodys: int) -> None:
        """Refuse one more training beside the visitor's own and everybody's that wait or run.

        Raises:
            LimitError: If there are as many as the limits allow.
        """
        if self.jobs_per_visitor and own >= self.jobs_per_visitor:
            raise LimitError(
                f"{_going(own, 'of yours ')} already, as many as this open studio takes from one "
                "visitor.",
                "Wait until one is done, or stop one.",
            )
        if self.job_queue_length and everybodys >= self.job_queue_length:
            raise LimitError(
                f"{_going(everybodys)} already, as many as this open studio takes.",
                "Try again when one is done, or run Plein Air yourself.",
            )


@dataclass(frozen=True)
class QueueShare:
    """What one visitor, and all at one address, may have in the queue at once; 0 is no limit.

    Attributes:
        runs: Runs of one visitor.
        runs_at_address: Runs of all visitors at one address, such as a class behind one router.
        others: Other events of one visitor.
        others_at_address: Other events of all visitors at one address.
    """

    runs: int = 0
    runs_at_address: int = 0
    others: int = 0
    others_at_address: int = 0

    def refusal(self, own: int, at_address: int, *, is_run: bool) -> str:
        """Return why one more is refused beside those that wait or run; "" where it is not."""
        most, most_there = self.others, self.others_at_address
        what = "requests"
        if is_run:
            most, most_there, what = self.runs, self.runs_at_address, "runs"
        if most and own >= most:
            return (
                f"{own} {what} of yours wait or run already, as many as this open studio takes "
                "from one visitor. Wait until one is done, or stop one."
            )
        if most_there and at_address >= most_there:
            return (
                f"{at_address} {what} from your network's address wait or run already, as many as "
                "this open studio takes. Try again when some are done."
            )
        return ""


OPEN_SHARE: Final = QueueShare(runs=2, runs_at_address=60, others=30, others_at_address=400)
"""For an open studio: an opened page asks a dozen things at once, and so may each of a class."""


def _going(jobs: int, whose: str = "") -> str:
    return (
        f"1 training {whose}waits or runs" if jobs == 1 else f"{jobs} trainings {whose}wait or run"
    )


OPEN: Final = Limits(
    picture_steps=8_000,
    requests_per_minute=600,
    queue_length=500,
    training_views=8_000,
    jobs_per_visitor=1,
    job_queue_length=8,
    visitor_upload_mb=200,
    uploads_mb=2_000,
)
"""For an open studio on two cores: 8,000 picture steps, eight at a time, take about a minute, and
8,000 pictures, two and a half trainings of the preset taste, are trained on in about a quarter of
an hour.

A page asks a dozen things when it opens, one a second beside a training, several while a slider is
dragged."""


class Visits:
    """Each visitor's requests, counted: `per_minute` may come at once, then that many a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left: LRUCache[str, tuple[float, float]] = LRUCache(MAX_VISITORS)
        self._lock = threading.Lock()

    def seconds_to_wait(self, visitor: str) -> float:
        """Count a request of `visitor`; return 0 if it may pass, else the seconds until one may."""
        if not self._per_minute:
            return 0.0
        rate, now = self._per_minute / 60, self._clock()
        with self._lock:
            left, seen = self._left.get(visitor, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - seen) * rate)
            allowed = left >= 1
            self._left[visitor] = (left - 1 if allowed else left, now)
        return 0.0 if allowed else (1 - left) / rate
