"""A job on the Train tab: in words, as news for a page, and checked for copies."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np

from app.errors import JobError, StudioError
from app.images.encoding import data_uri, image_of, jpeg_uri
from app.images.pixels import evenly_spaced
from app.images.reading import own_picture, square
from app.images.sheets import untiled
from app.jobs.copies import CopyCheck
from app.jobs.job import Job, JobState
from app.jobs.storage import Storage, disk_usage
from app.laboratory.experiments import Denoising
from app.models.files import describe
from app.networks.unet import Precision
from app.novelty.nearest import nearness
from app.painting.sources import PictureSource
from app.studio import Studio
from app.ui.components.layout import counted
from app.ui.components.messages import Message
from app.ui.components.recipe_controls import can_enlarge
from app.ui.train.messages import (
    Ask,
    CurveLines,
    Detail,
    JobLine,
    Log,
    News,
    Room,
    SampleGrids,
    Seen,
    Wish,
)

_MAY: Final[dict[JobState, tuple[Ask, ...]]] = {
    JobState.QUEUED: ("stop", "rename"),
    JobState.RUNNING: ("stop", "rename"),
    JobState.SAVING: ("rename",),
    JobState.DONE: ("extend", "rename", "delete"),
    JobState.STOPPED: ("resume", "extend", "rename", "delete"),
    JobState.INTERRUPTED: ("resume", "stop", "rename"),
    JobState.FAILED: ("resume", "rename", "delete"),
}


def job_line(job: Job) -> JobLine:
    """Describe the job as the list shows it."""
    model: tuple[Ask, ...] = (
        ("paint", "download", "compare", "enlarge") if job.saved_step >= 0 else ()
    )
    curves: tuple[Ask, ...] = ("curves",) if job.step else ()
    keep: Ask = "unkeep" if job.kept else "keep"
    return JobLine(
        id=job.id,
        name=job.name,
        state=str(job.state),
        words=progress(job) + (" · kept" if job.kept else ""),
        share=round(min(1.0, job.kept_step / max(1, job.total_steps)), 4),
        may=(*model, *curves, *_MAY[job.state], keep),
        models=job.model_steps,
    )


def progress(job: Job) -> str:
    """Say how far a job is: "step 37 of 200 · 14.2 pictures/s · 1 min left"."""
    at = f"step {job.kept_step:,} of {job.total_steps:,}"
    place = f"at {at}"
    if lost := job.step - job.kept_step:
        at = place = f"kept at {at}, not the {lost:,} after it"
    match job.state:
        case JobState.QUEUED:
            return f"waits for its turn{f', {place}' if job.step else ''}"
        case JobState.RUNNING:
            return _running(job, at)
        case JobState.SAVING:
            # Where nothing else is being done, the step under way comes first.
            return f"stopping: saving step {job.step if job.doing else job.step + 1:,}"
        case JobState.INTERRUPTED:
            return f"{place}; goes on by itself"
        case JobState.DONE:
            return counted(job.total_steps, "step", ",")
        case _:
            return at


def _running(job: Job, at: str) -> str:
    if not job.step:
        return job.doing or "reads its pictures"
    if job.seconds_left is None:
        return at
    doing = job.doing or f"{job.pictures_per_second:.3g} pictures/s"
    return f"{at} · {doing} · {duration(job.seconds_left)} left"


def duration(seconds: float) -> str:
    """Put a number of seconds in words, in one unit: "40 s", "3 min", "2.5 h"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def size(taken: int) -> str:
    """Put a number of bytes in words, in MB or GB."""
    return f"{taken / 1e9:.1f} GB" if taken >= 1e9 else f"{taken / 1e6:.0f} MB"


MAX_SAMPLES: Final = 60
"""The most sample grids that a page keeps; of more, evenly spaced ones are shown."""

MAX_DRAWN: Final = 32
"""The most jobs whose curves are kept as they were last sent."""


class TrainView:
    """A view of the jobs, for pages."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._workshop = studio.workshop
        self._drawn = lru_cache(MAX_DRAWN)(self._draw)

    def news(self, owner: str, seen: Seen) -> News | None:
        """Return what is new to a page that shows what `seen` says; None where nothing is."""
        jobs = self._workshop.jobs.board.jobs(owner)
        listing, lines, room = self._list(jobs)
        chosen = next((job for job in jobs if job.id == seen.job), jobs[0] if jobs else None)
        news = News(chosen.id if chosen else "")
        if seen.listing != listing:
            news = replace(news, listing=listing, jobs=lines, room=room)
        if chosen is None:
            return news if news.jobs is not None else None
        same = chosen.id == seen.job
        known = seen if same else Seen(log=None if seen.log is None else "")
        news = replace(
            news,
            detail=self._detail(owner, chosen, known),
            curves=self._curves(owner, chosen, known),
            samples=self._samples(owner, chosen, known),
            log=self._log(owner, chosen, known),
        )
        return None if same and news == News(chosen.id) else news

    def chosen(self, owner: str, job_id: str) -> News | None:
        """Return all about one job, for a page that is to turn to it."""
        news = self.news(owner, Seen(job=job_id))
        return None if news is None else replace(news, choose=True)

    def _list(self, jobs: tuple[Job, ...]) -> tuple[str, tuple[JobLine, ...], Room]:
        lines = tuple(job_line(job) for job in jobs)
        settings = self._studio.settings
        room = _room(disk_usage(settings.data_dir, settings.job_quota_mb), jobs)
        return _mark(repr((lines, room))), lines, room

    def _detail(self, owner: str, job: Job, seen: Seen) -> Detail | None:
        why = self._workshop.jobs.why_no_likeness(owner, job.id)
        mark = _mark(f"{job.total_steps} {job.state is JobState.FAILED} {job.message} {why}")
        if mark == seen.detail:
            return None
        config = self._workshop.jobs.config(owner, job.id)
        facts = {
            "base model": self._base(job.base_model),
            "pictures": self._pictures(owner, job.set_id),
            "steps": f"{job.total_steps:,} of {counted(config.batch_size, 'picture')}",
            "learning rate": f"{config.learning_rate:g}",
            "averages": ", ".join(f"{sigma:g}" for sigma in config.ema_sigma_rels),
            "held out": f"{config.held_out_share:.0%}" if config.held_out_share else "none",
            "noise": "matched to pictures" if config.immiscible else "independent",
            "variance": "learned" if config.objective == "hybrid" else "fixed",
            "classes": "the set's" if config.labels else "none",
            "saved": f"every {counted(config.save_every, 'step', ',')}",
            "seed": str(config.seed),
        }
        fault = f"{job.message} {job.hint}".strip()
        return Detail(mark, fault, tuple(facts.items()), config.sample_every, why)

    def _curves(self, owner: str, job: Job, seen: Seen) -> CurveLines | None:
        mark = f"{job.step}-{job.saved_step}-{job.state}"
        return None if mark == seen.curves else self._drawn(owner, job.id, mark)

    def _draw(self, owner: str, job_id: str, mark: str) -> CurveLines:
        return CurveLines.of(self._workshop.jobs.curves(owner, job_id), mark)

    def _samples(self, owner: str, job: Job, seen: Seen) -> SampleGrids | None:
        found = self._workshop.jobs.samples(owner, job.id)
        shown = [found[i] for i in evenly_spaced(MAX_SAMPLES, len(found))]
        steps = tuple(sample.step for sample in shown)
        if steps == seen.samples:
            return None
        new = (
            (s.step, _jpeg(s.path, s.path.stat().st_mtime_ns))
            for s in shown
            if s.step not in seen.samples
        )
        tile = self._workshop.jobs.config(owner, job.id).sizes[-1]
        return SampleGrids(tile, self._enlarges(owner, job), steps, tuple(new))

    def _enlarges(self, owner: str, job: Job) -> bool:
        try:
            info = describe(self._workshop.jobs.model(owner, job.id))
        except StudioError:
            return False  # no model is saved yet, or the newest can't be used
        return can_enlarge(self._studio, info)

    def _log(self, owner: str, job: Job, seen: Seen) -> Log | None:
        if seen.log is None:
            return None
        text = self._workshop.jobs.log(owner, job.id)
        mark = _mark(text)
        return None if mark == seen.log else Log(mark, text)

    def _base(self, model_id: str) -> str:
        try:
            return self._studio.models.describe(model_id).summary
        except StudioError:
            return "another job's, which has gone on or was deleted"

    def _pictures(self, owner: str, set_id: str) -> str:
        try:
            found = self._workshop.sets.show(owner, set_id)
        except StudioError:
            return "no longer listed"
        return f"{len(found):,}, {'cropped' if found.fit == 'crop' else 'squashed'}"


def _room(storage: Storage, jobs: tuple[Job, ...]) -> Room:
    old = storage.old(jobs, time.time())
    return Room(
        f"Jobs take {size(storage.taken)} of {size(storage.allowed)}.",
        tuple((job.id, f"{job.name}, {size(storage.by_job[job.id])}") for job in old),
    )


def _mark(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=4 * MAX_SAMPLES)
def _jpeg(path: Path, _changed: int) -> str:
    return jpeg_uri(own_picture(path), 92)


@dataclass(frozen=True)
class CopyCheckPair:
    """A sample and the training picture nearest to it, as data-URIs, and how near that is."""

    sample: str
    nearest: str
    words: str
    copied: bool


@dataclass(frozen=True)
class CopyCheckMessage(Message):
    """The newest samples of a job, compared with its training pictures."""

    kind: ClassVar[str] = "comparison"
    job: str
    pairs: tuple[CopyCheckPair, ...]

    @classmethod
    def of(cls, job_id: str, found: Sequence[CopyCheck]) -> Self:
        """Make the message that shows the checks `found` to the page."""
        return cls(job_id, tuple(_pair(each) for each in found))


def _pair(each: CopyCheck) -> CopyCheckPair:
    nearest = square(own_picture(each.file), each.sample.shape[0], "squash")
    return CopyCheckPair(
        jpeg_uri(each.sample), jpeg_uri(nearest), nearness(each.nearest), each.nearest.is_copy
    )


@dataclass(frozen=True)
class EnlargedSample(Message):
    """A sample of a job, painted anew at four times its side.

    Attributes:
        job: The job.
        src: The large picture, a PNG with its experiment inside.
        name: The name of its file.
        words: Which sample it is.
    """

    kind: ClassVar[str] = "enlarged"
    job: str
    src: str
    name: str
    words: str


def enlarged_sample(studio: Studio, owner: str, wish: Wish, precision: Precision) -> EnlargedSample:
    """Enlarge the sample that `wish` names, as any picture: what painted it isn't asked again.

    Raises:
        JobError: If the job hasn't painted it, or has no model whose side it could have.
        ModelError: If its pictures can't be enlarged.
    """
    jobs, lab = studio.workshop.jobs, studio.noise_lab
    sample = next((it for it in jobs.samples(owner, wish.job) if it.step == wish.step), None)
    count = jobs.config(owner, wish.job).sample_count
    if sample is None or wish.picture >= count:
        raise JobError("There is no such sample.", "Choose one of the pictures shown.")
    pixels = untiled(np.asarray(own_picture(sample.path)), count)[wish.picture]
    info = studio.models.describe(jobs.model(owner, wish.job).id)
    how = {"model": info.id, "precision": precision}
    enlarging = Denoising.enlarging(how, PictureSource.of(image_of(pixels)), info)
    (result,) = lab.films.pictures(lab.complete(enlarging))
    number, side = wish.picture + 1, result.pixels.shape[0]
    return EnlargedSample(
        job=wish.job,
        src=data_uri(result.png(), "image/png"),
        name=f"sample-{number}-step-{wish.step}-{side}px.png",
        words=f"sample {number} after {counted(sample.step, 'step', ',')}, "
        f"painted anew with {side} px",
    )
