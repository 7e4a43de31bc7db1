"""The disk space that the jobs take, and the jobs that could be deleted."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cachetools import TTLCache, cached

from app.jobs.job import ENDED, Job
from app.jobs.record import job_folders, taken_bytes
from app.training.config import TrainConfig

FRESH_SECONDS: Final = 10.0
MAX_FOLDERS: Final = 8
OLD_SECONDS: Final = 30 * 24 * 3600
FULL: Final = 0.8
"""The share of the quota from which every ended job, however new, is offered for deletion."""

MAX_OLD: Final = 5
MOMENTS: Final = 2
"""The moments that AdamW keeps of each weight."""


@dataclass(frozen=True)
class Storage:
    """The disk space of the jobs, in bytes.

    Attributes:
        taken: The bytes that all jobs take.
        allowed: The jobs' quota.
        by_job: The bytes of each job, by its id.
    """

    taken: int
    allowed: int
    by_job: dict[str, int]

    def old(self, jobs: Sequence[Job], now: float) -> tuple[Job, ...]:
        """List those of `jobs` that are offered for deletion, the oldest first.

        Such jobs have ended, aren't kept, and are a month old, unless the quota is nearly used up.
        """
        full = self.taken > FULL * self.allowed
        ended = [job for job in jobs if job.state in ENDED and not job.kept]
        found = [job for job in ended if self.by_job.get(job.id)]
        found = [job for job in found if full or now - job.created > OLD_SECONDS]
        return tuple(sorted(found, key=lambda job: job.created)[:MAX_OLD])


def needed_bytes(config: TrainConfig, parameters: int) -> int:
    """Estimate the most bytes that a job takes, with a network of so many `parameters`.

    Only checkpoints and models are counted; samples and the log are small beside them.
    """
    weights = 4 * parameters
    checkpoint = weights * (1 + len(config.ema_sigma_rels) + MOMENTS)
    # The best by held-out loss also stays, and a new one is written before the oldest is removed.
    checkpoints = config.keep + (config.held_out_share is not None) + 1
    painters = 0
    if config.keep_models and config.sample_every:
        painters = config.total_steps // config.sample_every
    return checkpoints * checkpoint + (1 + painters) * weights


@cached(TTLCache(MAX_FOLDERS, FRESH_SECONDS), condition=threading.Condition())
def disk_usage(data: Path, quota_mb: int) -> Storage:
    """Measure the disk space of the jobs of a data folder, at most every ten seconds."""
    found = {id_: taken_bytes(f.path) for id_, f in job_folders(data / "jobs").items()}
    return Storage(sum(found.values()), quota_mb * 1_000_000, found)
