"""A process that is killed while it starts, stops or deletes a job leaves nothing half done."""

import pytest

from app.errors import StudioError
from app.jobs.engine import Engine
from app.jobs.job import JobState
from app.jobs.record import JobFolder
from tests.jobs.conftest import OWNER, Bench


def killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The bench, whose jobs wait: no worker is started."""
    monkeypatch.setattr("app.jobs.jobs.start_worker", lambda settings: None)
    return bench


def started_in_part(bench: Bench, owner: type, step: str) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(owner, step, killed)
        bench.start()


def test_a_job_that_was_only_written_down_goes_on(bench: Bench) -> None:
    started_in_part(bench, Engine, "submit")
    [job] = bench.jobs.list(OWNER)
    assert job.state is JobState.INTERRUPTED
    bench.jobs.tend()
    assert bench.job(job).state is JobState.QUEUED
    assert bench.jobs.stop(OWNER, job.id).state is JobState.STOPPED
    bench.jobs.tend()
    assert bench.job(job).state is JobState.STOPPED


def test_a_job_that_was_only_written_down_can_be_stopped(bench: Bench) -> None:
    started_in_part(bench, Engine, "submit")
    [job] = bench.jobs.list(OWNER)
    assert bench.jobs.stop(OWNER, job.id).state is JobState.STOPPED
    bench.jobs.tend()
    assert bench.job(job).state is JobState.STOPPED


def test_a_job_whose_resuming_was_only_written_down_goes_on(bench: Bench) -> None:
    job = bench.start()
    bench.jobs.stop(OWNER, job.id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "submit", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.jobs.resume(OWNER, job.id)
    bench.jobs.tend()
    assert bench.job(job).state is JobState.QUEUED


def test_nothing_begins_again_where_the_engines_store_was_lost(bench: Bench) -> None:
    job = bench.start()
    bench.jobs.stop(OWNER, job.id)
    (bench.folder(job) / "run").mkdir()
    bench.jobs._engine.forget(f"{job.id}-")
    bench.jobs.tend()
    assert bench.job(job).state is JobState.INTERRUPTED
    bench.jobs.resume(OWNER, job.id)
    assert bench.job(job).state is JobState.QUEUED


def test_a_job_that_was_never_written_down_leaves_nothing(bench: Bench) -> None:
    started_in_part(bench, JobFolder, "write")
    bench.sets.release(bench.pictures.id, OWNER)
    assert bench.pictures.folder.is_dir()
    bench.jobs.tend()
    assert [path.name for path in (bench.settings.data_dir / "jobs").iterdir()] == [".lock"]
    assert not bench.pictures.folder.exists()


@pytest.mark.parametrize(
    "step",
    [
        "_engine.forget",
        "_sets.release_all",
        "app.datasets.uploads.locked",
        "app.jobs.jobs.remove",
    ],
)
def test_a_job_that_was_deleted_in_part_is_gone_and_stays_so(bench: Bench, step: str) -> None:
    job = bench.start()
    bench.jobs.stop(OWNER, job.id)
    bench.sets.release(bench.pictures.id, OWNER)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        if step.startswith("app."):
            patch.setattr(step, killed)
        else:
            part, name = step.split(".")
            patch.setattr(getattr(bench.jobs, part), name, killed)
        bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.list(OWNER) == ()
    bench.jobs.tend()
    assert [path.name for path in (bench.settings.data_dir / "jobs").iterdir()] == [".lock"]
    assert not bench.pictures.folder.exists()
    assert bench.jobs._engine.tasks([f"{job.id}-1"]) == {}
    with pytest.raises(StudioError, match="no such job"):
        bench.job(job)
