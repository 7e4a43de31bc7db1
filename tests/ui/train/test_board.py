"""What the Train tab says, and what it makes of what a page sends."""

import base64
import io
import json
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app.cli.jobs import _changes as changes_given
from app.errors import JobError, StudioError
from app.images.encoding import png_bytes
from app.images.sheets import tiled
from app.jobs.curves import Point, TrainingCurves
from app.jobs.job import Job, JobState, SampleGrid
from app.jobs.jobs import Jobs
from app.jobs.plan import PRESETS, TrainingPlan
from app.jobs.storage import Storage
from app.laboratory.experiments import Denoising, read_experiment
from app.models.files import ModelFiles
from app.painting.canvas import decoded
from app.settings import Settings
from app.studio import Studio
from app.ui.components.instrument import message_json
from app.ui.train.board import duration, enlarged_sample, job_line, progress
from app.ui.train.messages import CurveLines, News, Seen, Wish
from app.ui.train.tab import FIELDS, place_words, plan_from, preset_changes, preset_values, times

JOB = Job(
    "id", "a garden", "tiny", "set", 0.0, JobState.RUNNING, 37, 200, 37, 14.23, 75.0, "", "",
    False, (),
)  # fmt: skip


def event(data: object) -> gr.EventData:
    return gr.EventData(None, data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "step 37 of 200 · 14.2 pictures/s · 1 min left"),
        ({"step": 0}, "reads its pictures"),
        ({"step": 0, "doing": "saving"}, "saving"),
        ({"doing": "painting samples"}, "step 37 of 200 · painting samples · 1 min left"),
        ({"state": JobState.SAVING}, "stopping: saving step 38"),
        ({"state": JobState.SAVING, "doing": "saving"}, "stopping: saving step 37"),
        ({"state": JobState.QUEUED, "step": 0}, "waits for its turn"),
        ({"state": JobState.QUEUED}, "waits for its turn, at step 37 of 200"),
        ({"state": JobState.STOPPED}, "step 37 of 200"),
        (
            {"state": JobState.STOPPED, "saved_step": 30},
            "kept at step 30 of 200, not the 7 after it",
        ),
        ({"state": JobState.INTERRUPTED}, "at step 37 of 200; goes on by itself"),
        (
            {"state": JobState.INTERRUPTED, "saved_step": -1},
            "kept at step 0 of 200, not the 37 after it; goes on by itself",
        ),
        (
            {"state": JobState.QUEUED, "saved_step": 30},
            "waits for its turn, kept at step 30 of 200, not the 7 after it",
        ),
        ({"state": JobState.DONE, "total_steps": 12_000}, "12,000 steps"),
    ],
)
def test_progress_is_told_in_words(changes: dict[str, object], words: str) -> None:
    assert progress(replace(JOB, **changes)) == words  # type: ignore[arg-type]


class PaintedJobs:
    """The part of the jobs that tells of one with a grid of two samples after 20 steps."""

    def __init__(self, folder: Path, model: Path) -> None:
        rng = np.random.default_rng(0)
        self.tiles = rng.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
        self._grid = folder / "grid.png"
        self._grid.write_bytes(png_bytes(tiled(self.tiles)))
        self._model = model

    def samples(self, _: str, __: str) -> tuple[SampleGrid, ...]:
        return (SampleGrid(20, self._grid),)

    def config(self, _: str, __: str) -> SimpleNamespace:
        return SimpleNamespace(sample_count=2)

    def model(self, _: str, __: str) -> ModelFiles:
        return ModelFiles("tiny", self._model)


@pytest.fixture
def painted(model_root: Path, tmp_path: Path) -> tuple[Studio, PaintedJobs]:
    studio = Studio(Settings(models_dir=model_root, data_dir=tmp_path, device="cpu", threads=1))
    jobs = PaintedJobs(tmp_path, model_root / "tiny")
    studio.workshop._jobs = cast(Jobs, jobs)
    return studio, jobs


def test_a_sample_is_enlarged_as_any_picture(painted: tuple[Studio, PaintedJobs]) -> None:
    studio, jobs = painted
    wish = Wish(ask="enlarge", job="id", step=20, picture=1)
    found = enlarged_sample(studio, "me", wish, "exact")
    assert (found.job, found.name) == ("id", "sample-2-step-20-64px.png")
    data = base64.b64decode(found.src.partition(",")[2])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (64, 64)
    experiment = read_experiment(data)
    assert isinstance(experiment, Denoising)
    assert (experiment.t, experiment.run.model, experiment.run.precision) == (0, "tiny", "exact")
    seen = decoded(experiment.source.pixels or "")
    assert np.array_equal(np.asarray(seen), jobs.tiles[1])


@pytest.mark.parametrize(("step", "picture"), [(10, 0), (20, 2), (None, 0)])
def test_a_sample_that_is_not_there_is_not_enlarged(
    painted: tuple[Studio, PaintedJobs], step: int | None, picture: int
) -> None:
    wish = Wish(ask="enlarge", job="id", step=step, picture=picture)
    with pytest.raises(JobError, match="no such sample"):
        enlarged_sample(painted[0], "me", wish, "exact")


@pytest.mark.parametrize("state", JobState)
def test_a_state_offers_what_can_be_done_in_it(state: JobState) -> None:
    may = job_line(replace(JOB, state=state, saved_step=-1)).may
    ended = state in {JobState.DONE, JobState.STOPPED, JobState.FAILED}
    assert ("delete" in may) == ended
    assert not {"stop"} & set(may) or not ended
    assert "paint" not in may
    assert "paint" in job_line(replace(JOB, state=state, saved_step=30)).may


def test_a_kept_job_says_so_and_can_be_let_go() -> None:
    kept = job_line(replace(JOB, kept=True))
    assert kept.words.endswith(" · kept")
    assert {"keep", "unkeep"} & set(kept.may) == {"unkeep"}
    assert {"keep", "unkeep"} & set(job_line(JOB).may) == {"keep"}


def test_lengths_of_time_have_one_unit() -> None:
    assert [duration(s) for s in (40, 200, 3 * 3600, 3 * 86400)] == [
        "40 s", "3 min", "3.0 h", "3.0 days",
    ]  # fmt: skip
    assert times([320, 16_000, 64_000]) == "here: a taste 5 min, an evening 4.4 h, long 17.8 h"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pictures", [0, 24, 400])
def test_a_preset_passes_through_the_controls(preset: str, pictures: int) -> None:
    assert plan_from(tuple(preset_values(preset, pictures).values())) == TrainingPlan.preset(
        preset, pictures
    )


def test_another_preset_leaves_the_classes_as_they_are() -> None:
    changes = dict(zip(FIELDS, preset_changes("evening", 24), strict=True))
    assert changes["labels"] == gr.skip()
    assert changes["steps"] == TrainingPlan.preset("evening", 24).steps


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("steps", None, "steps"),
        ("steps", 1.5, "steps"),
        ("batch_size", "many", "batch size"),
        ("learning_rate", True, "learning rate"),
        ("ema", "all", "averages"),
    ],
)
def test_a_control_that_holds_no_number_is_named(field: str, value: object, says: str) -> None:
    values = preset_values("taste", 24) | {field: value}
    with pytest.raises(JobError, match=says):
        plan_from(tuple(values.values()))


@pytest.mark.parametrize(
    "data",
    [None, "x", {"ask": "explode", "job": "a"}, {"ask": "stop"}, {"ask": "extend", "job": "a",
     "steps": -1}, {"ask": "paint", "job": "a", "step": "../1"},
     {"ask": "stop", "job": "a" * 65}, {"ask": "stop", "job": "a", "owner": "b"}],
)  # fmt: skip
def test_a_wish_that_can_not_be_read_is_refused(data: object) -> None:
    with pytest.raises(StudioError, match="can't be read"):
        Wish.of(event(data))


def test_a_page_says_what_it_has_seen() -> None:
    seen = Seen.of(event({"listing": "a", "job": "b", "samples": [5, 10], "log": None}))
    assert (seen.job, seen.samples, seen.log) == ("b", (5, 10), None)
    with pytest.raises(StudioError):
        Seen.of(event({"samples": list(range(201))}))


def test_news_is_json_with_its_curves() -> None:
    line = (Point(1, 0.123456), Point(2, float("inf")))
    curves = TrainingCurves(line, line, {"raw": line}, (line, (), (), ()), turned_up=True)
    said = json.loads(message_json(News("b", curves=CurveLines.of(curves, "m"))))
    assert said["kind"] == "news"
    assert said["jobs"] is None
    assert said["curves"]["loss"] == [[1], [0.1235]]
    assert said["curves"]["held_out"] == [["raw", [[1], [0.1235]]]]
    assert said["curves"]["turned_up"] is True
    assert json.loads(message_json(News("b")))["curves"] is None


def test_old_jobs_are_offered_where_there_is_hardly_any_room() -> None:
    month = 31 * 86400.0
    jobs = [
        replace(JOB, id="new", state=JobState.DONE, created=month),
        replace(JOB, id="old", state=JobState.STOPPED, created=1.0),
        replace(JOB, id="busy", created=2.0),
        replace(JOB, id="kept", state=JobState.DONE, created=0.0, kept=True),
    ]
    sizes = {"new": 5, "old": 5, "busy": 5, "kept": 5}
    assert [job.id for job in Storage(15, 100, sizes).old(jobs, month)] == ["old"]
    assert [job.id for job in Storage(95, 100, sizes).old(jobs, month)] == ["old", "new"]


def test_a_space_is_told_what_is_possible_there() -> None:
    assert place_words(Settings()) == ""
    most = "at most 1 training at a time and steps times batch of 8,000"
    assert most in place_words(Settings(single_user=False))
    assert most in place_words(Settings(space_id="somebody/plein-air", single_user=False))
    space = Settings(space_id="somebody/plein-air")
    assert "This is a Space" in place_words(space)
    zero = place_words(space.model_copy(update={"zero_gpu": True}))
    assert "Nothing can be trained on ZeroGPU" in zero
    assert "https://huggingface.co/spaces/somebody/plein-air" in zero
    assert "python -m app jobs start" in zero


def test_the_same_job_elsewhere_has_the_same_settings() -> None:
    space = Settings(space_id="somebody/plein-air")
    usual = TrainingPlan.preset("evening", 60)
    plan = replace(usual, steps=500, held_out_share=None, ema_sigma_rels=(0.05,), labels=True)
    words = place_words(space, "it's", "tiny", "evening", "squash", plan.changes(usual))
    command = words.split("```")[1].partition("-m app ")[2].replace("\\\n", " ")
    given = shlex.split(command)
    assert given[:3] == ["jobs", "start", "it's"]
    assert [given[given.index(o) + 1] for o in ("--init", "--preset", "--fit")] == [
        "tiny", "evening", "squash",
    ]  # fmt: skip
    changes = changes_given([v for o, v in pairwise(given) if o == "--set"])
    assert usual.changed(changes | {"ema_sigma_rels": (0.05,)}) == plan
    assert changes["ema_sigma_rels"] == [0.05]
    assert "--set" not in place_words(space, "a", "tiny", "evening", "crop", usual.changes(usual))
