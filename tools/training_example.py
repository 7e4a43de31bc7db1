"""What Train opens with where nothing has been trained: a real training of the bundled model.

Its pictures are the model's own paintings, coloured as by moonlight.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from app.datasets.uploads import Upload
from app.errors import StudioError
from app.images.arrays import Pixels
from app.images.encoding import png_bytes
from app.jobs.job import ENDED, JobState
from app.jobs.jobs import Jobs
from app.jobs.plan import TrainingPlan
from app.owners import ALONE
from app.studio import Studio
from app.ui.components.messages import Message
from app.ui.components.recipe_controls import QUICK
from app.ui.train.board import TrainView
from app.ui.train.messages import CurveLines, Detail, JobLine, News, SampleGrids, Seen

PICTURES: Final = 48
FIRST_SEED: Final = 100
STEPS: Final = 200
NIGHT: Final = np.array([[6, 10, 30], [40, 66, 122], [240, 226, 168]], dtype=np.float64)
"""The RGB colours by night of what is black, grey and white by day."""


@dataclass(frozen=True)
class TrainingExample(Message):
    """A finished training, to look at."""

    kind: ClassVar[str] = "example"
    line: JobLine
    detail: Detail
    curves: CurveLines
    samples: SampleGrids


def by_moonlight(pixels: Pixels) -> Pixels:
    """Paint a picture (H, W, 3) in the colours of the night, by its lightness."""
    light = pixels.astype(np.float64) @ (0.299, 0.587, 0.114) / 255
    channels = [np.interp(light, (0, 0.55, 1), NIGHT[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def train_example(studio: Studio) -> TrainingExample:
    """Train the example anew, which takes some minutes.

    Raises:
        StudioError: If the training fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = studio.settings.model_copy(
            update={"data_dir": Path(folder), "single_user": True}
        )
        apart = Studio(settings)
        files = _paintings(studio, Path(folder))
        found = apart.workshop.sets.add(ALONE, files)
        jobs = apart.workshop.jobs
        plan = replace(
            TrainingPlan.preset("taste", len(found)),
            learning_rate=2e-4,
            steps=STEPS,
            save_every=25,
            sample_every=25,
            sample_count=16,
            held_out_share=0.2,
        )
        name = "An example: the model's own paintings, by moonlight"
        job_id = jobs.start(ALONE, settings.default_model, found.id, plan, name).id
        try:
            _wait(jobs, job_id)
            return _example(TrainView(apart).news(ALONE, Seen(job=job_id)))
        finally:  # before the temporary folder goes
            apart.workshop.end_worker()
            jobs.close()


def _paintings(studio: Studio, folder: Path) -> list[Upload]:
    uploads = []
    for seed in range(FIRST_SEED, FIRST_SEED + PICTURES):
        recipe = QUICK.recipe(studio.settings.default_model, seed)
        [painted] = studio.painter.films.pictures(studio.painter.complete(recipe))
        path = folder / f"night {seed}.png"
        path.write_bytes(png_bytes(by_moonlight(painted.pixels)))
        uploads.append(Upload(path, path.name))
    return uploads


def _wait(jobs: Jobs, job_id: str) -> None:
    while (job := jobs.show(ALONE, job_id)).state not in ENDED:
        jobs.tend()
        time.sleep(1)
    if job.state is not JobState.DONE:
        raise StudioError(f"The example's training is {job.state}. {job.message}", job.hint)


def _example(news: News | None) -> TrainingExample:
    if news is None or not (news.jobs and news.detail and news.curves and news.samples):
        raise StudioError("The example's training left nothing.", "Look at its log.")
    line = replace(news.jobs[0], id="example", may=(), models=())
    return TrainingExample(line, news.detail, news.curves, news.samples)
