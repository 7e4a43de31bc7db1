"""The data folder of an earlier version: its set, its stopped training, its models."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradio_client import handle_file

from app.__main__ import main
from tests.compatibility.conftest import Served
from tests.compatibility.fixtures import (
    BEFORE,
    JOB,
    SET,
    STEPS,
    STOPPED_AT,
    pixels,
    unpack_data,
    variables,
)
from tests.workers import end_workers

UPLOADED = sorted((BEFORE / "pictures").glob("*.png"))
PATIENCE_SECONDS = 200


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def training(studio: Served) -> dict[str, Any]:
    found: dict[str, Any] = studio.client.predict(job=JOB, api_name="/training")
    return found


@pytest.mark.e2e
def test_the_set_and_its_pictures_are_there(alone: Served) -> None:
    [found] = alone.client.predict(api_name="/picture_sets")
    assert (found["id"], found["fit"]) == (SET, "crop")
    assert sorted(found["pictures"]) == [path.name for path in UPLOADED]
    kept = sorted((alone.data / "sets" / SET / "pictures").iterdir())
    assert sorted(pixels(path).tobytes() for path in kept) == sorted(
        pixels(path).tobytes() for path in UPLOADED
    )


@pytest.mark.e2e
def test_the_same_pictures_are_the_same_set(alone: Served) -> None:
    files = [handle_file(path) for path in UPLOADED]
    assert alone.client.predict(files=files, api_name="/upload_pictures")["id"] == SET
    assert len(alone.client.predict(api_name="/picture_sets")) == 1


@pytest.mark.e2e
def test_the_training_is_stopped_where_it_was(alone: Served) -> None:
    [listed] = alone.client.predict(api_name="/trainings")
    assert (listed["id"], listed["name"], listed["state"]) == (JOB, "my garden", "stopped")
    assert (listed["step"], listed["saved_step"]) == (STOPPED_AT, STOPPED_AT)
    assert (listed["total_steps"], listed["set_id"]) == (STEPS, SET)
    assert listed["model_steps"] == [40, 80]
    shown = training(alone)
    assert len(shown["curves"]["loss"]) == STOPPED_AT
    assert shown["samples"] == [40, 80]
    assert f"Stopped at step {STOPPED_AT} of {STEPS}" in shown["log"]
    files = alone.client.predict(job=JOB, api_name="/training_samples")
    assert [Path(file).name for file in files] == ["step-00000040.png", "step-00000080.png"]


@pytest.mark.e2e
def test_its_models_paint(alone: Served) -> None:
    for step in (40, 80):
        (file,), (recipe,) = alone.client.predict(model=f"{JOB}-{step}", steps=2, api_name="/paint")
        assert pixels(Path(file)).shape == (16, 16, 3)
        assert recipe["model"] == f"{JOB}-{step}"


@pytest.mark.e2e
@pytest.mark.slow
def test_a_visitor_finds_their_own_again(visited: Served) -> None:
    [found] = visited.client.predict(api_name="/picture_sets")
    assert found["id"] == SET
    assert sorted(found["pictures"]) == [f"theirs-{path.name}" for path in UPLOADED]
    assert visited.client.predict(api_name="/trainings") == []


@pytest.mark.e2e
@pytest.mark.slow
def test_the_training_goes_on_to_its_end(alone: Served) -> None:
    alone.client.predict(job=JOB, api_name="/resume_training")
    until(lambda: training(alone)["state"] in {"done", "failed"})
    done = training(alone)
    assert (done["state"], done["step"], done["saved_step"]) == ("done", STEPS, STEPS), done
    assert len(done["curves"]["loss"]) == STEPS
    assert {40, 80, STEPS} <= set(done["model_steps"])
    assert {40, 80, 120, 280} <= set(done["samples"])
    (file,), _ = alone.client.predict(model=f"{JOB}-{STEPS}", steps=2, api_name="/paint")
    assert pixels(Path(file)).shape == (16, 16, 3)


@pytest.mark.slow
def test_a_moved_folders_training_says_why_it_cannot_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its settings name where its pictures were, which it needs; its model, gone too, it doesn't.

    All that it has done is kept.
    """
    data = unpack_data(tmp_path)
    for variable, value in variables(data).items():
        monkeypatch.setenv(variable, value)

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(["jobs", *arguments])
        out, err = capsys.readouterr()
        assert end.value.code == 0, err
        return out

    try:
        assert said("list").split()[:3] == [JOB, "stopped", f"{STOPPED_AT}/{STEPS}"]
        said("resume", JOB)
        until(lambda: "failed" in said("list") or "done" in said("list"))
        failed = said("list")
        assert failed.split()[:3] == [JOB, "failed", f"{STOPPED_AT}/{STEPS}"]
        assert "There is no folder /data/sets/" in failed
        assert f"models: {JOB}-40 {JOB}-80" in said("show", JOB)
    finally:
        end_workers(data)
