"""A trainer's end is told rightly, however it comes."""

import shutil
import signal
from pathlib import Path

import pytest

from app.service.jobs import trainer
from app.service.jobs.record import JobFolder, Record
from app.service.jobs.trainer import MAX_DEATHS, Ending, train


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path)
    made.write(Record("id", "owner", "name", "tiny", "set", 40, 1, 0.0))
    return made


def never() -> bool:
    return False


def test_a_trainer_that_dies_again_and_again_fails_its_job(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = 0

    def dies(*_: object) -> int:
        nonlocal deaths
        deaths += 1
        if deaths == 3:  # it got on, so the deaths before don't count
            (folder.run / "checkpoints" / "00000010").mkdir(parents=True)
        return -signal.SIGKILL

    monkeypatch.setattr(trainer, "_run", dies)
    ending, message, hint = train(folder, folder.path / "device.lock", 1, never)
    assert (ending, deaths) == (Ending.FAILED, 2 + MAX_DEATHS)
    assert "killed" in message
    assert "memory" in hint


def test_a_full_disk_is_told_though_the_log_took_nothing(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_run", lambda *_: 1)
    monkeypatch.setattr(trainer, "MIN_FREE", shutil.disk_usage(folder.path).free * 2)
    ending, message, hint = train(folder, folder.path / "device.lock", 1, never)
    assert (ending, message) == (Ending.FAILED, "The disk is full.")
    assert "resume" in hint


def test_a_trainer_that_ended_early_by_itself_is_followed_by_another(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends the trainer SIGTERM doesn't stop the job."""

    def saves_and_ends(*_: object) -> int:
        (folder.run / "checkpoints" / f"{folder.saved_step() + 21:08}").mkdir(parents=True)
        return 0

    monkeypatch.setattr(trainer, "_run", saves_and_ends)
    assert train(folder, folder.path / "device.lock", 1, never)[0] is Ending.DONE
    assert folder.saved_step() == 41


def test_a_job_that_is_asked_to_end_starts_no_trainer(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(trainer, "_run")
    assert train(folder, folder.path / "device.lock", 1, lambda: True)[0] is Ending.ASKED
