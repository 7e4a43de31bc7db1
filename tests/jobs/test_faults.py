"""kill -9 at any moment: every job ends done, once, as if nothing had happened."""

import json
import os
import random
import signal
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from app.jobs.engine import worker_lock
from app.jobs.job import Job, JobState
from app.locks import is_locked
from tests.jobs.conftest import OWNER, PLAN, Bench
from tests.jobs.test_jobs import steps
from tests.workers import end_workers, worker_ids
from tools.server import running_server

MEASURED = replace(PLAN, held_out_share=0.2)


def finished(bench: Bench, job: Job) -> tuple[bytes, list[dict[str, object]]]:
    """The weights and the metrics, without its speed, of a job that is done."""
    done = bench.until_state(job, JobState.DONE, JobState.FAILED, seconds=90)
    assert done.state is JobState.DONE, done
    assert steps(bench, job) == list(range(1, job.total_steps + 1))
    text = (bench.folder(job) / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        line.pop("pictures_per_second", None)
    return bench.weights(job), lines


def kill(bench: Bench, whom: str) -> None:
    """Kill the trainer, the worker, or both, as a power cut would."""
    victims = [] if whom == "worker" else bench.trainers()
    if whom != "trainer":
        victims += [worker.pid for worker in bench.workers if worker.poll() is None]
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if whom != "trainer":
        for worker in bench.workers:
            worker.wait()
        bench.worker()


def survives(bench: Bench, kills: list[str], moments: random.Random) -> None:
    """A job that is killed so often ends with the weights of one that wasn't."""
    bench.worker()
    undisturbed = finished(bench, bench.start(MEASURED, "undisturbed"))
    jobs = [bench.start(MEASURED, "disturbed")]
    for whom in kills:
        bench.until(lambda: bool(bench.trainers()) or bench.job(jobs[-1]).state is JobState.DONE)
        if bench.job(jobs[-1]).state is JobState.DONE:
            jobs.append(bench.start(MEASURED, "disturbed again"))
        time.sleep(moments.uniform(0, 3))
        kill(bench, whom)
    for job in jobs:
        assert finished(bench, job) == undisturbed


@pytest.mark.faults
@pytest.mark.timeout(1_200)
def test_jobs_survive_twenty_deaths(bench: Bench) -> None:
    moments = random.Random()
    kills = [moments.choice(["trainer", "worker", "both"]) for _ in range(20)]
    survives(bench, kills, moments)


def survives_with_its_page(bench: Bench, kills: list[str], moments: random.Random) -> None:
    """As `survives`, where the page starts the workers, and is all that is started again."""
    data = bench.settings.data_dir
    variables = bench.settings.variables()
    environment = {name: v for name, v in variables.items() if not name.startswith("GRADIO_")}
    with ExitStack() as pages:
        page = pages.enter_context(running_server(environment))
        pages.callback(end_workers, data)
        undisturbed = finished(bench, bench.start(MEASURED, "undisturbed"))
        jobs = [bench.start(MEASURED, "disturbed")]
        for whom in kills:
            bench.until(
                lambda: bool(bench.trainers()) or bench.job(jobs[-1]).state is JobState.DONE
            )
            if bench.job(jobs[-1]).state is JobState.DONE:
                jobs.append(bench.start(MEASURED, "disturbed again"))
            time.sleep(moments.uniform(0, 3))
            victims = {
                "trainer": bench.trainers(),
                "worker": worker_ids(data),
                "page": [page.pid],
                "all": [page.pid, *worker_ids(data), *bench.trainers()],
            }
            for victim in victims[whom]:
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if page.pid in victims[whom]:
                page = pages.enter_context(running_server(environment))
        for job in jobs:
            assert finished(bench, job) == undisturbed


@pytest.mark.faults
def test_jobs_survive_the_death_of_their_trainer_and_of_all(bench: Bench) -> None:
    survives_with_its_page(bench, ["trainer", "all"], random.Random(1))


@pytest.mark.faults
@pytest.mark.timeout(1_200)
def test_jobs_survive_twenty_deaths_beside_a_page(bench: Bench) -> None:
    moments = random.Random()
    kills = [moments.choice(["trainer", "worker", "page", "all"]) for _ in range(20)]
    survives_with_its_page(bench, kills, moments)


@pytest.mark.faults
def test_of_two_workers_one_runs_the_job_and_the_other_takes_it_over(bench: Bench) -> None:
    job = bench.start()
    first = bench.worker()
    bench.until(lambda: is_locked(worker_lock(bench.settings.data_dir)))
    second = bench.worker()
    most = 0
    while bench.job(job).state is not JobState.DONE:
        most = max(most, len(bench.trainers()))
        if first.poll() is None and bench.job(job).step >= 3:
            first.terminate()
            assert first.wait(10) == 0
            assert bench.trainers() == []
            assert bench.folder(job).joinpath("log.txt").read_text().count("Stopped at") == 1
        time.sleep(0.02)
    assert (most, second.poll()) == (1, None)
    assert steps(bench, job) == list(range(1, 41))
    assert bench.jobs.log(OWNER, job.id).count("Finished") == 1


def test_what_nobody_works_on_gets_a_worker(bench: Bench) -> None:
    job, data = bench.start(), bench.settings.data_dir
    bench.jobs.tend()
    bench.jobs.tend()
    bench.until_state(job, JobState.RUNNING)
    bench.jobs.stop(OWNER, job.id)
    end_workers(data)
    bench.until(lambda: not is_locked(worker_lock(data)))
    bench.jobs.tend()
    assert bench.job(job).state is JobState.STOPPED
    assert not is_locked(worker_lock(data)), "there is nothing to do"
