"""A page that is a container's first process takes its worker's job to the disk before it ends."""

from dataclasses import replace

import pytest

from app.jobs.job import JobState
from tests.jobs.conftest import OWNER, PLAN, Bench


@pytest.mark.slow
def test_a_worker_that_is_ended_has_saved_its_job_and_the_next_goes_on(bench: Bench) -> None:
    job = bench.start(replace(PLAN, steps=100_000, save_every=50_000, sample_every=0))
    bench.jobs.tend()
    bench.until(lambda: bench.job(job).step >= 3)
    bench.jobs.end_worker()
    assert not bench.trainers()
    ended = bench.until_state(job, JobState.INTERRUPTED)
    assert ended.saved_step == ended.step >= 3

    bench.worker()
    bench.until(lambda: bench.job(job).step > ended.step)
    bench.jobs.stop(OWNER, job.id)
    bench.until_state(job, JobState.STOPPED)


def test_where_no_worker_was_started_there_is_none_to_end(bench: Bench) -> None:
    bench.jobs.end_worker()
    assert not bench.trainers()
