"""A job in words, and what may be asked of it."""

from typing import Final

from app.service.jobs.job import Job, State
from app.ui.train_messages import Ask, JobLine

_MAY: Final[dict[State, tuple[Ask, ...]]] = {
    State.QUEUED: ("stop", "rename"),
    State.RUNNING: ("stop", "rename"),
    State.SAVING: ("rename",),
    State.DONE: ("extend", "rename", "delete"),
    State.STOPPED: ("resume", "extend", "rename", "delete"),
    State.INTERRUPTED: ("resume", "stop", "rename"),
    State.FAILED: ("resume", "rename", "delete"),
}


def job_line(job: Job) -> JobLine:
    """The job as the list shows it."""
    model: tuple[Ask, ...] = ("paint", "download", "compare") if job.saved_step >= 0 else ()
    keep: Ask = "unkeep" if job.kept else "keep"
    return JobLine(
        id=job.id,
        name=job.name,
        state=str(job.state),
        words=progress(job) + (" · kept" if job.kept else ""),
        share=round(min(1.0, job.step / max(1, job.total_steps)), 4),
        may=(*model, *_MAY[job.state], keep),
        models=job.model_steps,
    )


def progress(job: Job) -> str:
    """How far a job is: "step 37 of 200 · 14.2 pictures/s · 1 min left"."""
    at = f"step {job.step:,} of {job.total_steps:,}"
    match job.state:
        case State.QUEUED:
            return f"waits for its turn{', at ' + at if job.step else ''}"
        case State.RUNNING if not job.step:
            return "reads its pictures"
        case State.RUNNING if job.seconds_left is not None:
            return f"{at} · {job.pictures_per_second:.3g} pictures/s · {left(job.seconds_left)}"
        case State.INTERRUPTED:
            return f"at {at}; goes on by itself"
        case State.DONE:
            return f"{job.total_steps:,} steps"
        case _:
            return at


def left(seconds: float) -> str:
    """The time left: "40 s left", "3 min left", "2.5 h left"."""
    return f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """A length of time, in one unit."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def size(taken: int) -> str:
    """Bytes, in MB or GB."""
    return f"{taken / 1e9:.1f} GB" if taken >= 1e9 else f"{taken / 1e6:.0f} MB"
