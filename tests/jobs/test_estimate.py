"""What a job will take is told from real steps."""

from dataclasses import replace

import pytest

from app.errors import JobError
from app.jobs.estimate import StepTime, TrainingTimer
from app.jobs.job import JobState
from app.training.config import TrainConfig, read_fields
from tests.jobs.conftest import PLAN, Bench


def test_the_pace_of_a_machine_is_measured_once(bench: Bench) -> None:
    job = bench.start(PLAN)
    config = TrainConfig.checked(read_fields(bench.folder(job) / "config.json"))
    stopwatch = TrainingTimer(bench.settings)
    pace = stopwatch.pace(config)
    assert 0 < pace.look < pace.step
    longer = TrainConfig.checked(config.model_dump(mode="json") | {"seed": 7, "save_every": 9})
    assert stopwatch.pace(longer) is pace
    bench.jobs.stop("somebody", job.id)
    assert bench.job(job).state is JobState.STOPPED


def test_a_runs_time_is_its_steps_and_all_that_is_looked_at(bench: Bench) -> None:
    job = bench.start(replace(PLAN, held_out_share=0.2))  # 40 steps, saved each 5, 2 grids of 2 x 2
    config = TrainConfig.checked(read_fields(bench.folder(job) / "config.json"))
    assert StepTime(step=1.0, look=0.0).seconds(config) == 40
    assert StepTime(step=0.0, look=1.0).seconds(config) == 9 * 128 * 3 + 2 * 2 * 2


def test_what_can_not_be_timed_is_said(bench: Bench) -> None:
    job = bench.start(PLAN)
    config = TrainConfig.checked(read_fields(bench.folder(job) / "config.json"))
    lost = config.model_copy(update={"init": str(bench.settings.data_dir / "gone")})
    with pytest.raises(JobError, match="can't be measured"):
        TrainingTimer(bench.settings).pace(lost)
