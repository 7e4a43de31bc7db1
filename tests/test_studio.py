"""The workshop sees to the work that others left, and does nothing where there is none."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import studio as module
from app.datasets.uploads import Upload
from app.errors import JobError, StudioError
from app.jobs.job import JobState
from app.jobs.plan import TrainingPlan
from app.models.store import ModelStore
from app.owners import ALONE
from app.settings import ROOT, Settings
from app.studio import Workshop
from tests.training.tiny import save_pictures
from tests.workers import end_workers

PLAN = TrainingPlan(
    steps=10, batch_size=4, save_every=10, sample_every=10, sample_count=1, sample_steps=2
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, model_root: Path) -> Iterator[Settings]:
    made = Settings(data_dir=tmp_path / "data", models_dir=model_root, device="cpu", job_threads=1)
    yield made
    end_workers(made.data_dir)


def shop(settings: Settings) -> Workshop:
    return Workshop(settings, ModelStore(settings.model_roots, "cpu"))


@pytest.fixture
def tended(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set at the end of the test; looks come quickly."""
    monkeypatch.setattr(module, "TEND_SECONDS", 0.01)
    ending = threading.Event()
    yield ending
    ending.set()


def test_a_job_that_was_left_goes_on_by_itself(
    settings: Settings, tmp_path: Path, tended: threading.Event
) -> None:
    before = shop(settings)
    files = sorted(save_pictures(tmp_path / "pictures", 6).rglob("*.png"))
    found = before.sets.add(ALONE, [Upload(path, path.name) for path in files])
    job = before.jobs.start(ALONE, "tiny", found.id, PLAN, "left")  # and nobody starts a worker
    before.jobs.close()

    after = shop(settings)
    threading.Thread(target=after.tend, args=(tended,), daemon=True).start()
    deadline = time.monotonic() + 60
    while (state := after.jobs.show(ALONE, job.id).state) is not JobState.DONE:
        assert state in {JobState.QUEUED, JobState.RUNNING}
        assert time.monotonic() < deadline
        time.sleep(0.1)
    after.jobs.close()


@pytest.mark.parametrize("zero_gpu", [False, True])
def test_where_nobody_trains_nothing_is_made(
    settings: Settings, tended: threading.Event, zero_gpu: bool
) -> None:
    idle = shop(settings.model_copy(update={"zero_gpu": zero_gpu}))
    thread = threading.Thread(target=idle.tend, args=(tended,))
    thread.start()
    time.sleep(0.1)
    tended.set()
    thread.join(5)
    assert not thread.is_alive()
    assert not settings.data_dir.exists()


def test_nothing_can_be_started_on_zero_gpu(settings: Settings) -> None:
    with pytest.raises(JobError, match="Nothing can be trained here"):
        shop(settings.model_copy(update={"zero_gpu": True})).start(
            ALONE, "tiny", "set", PLAN, "a job"
        )
    assert not settings.data_dir.exists()


def test_painting_needs_no_job_engine() -> None:
    code = "import sys, app.studio; sys.exit('dbos' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_a_jobs_time_is_told_before_it_begins(settings: Settings, tmp_path: Path) -> None:
    told = shop(settings)
    files = sorted(save_pictures(tmp_path / "pictures", 6).rglob("*.png"))
    found = told.sets.add(ALONE, [Upload(path, path.name) for path in files])
    short = told.seconds(ALONE, "tiny", found.id, PLAN)
    assert told.seconds(ALONE, "tiny", found.id, replace(PLAN, steps=1000)) > 10 * short > 0
    with pytest.raises(StudioError, match="no such set"):
        told.seconds("somebody else", "tiny", found.id, PLAN)


def test_what_nobody_foresaw_ends_no_looking_after(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (settings.data_dir / "jobs").mkdir(parents=True)
    ending, looks = threading.Event(), []

    def tend() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("no more processes")
        ending.set()

    monkeypatch.setattr(module, "TEND_SECONDS", 0.01)
    monkeypatch.setattr(Workshop, "jobs", SimpleNamespace(tend=tend))
    shop(settings).tend(ending)
    assert len(looks) == 2
    assert "no more processes" in caplog.text
