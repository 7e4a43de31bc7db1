"""What a job will take is told from real steps."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from app.errors import JobError, ModelError
from app.jobs import estimate
from app.jobs.estimate import StepTime, TrainingTimer, seconds_left
from app.jobs.job import JobState
from app.jobs.trainer_process import device_lock
from app.locks import locked
from app.training.config import TrainConfig, read_fields
from app.training.progress import Deed, RunProgress
from tests.jobs.conftest import PLAN, Bench


@pytest.mark.slow
def test_the_pace_of_a_machine_is_measured_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.start(PLAN)
    config = TrainConfig.checked(read_fields(bench.folder(job) / "config.json"))
    stopwatch = TrainingTimer(bench.settings)
    pace = stopwatch.pace(config)
    assert 0 < pace.look < pace.step
    longer = TrainConfig.checked(config.model_dump(mode="json") | {"seed": 7, "save_every": 9})
    monkeypatch.setattr(TrainingTimer, "_measured", lambda *_: pytest.fail("measured anew"))
    assert stopwatch.pace(longer) == pace
    assert TrainingTimer(bench.settings).pace(longer) == pace, "a restart keeps it"
    twin = shutil.copytree(config.init or "", bench.settings.data_dir / "twin")
    assert stopwatch.pace(config.model_copy(update={"init": str(twin)})) == pace
    bench.jobs.stop("somebody", job.id)
    assert bench.job(job).state is JobState.STOPPED


def test_a_runs_time_is_its_steps_and_all_that_is_looked_at(bench: Bench) -> None:
    job = bench.start(replace(PLAN, held_out_share=0.2))  # 40 steps, saved each 5, 2 grids of 2 x 2
    config = TrainConfig.checked(read_fields(bench.folder(job) / "config.json"))
    assert StepTime(step=1.0, look=0.0).seconds(config) == 40
    assert StepTime(step=0.0, look=1.0).seconds(config) == 9 * 128 * 3 + 2 * 2 * 2


def test_what_can_not_be_timed_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bench.start(PLAN)
    config = TrainConfig.checked(read_fields(bench.folder(job) / "config.json"))
    lost = config.model_copy(update={"init": str(bench.settings.data_dir / "gone")})
    with pytest.raises(ModelError, match="gone"):
        TrainingTimer(bench.settings).pace(lost)
    monkeypatch.setattr(estimate, "TIMER", ("-c", "raise SystemExit('it broke')"))
    with pytest.raises(JobError, match="can't be measured: it broke"):
        TrainingTimer(bench.settings).pace(config)


def test_beside_a_training_nothing_is_measured(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig.checked(read_fields(bench.folder(bench.start(PLAN)) / "config.json"))
    monkeypatch.setattr(TrainingTimer, "_measured", lambda *_: pytest.fail("measured"))
    with (
        locked(device_lock(bench.settings)),
        pytest.raises(JobError, match="measured when no training goes on"),
    ):
        TrainingTimer(bench.settings).pace(config)


def test_what_took_too_long_is_not_measured_again_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig.checked(read_fields(bench.folder(bench.start(PLAN)) / "config.json"))
    stopwatch = TrainingTimer(bench.settings)
    monkeypatch.setattr(estimate, "TIMER", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(estimate, "SECONDS", 0.1)
    with pytest.raises(JobError, match="isn't known"):
        stopwatch.pace(config)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("measured again"))
    with pytest.raises(JobError, match="isn't known"):
        stopwatch.pace(config)


@pytest.mark.parametrize(
    ("progress", "seconds"),
    [
        # 20 steps of 4 at 8 a second, and a grid of 2 x 2 to come.
        (RunProgress(look_seconds=0.5), 10 + 4 * 0.5),
        (RunProgress(Deed.PAINTING, 0.75, 0.5), 10 + 4 * 0.5 + 0.25 * 4 * 0.5),
        (RunProgress(), 10 + 4 / 24),
    ],
)
def test_the_time_left_counts_the_samples_to_come(
    bench: Bench, progress: RunProgress, seconds: float
) -> None:
    config = TrainConfig.checked(read_fields(bench.folder(bench.start(PLAN)) / "config.json"))
    assert seconds_left(config, 20, 8.0, progress) == pytest.approx(seconds)
