"""Workers on several machines share one database: each job is trained once, whoever dies."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.errors import StudioError
from app.jobs.engine import Engine
from app.jobs.job import Job, JobState
from app.jobs.jobs import Jobs
from app.jobs.leases import LEASE_SECONDS, Leases
from app.models.store import ModelStore
from app.settings import Settings
from tests.jobs.conftest import OWNER, PLAN, Bench
from tests.jobs.postgres import running_postgres, running_proxy, server_programs
from tests.lacking import lacking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHORT = replace(PLAN, steps=12, save_every=4, sample_every=0)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if server_programs() is None:
        lacking("these tests need Postgres: install the package postgresql")
    with running_postgres(tmp_path_factory.mktemp("postgres") / "server") as url:
        yield url


@pytest.fixture
def shared(bench: Bench, database: str) -> Iterator[Bench]:
    """The bench with its jobs in Postgres."""
    bench.jobs.close()
    bench.settings = bench.settings.model_copy(update={"database_url": database})
    bench.jobs = Jobs(bench.settings, ModelStore(bench.settings.model_roots, "cpu"), bench.sets)
    yield bench
    for job in bench.jobs.list(OWNER):
        if job.state in {JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED}:
            bench.jobs.stop(OWNER, job.id)


def worker(bench: Bench, machine: str, url: str = "") -> subprocess.Popen[bytes]:
    """A worker as it would run on another machine, by another way to the database."""
    settings = bench.settings
    url = url or settings.database_url
    bench.settings = settings.model_copy(update={"machine": machine, "database_url": url})
    try:
        return bench.worker()
    finally:
        bench.settings = settings


def steps(bench: Bench, job: Job) -> int:
    lines = (bench.folder(job) / "run" / "metrics.jsonl").read_text().splitlines()
    told = [line for line in lines if '"kind": "step"' in line or '"kind":"step"' in line]
    return len(told)


@pytest.mark.faults
def test_ten_jobs_are_each_done_once_though_a_worker_is_killed(shared: Bench) -> None:
    jobs = [shared.start(SHORT, f"job {i}") for i in range(10)]
    first, second = worker(shared, "first"), worker(shared, "second")
    most = killed = 0
    deadline = time.monotonic() + 600
    while {job.state for job in shared.jobs.list(OWNER)} != {JobState.DONE}:
        assert time.monotonic() < deadline, shared.jobs.list(OWNER)
        most = max(most, len(shared.trainers()))
        if not killed and any(1 <= shared.job(job).step < SHORT.steps for job in jobs[:2]):
            first.kill()
            killed = first.wait()
        time.sleep(0.05)
    assert killed == -signal.SIGKILL
    assert second.poll() is None
    assert most <= 2
    for job in jobs:
        assert steps(shared, job) == SHORT.steps
        assert shared.jobs.log(OWNER, job.id).count("Finished") == 1


@pytest.mark.faults
def test_a_worker_that_froze_gives_up_what_another_took_over(shared: Bench) -> None:
    job = shared.start(replace(PLAN, steps=3_000, save_every=500, sample_every=0))
    first = worker(shared, "first")
    shared.until(lambda: shared.job(job).step > 5)
    (trainer,) = shared.trainers()
    for process in (first.pid, trainer):
        os.kill(process, signal.SIGSTOP)
    second = worker(shared, "second")
    time.sleep(LEASE_SECONDS + 5)
    assert shared.trainers() == [trainer], "its lock is held: nobody else begins"
    for process in (first.pid, trainer):
        os.kill(process, signal.SIGCONT)
    assert first.wait(15) == 1
    shared.until_state(job, JobState.RUNNING)
    shared.until(lambda: shared.trainers() not in ([], [trainer]))
    assert len(shared.trainers()) == 1
    assert second.poll() is None


@pytest.mark.faults
def test_a_worker_whose_network_falls_silent_has_ended_when_another_takes_over(
    shared: Bench, database: str
) -> None:
    job = shared.start(replace(PLAN, steps=100_000, save_every=50_000, sample_every=0))
    with running_proxy(Path(database.partition("host=")[2])) as proxy:
        first = worker(shared, "first", proxy.url)
        shared.until(lambda: shared.job(job).step > 5)
        proxy.passes.clear()
        assert first.wait(LEASE_SECONDS) == 1
        assert not shared.trainers()
    second = worker(shared, "second")
    saved = shared.job(job).saved_step
    assert saved > 5
    shared.until(lambda: shared.job(job).step > saved)
    assert second.poll() is None


def test_a_database_that_refuses_says_why(database: str) -> None:
    leases = Leases(database)
    with pytest.raises(StudioError, match="read-only"), leases._asking() as connection:
        connection.execute(sa.text("SET TRANSACTION READ ONLY; DELETE FROM plein_air_workers"))
    leases.close()


def test_a_statement_is_not_waited_for_without_end(database: str) -> None:
    leases = Leases(database)
    with pytest.raises(StudioError, match="reached"), leases._asking() as connection:
        connection.execute(sa.text("SELECT pg_sleep(60)"))
    leases.close()


def test_a_worker_lives_as_long_as_it_tells(database: str) -> None:
    leases = Leases(database)
    leases.begin("one", "machine")
    assert leases.beat("one")
    assert "one" in leases.living()
    assert "one" not in leases.dead()
    assert not leases.beat("nobody")
    leases.forget("one")
    assert not leases.beat("one")
    leases.close()


def test_a_database_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    away = f"postgresql://somebody:secret@/postgres?host={tmp_path}"
    with pytest.raises(StudioError, match="can't be reached") as caught:
        Engine(Settings(data_dir=tmp_path, database_url=away))
    assert "secret" not in str(caught.value)
