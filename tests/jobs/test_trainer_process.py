"""A trainer's end is told rightly, however it comes."""

import gc
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from app import studio as own_models
from app.jobs import trainer_process
from app.jobs import trainer_process as trainer
from app.jobs.record import JobFolder, Record
from app.jobs.trainer_process import (
    MAX_DEATHS,
    Ending,
    device_lock,
    free_processors,
    train,
    training_threads,
)
from app.locks import locked
from app.settings import Settings
from app.studio import OwnModels


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path)
    made.write(Record("id", "owner", "name", "tiny", "set", 40, 1, 0.0))
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, job_threads=1)


def never() -> bool:
    return False


def test_a_trainer_that_dies_again_and_again_fails_its_job(
    folder: JobFolder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = 0

    def dies(*_: object) -> int:
        nonlocal deaths
        deaths += 1
        if deaths == 3:  # it got on, so the deaths before don't count
            (folder.run / "checkpoints" / "00000010").mkdir(parents=True)
        return -signal.SIGKILL

    monkeypatch.setattr(trainer, "_run", dies)
    ending, message, hint = train(folder, settings, never, never)
    assert (ending, deaths) == (Ending.FAILED, 2 + MAX_DEATHS)
    assert "killed" in message
    assert "memory" in hint


def test_a_full_disk_is_told_though_the_log_took_nothing(
    folder: JobFolder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_run", lambda *_: 1)
    monkeypatch.setattr(trainer, "MIN_FREE", shutil.disk_usage(folder.path).free * 2)
    ending, message, hint = train(folder, settings, never, never)
    assert (ending, message) == (Ending.FAILED, "The disk is full.")
    assert "resume" in hint


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{}\nThe loss isn't finite.\nLower it.\n", ("The loss isn't finite.", "Lower it.")),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in b\n    return c(d)\n'
            "           ^^^^\ntorch.OutOfMemoryError: no memory\nTry less.\nOr more.\n",
            ("The training failed: torch.OutOfMemoryError: no memory.",
             "Its log says more; mend it, and resume."),
        ),
        ("{data}/jobs/id is held.\nWait for {data}/jobs.\n", ("DATA/jobs/id is held.",
         "Wait for DATA/jobs.")),
        ("", ("The training failed.", "Its log says more.")),
    ],
)  # fmt: skip
def test_a_trainers_last_words_are_told_without_code_and_paths(
    said: str,
    told: tuple[str, str],
    folder: JobFolder,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> int:
        with folder.log.open("a") as log:
            log.write(said.replace("{data}", str(settings.data_dir)))
        return 1

    # What an earlier trainer said isn't this one's.
    folder.log.write_text("Traceback (most recent call last):\nOSError: before\n")
    monkeypatch.setattr(trainer, "_run", fails)
    monkeypatch.setattr(trainer, "MIN_FREE", 0)
    assert train(folder, settings, never, never) == (Ending.FAILED, *told)


def test_a_log_that_is_too_long_begins_anew(
    folder: JobFolder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.log.write_bytes(bytes(trainer_process.LOG_BYTES + 1))
    monkeypatch.setattr(trainer, "_run", lambda *_: folder.log.write_text("One.\nTwo.\n"))
    monkeypatch.setattr(trainer, "MIN_FREE", 0)
    assert train(folder, settings, never, never) == (Ending.FAILED, "One.", "Two.")


def test_a_trainer_that_ended_early_by_itself_is_followed_by_another(
    folder: JobFolder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends the trainer SIGTERM doesn't stop the job."""

    def saves_and_ends(*_: object) -> int:
        (folder.run / "checkpoints" / f"{folder.saved_step() + 21:08}").mkdir(parents=True)
        return 0

    monkeypatch.setattr(trainer, "_run", saves_and_ends)
    assert train(folder, settings, never, never)[0] is Ending.DONE
    assert folder.saved_step() == 41


def test_a_job_that_is_asked_to_end_starts_no_trainer(
    folder: JobFolder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(trainer, "_run")
    assert train(folder, settings, lambda: True, never)[0] is Ending.ASKED
    assert train(folder, settings, never, lambda: True)[0] is Ending.ASKED


def test_a_training_takes_its_processors_from_the_painting(settings: Settings) -> None:
    every = free_processors(settings)
    assert every >= 1
    with locked(device_lock(settings)):
        assert free_processors(settings) == max(1, every - 1)
        assert free_processors(settings.model_copy(update={"job_threads": 1000})) == 1
        assert free_processors(settings.model_copy(update={"machine": "another"})) == every
    assert free_processors(settings) == every


def test_painting_keeps_to_the_processors_that_a_training_leaves(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_models, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(trainer, "usable_processors", lambda: 2)
    executor = OwnModels(settings.model_copy(update={"device": "cpu", "threads": 2})).executor

    def threads_become(count: int) -> bool:
        ending = time.monotonic() + 20
        while (
            executor.submit(torch.get_num_threads).result() != count and time.monotonic() < ending
        ):
            time.sleep(0.01)
        return executor.submit(torch.get_num_threads).result() == count

    assert threads_become(2)
    with locked(device_lock(settings.model_copy(update={"device": "cpu"}))):
        assert threads_become(1)
    assert threads_become(2)


def test_a_step_waits_for_no_look_at_the_processors(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()

    def look(_: Settings) -> int:
        looked.set()
        return 1

    monkeypatch.setattr(own_models, "free_processors", look)
    monkeypatch.setattr(own_models, "WATCH_SECONDS", 1000)
    executor = OwnModels(settings.model_copy(update={"device": "cpu"})).executor
    assert looked.wait(20)
    looked.clear()
    for _ in range(5):
        executor.submit(torch.get_num_threads).result()
    assert not looked.is_set()


def test_a_watch_of_the_processors_ends_with_its_studio(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_models, "WATCH_SECONDS", 0.01)
    before = set(threading.enumerate())
    models = OwnModels(settings.model_copy(update={"device": "cpu"}))
    begun = set(threading.enumerate()) - before
    assert len(begun) == 2
    del models
    gc.collect()
    for thread in begun:
        thread.join(20)
        assert not thread.is_alive()


def test_a_training_takes_half_of_a_containers_share(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "usable_processors", lambda: 4)
    assert training_threads(settings.model_copy(update={"job_threads": 0})) == 2
    assert free_processors(settings) == 4
