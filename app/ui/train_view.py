"""What of the jobs a page hasn't seen yet."""

import hashlib
import io
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image

from app.errors import StudioError
from app.service.jobs.job import Job, Sample, State
from app.service.jobs.storage import Scales, Storage
from app.service.pictures import evenly_spaced
from app.service.studio import Studio
from app.ui.sheets import data_uri
from app.ui.train_messages import CurveLines, Detail, JobLine, Log, News, Room, SampleGrids, Seen
from app.ui.train_words import job_line, size

MAX_SAMPLES: Final = 60
"""Sample grids that a page keeps; of more, evenly spaced ones are shown."""


MAX_DRAWN: Final = 32
"""Jobs whose curves are kept as they were last sent."""


class TrainView:
    """Looks at the jobs for pages."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._workshop = studio.workshop
        settings = studio.settings
        self._drawn: dict[str, CurveLines] = {}
        self._scales = Scales(settings.data_dir, settings.job_quota_mb)

    def news(self, owner: str, seen: Seen) -> News | None:
        """What is new to a page that shows what `seen` says; None where nothing is."""
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
        """All about one job, for a page that is to turn to it."""
        news = self.news(owner, Seen(job=job_id))
        return None if news is None else replace(news, choose=True)

    def _list(self, jobs: tuple[Job, ...]) -> tuple[str, tuple[JobLine, ...], Room]:
        lines = tuple(job_line(job) for job in jobs)
        room = _room(self._scales.read(), jobs)
        return _mark(repr((lines, room))), lines, room

    def _detail(self, owner: str, job: Job, seen: Seen) -> Detail | None:
        mark = _mark(f"{job.total_steps} {job.state is State.FAILED} {job.message}")
        if mark == seen.detail:
            return None
        config = self._workshop.jobs.config(owner, job.id)
        variance = "learned" if config.objective == "hybrid" else "fixed"
        facts = {
            "base model": self._base(job.base_model),
            "pictures": self._pictures(owner, job.set_id),
            "steps": f"{job.total_steps:,} of {config.batch_size} pictures",
            "learning rate": f"{config.learning_rate:g}",
            "averages": ", ".join(f"{sigma:g}" for sigma in config.ema_sigma_rels),
            "held out": f"{config.held_out_share:.0%}" if config.held_out_share else "none",
            "noise": "matched to pictures" if config.immiscible else "independent",
            "variance": variance,
            "classes": "the set's" if config.labels else "none",
            "saved": f"every {config.save_every:,} steps",
            "seed": str(config.seed),
        }
        fault = f"{job.message} {job.hint}".strip()
        return Detail(mark, fault, tuple(facts.items()), config.sample_every)

    def _curves(self, owner: str, job: Job, seen: Seen) -> CurveLines | None:
        mark = f"{job.step}-{job.saved_step}-{job.state}"
        if mark == seen.curves:
            return None
        drawn = self._drawn.get(job.id)
        if drawn is None or drawn.mark != mark:
            drawn = CurveLines.of(self._workshop.jobs.curves(owner, job.id), mark)
            if len(self._drawn) >= MAX_DRAWN:
                self._drawn.clear()
            self._drawn[job.id] = drawn
        return drawn

    def _samples(self, owner: str, job: Job, seen: Seen) -> SampleGrids | None:
        found = self._workshop.jobs.samples(owner, job.id)
        shown = [found[i] for i in evenly_spaced(MAX_SAMPLES, len(found))]
        steps = tuple(sample.step for sample in shown)
        if steps == seen.samples:
            return None
        new = ((s.step, _jpeg(s)) for s in shown if s.step not in seen.samples)
        tile = self._workshop.jobs.config(owner, job.id).sizes[-1]
        return SampleGrids(tile, steps, tuple(new))

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


def _jpeg(sample: Sample) -> str:
    return _jpeg_of(sample.path, sample.path.stat().st_mtime_ns)


@lru_cache(maxsize=4 * MAX_SAMPLES)
def _jpeg_of(path: Path, _changed: int) -> str:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "jpeg", quality=92, subsampling=0)
    return data_uri(buffer.getvalue(), "image/jpeg")
