"""A real training as a job: it ends, stops, resumes, grows, and is nobody else's."""

import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import LDMPipeline
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from PIL import Image

from app.datasets.uploads import Upload
from app.errors import JobError, StudioError
from app.jobs.estimate import TrainingTimer
from app.jobs.job import Job, JobState
from app.jobs.jobs import Jobs
from app.jobs.listing import listed
from app.jobs.record import taken_bytes
from app.jobs.storage import Storage, needed_bytes
from app.models.store import ModelStore
from tests.conftest import save_tiny_model
from tests.disks import fill, small_disk
from tests.jobs.conftest import OWNER, PLAN, Bench
from tests.training.tiny import save_pictures


def steps(bench: Bench, job: Job) -> list[int]:
    lines = (bench.folder(job) / "run" / "metrics.jsonl").read_text().splitlines()
    return [line["step"] for line in map(json.loads, lines) if line["kind"] == "step"]


@pytest.mark.slow
def test_a_job_is_done_its_loss_falls_and_its_model_loads(bench: Bench, tmp_path: Path) -> None:
    job = bench.start(replace(PLAN, held_out_share=0.2))
    assert job.state is JobState.QUEUED
    bench.worker()
    done = bench.until_state(job, JobState.DONE, JobState.FAILED)
    assert done.state is JobState.DONE, done
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

    # So does the one that painted the first samples; between them none is kept.
    assert done.model_steps == (20, 40)
    earlier = bench.jobs.model(OWNER, job.id, 20)
    store.adopt(earlier)
    assert store.load(earlier.id).weights != store.load(model.id).weights
    bench.jobs.download(OWNER, job.id, tmp_path / "earlier.zip", 20)
    with zipfile.ZipFile(tmp_path / "earlier.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    DDPMPipeline.from_pretrained(tmp_path / "unpacked" / f"{job.id}-20")
    for step in (-1, 0, 35, 41):
        with pytest.raises(JobError, match="no model of step"):
            bench.jobs.model(OWNER, job.id, step)

    run = bench.folder(job) / "run"
    taken = taken_bytes(run / "checkpoints") + taken_bytes(run / "exports")
    needed = needed_bytes(bench.jobs.config(OWNER, job.id), model.num_parameters)
    assert needed / 3 < taken <= needed

    alike = bench.jobs.likenesses(OWNER, job.id)
    assert len(alike) == PLAN.sample_count
    titles = {Path(name).stem for name in bench.pictures.names}
    for one in alike:
        assert one.sample.shape == (16, 16, 3)
        assert one.file in bench.pictures.files
        assert one.nearest.title in titles

    # It can be made longer, and keeps the curve that it has.
    assert bench.jobs.extend(OWNER, job.id, 5).total_steps == 45
    bench.until(lambda: bench.job(job).step == 45)
    bench.until_state(job, JobState.DONE)
    assert steps(bench, job) == list(range(1, 46))


@pytest.mark.slow
def test_a_stopped_job_has_saved_and_is_gone_before_the_next_starts(bench: Bench) -> None:
    first = bench.start(replace(PLAN, steps=100_000, save_every=50_000, sample_every=0), "first")
    second = bench.start(name="second")
    bench.worker()
    bench.until(lambda: bench.job(first).step >= 3)
    assert bench.job(first).state is JobState.RUNNING
    assert bench.job(first).seconds_left
    assert bench.job(second).state is JobState.QUEUED
    [trainer] = bench.trainers()

    asked = time.monotonic()
    bench.jobs.stop(OWNER, first.id)
    while Path(f"/proc/{trainer}").exists():
        assert len(bench.trainers()) <= 1, "the second began before the first had ended"
        assert time.monotonic() < asked + 30
        time.sleep(0.02)
    stopped = bench.until_state(first, JobState.STOPPED)
    assert stopped.saved_step == stopped.step == steps(bench, first)[-1] >= 3

    bench.until_state(second, JobState.DONE)
    bench.jobs.resume(OWNER, first.id)
    bench.until(lambda: bench.job(first).step > stopped.step)
    bench.jobs.stop(OWNER, first.id)
    bench.until_state(first, JobState.STOPPED)
    assert steps(bench, first) == list(range(1, bench.job(first).step + 1))
    bench.jobs.delete(OWNER, first.id)
    assert [job.name for job in bench.jobs.list(OWNER)] == ["second"]
    assert not bench.folder(first).exists()


@pytest.mark.slow
def test_what_a_stopped_job_painted_is_compared_too(bench: Bench) -> None:
    job = bench.start(replace(PLAN, steps=100_000, save_every=10, sample_every=10))
    with pytest.raises(JobError, match="painted nothing yet"):
        bench.jobs.likenesses(OWNER, job.id)
    bench.worker()
    bench.until(lambda: len(bench.jobs.samples(OWNER, job.id)) > 0)
    bench.jobs.stop(OWNER, job.id)
    bench.until_state(job, JobState.STOPPED)
    first = bench.jobs.likenesses(OWNER, job.id)
    assert {one.nearest.control for one in first} == {"leave-one-out"}
    again = bench.jobs.likenesses(OWNER, job.id)
    assert [one.nearest for one in again] == [one.nearest for one in first]


@pytest.mark.slow
def test_a_latent_model_is_trained_on_in_its_space(
    bench: Bench, latent_root: Path, tmp_path: Path
) -> None:
    files = sorted(save_pictures(tmp_path / "larger", side=40).rglob("*.png"))
    pictures = bench.sets.add(OWNER, [Upload(path, path.name) for path in files])
    jobs = Jobs(bench.settings, ModelStore([latent_root], "cpu"), bench.sets)
    plan = replace(PLAN, steps=10, sample_every=10, held_out_share=0.2)
    job = jobs.start(OWNER, "AutoencoderKL", pictures.id, plan, "latent")
    bench.worker()
    done = bench.until_state(job, JobState.DONE, JobState.FAILED)
    assert done.state is JobState.DONE, done

    model = jobs.model(OWNER, job.id)
    store = ModelStore((), "cpu")
    store.adopt(model)
    loaded = store.load(model.id)
    assert (loaded.info.size, loaded.info.shape) == (32, (4, 8, 8))
    base = ModelStore([latent_root], "cpu").load("AutoencoderKL")
    assert loaded.weights != base.weights
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.decode(z), base.decode(z)), "the autoencoder stays"
    jobs.download(OWNER, job.id, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    pipeline = LDMPipeline.from_pretrained(tmp_path / "unpacked" / model.id)
    assert pipeline(num_inference_steps=2).images[0].size == (32, 32)

    (sample,) = jobs.samples(OWNER, job.id)
    with Image.open(sample.path) as grid:
        assert grid.size == (64, 32)
    alike = jobs.likenesses(OWNER, job.id)
    assert [one.sample.shape for one in alike] == [(32, 32, 3)] * PLAN.sample_count
    assert all(one.file.is_file() for one in alike)
    pace = TrainingTimer(bench.settings).pace(jobs.config(OWNER, job.id))
    assert 0 < pace.look < pace.step
    jobs.close()


def test_a_training_that_fails_says_why_and_what_to_do(bench: Bench) -> None:
    job = bench.start()
    for path in bench.pictures.files:
        path.write_bytes(b"no picture")
    bench.worker()
    failed = bench.until_state(job, JobState.FAILED, JobState.DONE)
    assert failed.state is JobState.FAILED
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
    with pytest.raises(StudioError, match="who you are"):
        jobs.list("")
    for name in ("..", ".", f"../jobs/{job.id}", str(bench.folder(job)), ""):
        with pytest.raises(StudioError, match="no such job"):
            jobs.show(OWNER, name)


def test_who_does_not_say_who_they_are_queues_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.sets, "show", lambda *_: bench.pictures)
    with pytest.raises(StudioError, match="who you are"):
        bench.jobs.start("", "tiny", bench.pictures.id, PLAN, "nobody's")
    assert listed(bench.settings.data_dir, bench.jobs._engine) == []


def test_what_can_not_be_trained_is_refused_before_it_is_queued(bench: Bench) -> None:
    for plan, model, reason in (
        (PLAN, "nobody", "no model"),
        (PLAN, "../tiny", "no model"),
        (replace(PLAN, steps=0), "tiny", "steps"),
        (replace(PLAN, learning_rate=2.0), "tiny", "learning_rate"),
        (replace(PLAN, labels=True), "tiny", "no classes"),
        (replace(PLAN, sample_every=7), "tiny", "multiple"),
        (replace(PLAN, save_every=0), "tiny", "save_every"),
        (PLAN.changed({"batch_size": "many"}), "tiny", "batch_size"),
        (PLAN, "classes", "classes"),
    ):
        with pytest.raises(StudioError, match=reason):
            bench.jobs.start(OWNER, model, bench.pictures.id, plan, "a job")
    with pytest.raises(StudioError, match="name"):
        bench.start(name=" ")
    assert bench.jobs.list(OWNER) == ()


def test_pictures_that_are_all_too_small_are_refused_before_they_are_queued(
    bench: Bench, tmp_path: Path
) -> None:
    bench.settings.data_dir.joinpath("models").mkdir()
    save_tiny_model(bench.settings.data_dir / "models" / "larger", sample_size=24)
    jobs = Jobs(bench.settings, ModelStore([bench.settings.data_dir / "models"], "cpu"), bench.sets)
    with pytest.raises(StudioError, match="all smaller than 24 pixels") as caught:
        jobs.start(OWNER, "larger", bench.pictures.id, PLAN, "a job")
    assert "smaller model" in caught.value.hint
    one = save_pictures(tmp_path / "larger", 1, side=24) / "garden" / "00.png"
    files = [Upload(path, path.name) for path in (one, *bench.pictures.files)]
    assert jobs.start(OWNER, "larger", bench.sets.add(OWNER, files).id, PLAN, "a job")
    jobs.close()


def test_a_queued_job_can_be_renamed_stopped_and_deleted(bench: Bench) -> None:
    job = bench.start()
    assert bench.jobs.rename(OWNER, job.id, "  another\nname ").name == "another name"
    with pytest.raises(StudioError, match="Stop it first"):
        bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.stop(OWNER, job.id).state is JobState.STOPPED
    with pytest.raises(StudioError, match="nothing to stop"):
        bench.jobs.stop(OWNER, job.id)
    with pytest.raises(StudioError, match="no model yet"):
        bench.jobs.model(OWNER, job.id)
    bench.sets.release(bench.pictures.id, OWNER)
    assert bench.pictures.folder.is_dir(), "the job still needs its pictures"
    bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.list(OWNER) == ()
    assert not bench.pictures.folder.exists()


def test_a_kept_job_stays_kept_with_its_pictures_and_is_its_owners_to_keep(bench: Bench) -> None:
    job = bench.start()
    assert not job.kept
    with pytest.raises(StudioError, match="no such job"):
        bench.jobs.keep("somebody else", job.id)
    assert bench.jobs.keep(OWNER, job.id).kept
    bench.jobs.stop(OWNER, job.id)
    bench.jobs.rename(OWNER, job.id, "another name")
    stopped = bench.until_state(job, JobState.STOPPED)
    assert stopped.kept
    sizes = {job.id: 1}
    full = Storage(2, 1, sizes)
    assert full.old([stopped], stopped.created) == ()
    bench.sets.release(bench.pictures.id, OWNER)
    assert bench.pictures.folder.is_dir()
    let_go = bench.jobs.keep(OWNER, job.id, kept=False)
    assert full.old([let_go], stopped.created) == (let_go,)
    bench.jobs.keep(OWNER, job.id)
    bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.list(OWNER) == ()
    assert not bench.pictures.folder.exists()


def test_a_record_of_before_jobs_could_be_kept_is_read(bench: Bench) -> None:
    job = bench.start()
    path = bench.folder(job) / "job.json"
    fields = json.loads(path.read_text())
    del fields["kept"]
    path.write_text(json.dumps(fields))
    assert not bench.job(job).kept


def test_a_record_of_other_types_is_damaged_and_hides_no_other_job(bench: Bench) -> None:
    job, other = bench.start(), bench.start()
    path = bench.folder(job) / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "yesterday"}))
    assert [listed.id for listed in bench.jobs.list(OWNER)] == [other.id]
    with pytest.raises(JobError, match="damaged"):
        bench.jobs.show(OWNER, job.id)


def test_a_job_whose_models_have_no_room_is_refused(bench: Bench) -> None:
    small = bench.settings.model_copy(update={"job_quota_mb": 20})
    bench.jobs._settings = small
    plan = replace(PLAN, steps=1000, save_every=10, sample_every=10)
    with pytest.raises(StudioError, match="this one needs up to"):
        bench.start(plan)
    rarely = bench.start(replace(plan, sample_every=500))
    bench.jobs.stop(OWNER, rarely.id)
    bench.until_state(rarely, JobState.STOPPED)
    with pytest.raises(StudioError, match="this one needs up to"):
        bench.jobs.extend(OWNER, rarely.id, 100_000)
    assert bench.jobs.extend(OWNER, rarely.id, 10).total_steps == 1010


def test_a_full_quota_refuses_a_job(bench: Bench) -> None:
    job = bench.start()
    with (bench.folder(job) / "big").open("wb") as file:
        file.truncate(bench.settings.job_quota_mb * 1_000_000 + 1)
    with pytest.raises(StudioError, match="set aside"):
        bench.start()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The disk on which the bench's data lies."""
    with small_disk(tmp_path / "data") as made:
        yield made


def test_a_job_is_deleted_from_the_disk_that_it_filled(disk: Path, bench: Bench) -> None:
    job = bench.start()
    bench.jobs.stop(OWNER, job.id)
    fill(bench.folder(job) / "checkpoint")
    bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.list(OWNER) == ()
    assert not bench.folder(job).exists()


def test_a_disk_that_others_filled_is_named_and_the_job_deleted_with_the_next_look(
    disk: Path, bench: Bench
) -> None:
    job = bench.start()
    bench.jobs.stop(OWNER, job.id)
    for path in (disk / "filling", disk / "rest"):
        fill(path)
    with pytest.raises(JobError, match="The disk is full"):
        bench.jobs.delete(OWNER, job.id)
    assert bench.jobs.list(OWNER) == ()
    (disk / "filling").unlink()
    bench.jobs.tend()
    assert not list((disk / "jobs").glob(f"*{job.id}"))
