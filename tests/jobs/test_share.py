"""What one visitor of an open studio may have trained, beside what the others have."""

from dataclasses import replace

import pytest

from app.datasets.uploads import Upload
from app.errors import LimitError
from app.jobs.job import JobState
from app.jobs.jobs import Jobs
from app.limits import Limits
from app.models.store import ModelStore
from tests.jobs.conftest import OWNER, PLAN, Bench

VIEWS = PLAN.steps * PLAN.batch_size // 16
"""Of the plan, whose pictures of 16 px count a sixteenth each."""


def limited(bench: Bench, **limits: int) -> Jobs:
    """The bench's jobs, as a studio with `limits` has them."""
    bench.jobs._limits = Limits(**limits)
    return bench.jobs


def test_a_visitor_has_one_job_at_a_time(bench: Bench) -> None:
    jobs = limited(bench, jobs_per_visitor=1)
    first = bench.start()
    with pytest.raises(LimitError, match="waits or runs already"):
        bench.start()
    jobs.stop(OWNER, first.id)
    second = bench.start()
    with pytest.raises(LimitError, match="waits or runs already"):
        jobs.resume(OWNER, first.id)
    with pytest.raises(LimitError, match="waits or runs already"):
        jobs.extend(OWNER, first.id, 1)
    jobs.stop(OWNER, second.id)
    assert jobs.extend(OWNER, first.id, 1).state is JobState.QUEUED
    assert len(jobs.list(OWNER)) == 2, "what was refused left nothing"


def test_jobs_of_all_visitors_are_counted_too(bench: Bench) -> None:
    jobs = limited(bench, jobs_per_visitor=1, job_queue_length=1)
    mine = bench.start()
    uploads = [Upload(path, path.name) for path in bench.pictures.files]
    other = bench.sets.add("another", uploads)
    with pytest.raises(LimitError, match="1 training waits or runs"):
        jobs.start("another", "tiny", other.id, PLAN, "theirs")
    jobs.stop(OWNER, mine.id)
    assert jobs.start("another", "tiny", other.id, PLAN, "theirs").state is JobState.QUEUED


def test_a_job_is_no_longer_than_a_visitors_may_be(bench: Bench) -> None:
    jobs = limited(bench, training_views=VIEWS)
    job = bench.start()
    with pytest.raises(LimitError, match=f"within {VIEWS * 16},"):
        bench.start(replace(PLAN, steps=PLAN.steps + 1))
    with pytest.raises(LimitError, match="less often"):
        bench.start(replace(PLAN, save_every=1, sample_every=1, sample_count=16))
    jobs.stop(OWNER, job.id)
    with pytest.raises(LimitError, match="longer than"):
        jobs.extend(OWNER, job.id, 1)
    assert jobs.resume(OWNER, job.id).total_steps == PLAN.steps


def test_the_shell_trains_what_visitors_may_not(bench: Bench) -> None:
    settings = bench.settings.model_copy(
        update={"training_views": 1, "jobs_per_visitor": 1, "job_queue_length": 1}
    )
    models = ModelStore(settings.model_roots, "cpu")
    shell = Jobs(settings, models, bench.sets, administrator=True)
    try:
        for _ in range(2):
            shell.start(OWNER, "tiny", bench.pictures.id, PLAN, "a job")
    finally:
        shell.close()
