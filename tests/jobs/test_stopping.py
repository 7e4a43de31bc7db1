"""A person's Stop waits for the step under way; who is short of time says what was really kept."""

import os
import signal
import time
from dataclasses import replace

import pytest

from app.jobs.job import JobState
from app.jobs.trainer_process import SAVING_SECONDS
from app.ui.train.board import progress
from tests.jobs.conftest import OWNER, PLAN, Bench
from tests.jobs.test_jobs import steps

pytestmark = pytest.mark.slow
LONG = replace(PLAN, steps=100_000, save_every=50_000, sample_every=0)


def test_a_persons_stop_waits_for_a_step_that_takes_longer_than_any_limit(bench: Bench) -> None:
    job = bench.start(LONG)
    worker = bench.worker()
    bench.until(lambda: bench.job(job).step >= 3)
    [trainer] = bench.trainers()
    os.kill(trainer, signal.SIGSTOP)  # its step takes as long as the test likes
    reached = bench.job(job).step
    bench.jobs.stop(OWNER, job.id)
    bench.until_state(job, JobState.SAVING)
    time.sleep(SAVING_SECONDS + 1)
    assert bench.trainers() == [trainer]
    assert progress(bench.job(job)) == f"stopping: saving step {reached + 1}"
    os.kill(trainer, signal.SIGCONT)
    stopped = bench.until_state(job, JobState.STOPPED)
    assert stopped.saved_step == stopped.step == steps(bench, job)[-1] >= reached
    assert progress(stopped) == f"step {stopped.step} of 100,000"
    assert worker.poll() is None


def test_a_worker_that_is_ended_waits_no_longer_for_a_stop_and_what_was_kept_is_told(
    bench: Bench,
) -> None:
    job = bench.start(LONG)
    worker = bench.worker()
    bench.until(lambda: bench.job(job).step >= 3)
    [trainer] = bench.trainers()
    os.kill(trainer, signal.SIGSTOP)
    reached = bench.job(job).step
    bench.jobs.stop(OWNER, job.id)
    bench.until_state(job, JobState.SAVING)
    asked = time.monotonic()
    worker.terminate()
    worker.wait(20)
    assert time.monotonic() - asked > SAVING_SECONDS
    assert bench.trainers() == []
    stopped = bench.until_state(job, JobState.STOPPED)
    assert (stopped.step, stopped.saved_step) == (reached, 0)
    assert progress(stopped) == f"kept at step 0 of 100,000, not the {reached} after it"


def test_samples_that_are_being_painted_are_told_given_up_and_made_up_for(bench: Bench) -> None:
    plan = replace(PLAN, steps=6, save_every=3, sample_every=3, sample_count=8, sample_steps=250)
    job = bench.start(plan)
    bench.worker()
    bench.until(lambda: bench.job(job).doing == "painting samples")
    painting = bench.job(job)
    assert painting.step == 3
    bench.until(lambda: (bench.job(job).seconds_left or 1e9) < (painting.seconds_left or 0) - 0.5)
    bench.jobs.stop(OWNER, job.id)
    stopped = bench.until_state(job, JobState.STOPPED, JobState.DONE)
    assert (stopped.state, stopped.step, stopped.saved_step) == (JobState.STOPPED, 3, 3)
    assert bench.jobs.samples(OWNER, job.id) == ()
    bench.jobs.resume(OWNER, job.id)
    bench.until_state(job, JobState.DONE)
    assert [grid.step for grid in bench.jobs.samples(OWNER, job.id)] == [3, 6]
    assert steps(bench, job) == list(range(1, 7))
