"""The bundled model as a job's: it learns, stops in time, and paints."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline

from app.datasets.uploads import Upload
from app.jobs.job import JobState
from app.jobs.plan import TrainingPlan
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from tests.jobs.conftest import OWNER, Bench
from tests.training.tiny import save_pictures

BASE = "impressionist-64"
PLAN = TrainingPlan(
    steps=8,
    batch_size=4,
    learning_rate=1e-4,
    save_every=4,
    sample_every=8,
    sample_count=2,
    sample_steps=2,
)


@pytest.fixture
def large(bench: Bench, tmp_path: Path) -> Bench:
    """The bench with pictures of the bundled model's size, 24 of them."""
    files = sorted(save_pictures(tmp_path / "large", 24, 64).rglob("*.png"))
    bench.pictures = bench.sets.add(OWNER, [Upload(path, path.name) for path in files])
    return bench


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_bundled_model_is_fine_tuned_and_stops_in_time(large: Bench) -> None:
    jobs, pictures = large.jobs, large.pictures.id
    job = jobs.start(OWNER, BASE, pictures, PLAN, "short")
    endless = jobs.start(
        OWNER, BASE, pictures, replace(PLAN, steps=50_000, sample_every=12_000), "endless"
    )
    large.worker()
    done = large.until_state(job, JobState.DONE, JobState.FAILED, seconds=200)
    assert done.state is JobState.DONE, done
    lines = (large.folder(job) / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if line["kind"] == "step"]
    assert len(losses) == 8
    assert max(losses) < 1

    model = jobs.model(OWNER, job.id)
    store = ModelStore((), "cpu")
    store.adopt(model)
    recipe = Recipe(model=model.id, steps=2, seed=1, pictures=1)
    assert Painter(store).films.result(recipe)[-1].x_t.shape == (1, 64, 64, 3)
    assert DDPMPipeline.from_pretrained(model.folder).unet.config["sample_size"] == 64

    large.until(lambda: large.job(endless).step >= 2, seconds=100)
    [trainer] = large.trainers()
    asked = time.monotonic()
    jobs.stop(OWNER, endless.id)
    while Path(f"/proc/{trainer}").exists():
        assert time.monotonic() < asked + 30
        time.sleep(0.02)
    stopped = large.until_state(endless, JobState.STOPPED)
    assert stopped.saved_step == stopped.step >= 2
