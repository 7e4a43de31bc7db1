"""What the jobs take on the disk, and which of them could go."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.service.jobs.job import ENDED, Job
from app.service.jobs.record import job_folders, taken_bytes
from app.training.config import TrainConfig
from app.training.course import Course

FRESH_SECONDS: Final = 10.0
OLD_SECONDS: Final = 30 * 24 * 3600
FULL: Final = 0.8
"""From this share of what is allowed on, every ended job counts as one that could go."""

MAX_OLD: Final = 5
MOMENTS: Final = 2
"""What AdamW keeps for each weight."""


@dataclass(frozen=True)
class Storage:
    """Bytes on the disk.

    Attributes:
        taken: By all jobs.
        allowed: At most, before another starts.
        by_job: By each job's id.
    """

    taken: int
    allowed: int
    by_job: dict[str, int]

    def old(self, jobs: Sequence[Job], now: float) -> tuple[Job, ...]:
        """Those of `jobs` that are offered for deletion, the oldest first.

        They have ended, aren't kept, and are a month old or stand where there is hardly any room
        left.
        """
        full = self.taken > FULL * self.allowed
        ended = [job for job in jobs if job.state in ENDED and not job.kept]
        found = [job for job in ended if self.by_job.get(job.id)]
        found = [job for job in found if full or now - job.created > OLD_SECONDS]
        return tuple(sorted(found, key=lambda job: job.created)[:MAX_OLD])


def needed_bytes(config: TrainConfig, parameters: int) -> int:
    """About what a job takes at most, with a network of so many weights, in bytes.

    Its checkpoints and models; its samples and its words are small beside them.
    """
    weights = 4 * parameters
    checkpoint = weights * (1 + len(config.ema_sigma_rels) + MOMENTS)
    # The best by held-out loss stays, too, and the next is written before the last one goes.
    checkpoints = config.keep + (config.held_out_share is not None) + 1
    painters = 0
    if config.keep_models and config.sample_every:
        painters = Course(config).total_steps // config.sample_every
    return checkpoints * checkpoint + (1 + painters) * weights


class Scales:
    """Weighs the jobs of a data folder, at most every ten seconds."""

    def __init__(self, data: Path, quota_mb: int) -> None:
        self._root = data / "jobs"
        self._allowed = quota_mb * 1_000_000
        self._lock = threading.Lock()
        self._weighed = -FRESH_SECONDS
        self._storage = Storage(0, self._allowed, {})

    def read(self) -> Storage:
        """What they take."""
        with self._lock:
            if time.monotonic() - self._weighed > FRESH_SECONDS:
                found = {id_: taken_bytes(f.path) for id_, f in job_folders(self._root).items()}
                self._storage = Storage(sum(found.values()), self._allowed, found)
                self._weighed = time.monotonic()
            return self._storage
