"""A real training as a job: it ends, stops, resumes, grows, and is nobody else's."""

import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline

from app.errors import StudioError
from app.service.jobs.job import Job, State
from app.service.models import ModelStore
from tests.service.jobs.conftest import OWNER, PLAN, Bench


def steps(bench: Bench, job: Job) -> list[int]:
    lines = (bench.folder(job) / "run" / "metrics.jsonl").read_text().splitlines()
    return [line["step"] for line in map(json.loads, lines) if line["kind"] == "step"]


def test_a_job_is_done_its_loss_falls_and_its_model_loads(bench: Bench, tmp_path: Path) -> None:
    job = bench.start(replace(PLAN, held_out_share=0.2))
    assert job.state is State.QUEUED
    bench.worker()
    done = bench.until_state(job, State.DONE, State.FAILED)
    assert done.state is State.DONE, done
    assert (done.step, done.saved_step, done.message) == (40, 40, "")

    curves = bench.jobs.curves(OWNER, job.id)
    losses = [point.value for point in curves.loss]
    assert len(losses) == 40
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert set(curves.held_out) == {"raw", "ema-0.050", "ema-0.100"}
    assert [sample.step for sample in bench.jobs.samples(OWNER, job.id)] == [20, 40]
    assert "Finished at step 40" in bench.jobs.log(OWNER, job.id)

    model = bench.jobs.model(OWNER, job.id)
    store = ModelStore((), "cpu")
    store.adopt(model)
    assert store.load(model.id).info.size == 16
    assert store.list() == (), "others aren't shown it"
    bench.jobs.download(OWNER, job.id, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "unpacked" / model.id)
    painted = pipeline(num_inference_steps=2, output_type="np", return_dict=False)
    assert painted[0].shape == (1, 16, 16, 3)

    # It can be made longer, and keeps the curve that it has.
    assert bench.jobs.extend(OWNER, job.id, 5).total_steps == 45
    bench.until(lambda: bench.job(job).step == 45)
    bench.until_state(job, State.DONE)
    assert steps(bench, job) == list(range(1, 46))


def test_a_stopped_job_has_saved_and_is_gone_before_the_next_starts(bench: Bench) -> None:
    first = bench.start(replace(PLAN, steps=100_000, save_every=50_000, sample_every=0), "first")
    second = bench.start(name="second")
    bench.worker()
    bench.until(lambda: bench.job(first).step >= 3)
    assert bench.job(first).state is State.RUNNING
    assert bench.job(first).seconds_left
    assert bench.job(second).state is State.QUEUED
    [trainer] = bench.trainers()

    asked = time.monotonic()
    bench.jobs.stop(OWNER, first.id)
    while Path(f"/proc/{trainer}").exists():
        assert len(bench.trainers()) <= 1, "the second began before the first had ended"
        assert time.monotonic() < asked + 5
        time.sleep(0.02)
    stopped = bench.until_state(first, State.STOPPED)
    assert stopped.saved_step == stopped.step == steps(bench, first)[-1] >= 3

    bench.until_state(second, State.DONE)
    bench.jobs.resume(OWNER, first.id)
    bench.until(lambda: bench.job(first).step > stopped.step)
    bench.jobs.stop(OWNER, first.id)
    bench.until_state(first, State.STOPPED)
    assert steps(bench, first) == list(range(1, bench.job(first).step + 1))
    bench.jobs.delete(OWNER, first.id)
    assert [job.name for job in bench.jobs.list(OWNER)] == ["second"]
    assert not bench.folder(first).exists()


def test_a_training_that_fails_says_why_and_what_to_do(bench: Bench) -> None:
    job = bench.start()
    for path in bench.pictures.files:
        path.write_bytes(b"no picture")
    bench.worker()
    failed = bench.until_state(job, State.FAILED, State.DONE)
    assert failed.state is State.FAILED
    assert "can be used" in failed.message
    assert failed.hint


def test_others_neither_see_nor_touch_a_job(bench: Bench) -> None:
    job = bench.start()
    jobs = bench.jobs
    assert jobs.list("somebody else") == ()
    assert [each.id for each in jobs.list(OWNER)] == [job.id]
    for act in (jobs.show, jobs.stop, jobs.resume, jobs.delete, jobs.curves, jobs.log, jobs.model):
        with pytest.raises(StudioError, match="no such job"):
            act("somebody else", job.id)
    with pytest.raises(StudioError, match="no such set"):
        jobs.start("somebody else", "tiny", bench.pictures.id, PLAN, "theirs")
    with pytest.raises(StudioError, match="Nobody"):
        jobs.list("")
    for name in ("..", ".", f"../jobs/{job.id}", str(bench.folder(job)), ""):
        with pytest.raises(StudioError, match="no such job"):
            jobs.show(OWNER, name)


def test_what_can_not_be_trained_is_refused_before_it_is_queued(bench: Bench) -> None:
    for plan, model, reason in (
        (PLAN, "nobody", "no model"),
        (PLAN, "../tiny", "no model"),
        (replace(PLAN, steps=0), "tiny", "views"),
        (replace(PLAN, learning_rate=2.0), "tiny", "learning_rate"),
        (replace(PLAN, labels=True), "tiny", "no classes"),
        (replace(PLAN, sample_every=7), "tiny", "multiple"),
        (PLAN, "classes", "classes"),
    ):
        with pytest.raises(StudioError, match=reason):
            bench.jobs.start(OWNER, model, bench.pictures.id, plan, "a job")
    with pytest.raises(StudioError, match="name"):
        bench.start(name=" ")
    assert bench.jobs.list(OWNER) == ()


def test_a_queued_job_can_be_renamed_stopped_and_deleted(bench: Bench) -> None:
    job = bench.start()
    assert bench.jobs.rename(OWNER, job.id, "  another\nname ").name == "another name"
    with pytest.raises(StudioError, match="Stop it first"):
        bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.stop(OWNER, job.id).state is State.STOPPED
    with pytest.raises(StudioError, match="nothing to stop"):
        bench.jobs.stop(OWNER, job.id)
    with pytest.raises(StudioError, match="no model yet"):
        bench.jobs.model(OWNER, job.id)
    bench.sets.release(bench.pictures.id, OWNER)
    assert bench.pictures.folder.is_dir(), "the job still needs its pictures"
    bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.list(OWNER) == ()
    assert not bench.pictures.folder.exists()


def test_a_full_quota_refuses_a_job(bench: Bench) -> None:
    job = bench.start()
    with (bench.folder(job) / "big").open("wb") as file:
        file.truncate(bench.settings.job_quota_mb * 1_000_000 + 1)
    with pytest.raises(StudioError, match="set aside"):
        bench.start()
