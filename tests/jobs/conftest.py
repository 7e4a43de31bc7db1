"""A data folder with a set of pictures, and workers that end with their test."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.datasets.uploads import PictureSet, Sets, Upload
from app.jobs.job import Job, JobState
from app.jobs.jobs import Jobs
from app.jobs.plan import TrainingPlan
from app.models.store import ModelStore
from app.settings import ROOT, Settings, environment_with
from tests.training.tiny import save_pictures

OWNER = "somebody"
PLAN = TrainingPlan(
    steps=40,
    batch_size=4,
    learning_rate=2e-3,
    save_every=5,
    sample_every=20,
    sample_count=2,
    sample_steps=2,
    precision="exact",
)


@dataclass
class Bench:
    """The jobs service over a data folder, with processes that are ended at the end."""

    settings: Settings
    jobs: Jobs
    sets: Sets
    pictures: PictureSet
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self) -> subprocess.Popen[bytes]:
        with (self.settings.data_dir / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app", "worker"],
                cwd=ROOT,
                env=environment_with(self.settings.variables()),
                stderr=log,
            )
        self.workers.append(process)
        return process

    def start(self, plan: TrainingPlan = PLAN, name: str = "a job") -> Job:
        return self.jobs.start(OWNER, "tiny", self.pictures.id, plan, name)

    def job(self, job: Job) -> Job:
        return self.jobs.show(OWNER, job.id)

    def folder(self, job: Job) -> Path:
        return self.settings.data_dir / "jobs" / job.id

    def until(self, condition: Callable[[], bool], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.jobs.list(OWNER)
            time.sleep(0.02)

    def until_state(self, job: Job, *states: JobState, seconds: float = 240) -> Job:
        self.until(lambda: self.job(job).state in states, seconds)
        return self.job(job)

    def trainers(self) -> list[int]:
        """The process ids of the trainers of this data folder's jobs."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            ours = str(self.settings.data_dir).encode()
            if b"--until-stdin-closes" in words and any(ours in w for w in words) and state != "Z":
                found.append(int(path.name))
        return found

    def weights(self, job: Job) -> bytes:
        return self.jobs.model(OWNER, job.id).weights_files[0].read_bytes()


@pytest.fixture
def bench(tmp_path: Path, model_root: Path) -> Iterator[Bench]:
    settings = Settings(
        data_dir=tmp_path / "data",
        models_dir=model_root,
        device="cpu",
        job_threads=1,
        single_user=False,
        training_views=0,
        jobs_per_visitor=0,
        job_queue_length=0,
    )
    sets = Sets(settings)
    files = sorted(save_pictures(tmp_path / "pictures").rglob("*.png"))
    pictures = sets.add(OWNER, [Upload(path, path.name) for path in files])
    jobs = Jobs(settings, ModelStore(settings.model_roots, "cpu"), sets)
    made = Bench(settings, jobs, sets, pictures)
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in made.workers:
            worker.wait(20)
        made.jobs.close()
