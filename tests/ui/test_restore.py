"""What a dropped PNG can't bring back is said."""

from pathlib import Path

import pytest

from app.service.laboratory.bounding import Bounding, Subject
from app.service.laboratory.experiment import ScheduleChoice
from app.service.laboratory.experiments import (
    AnyExperiment,
    Chain,
    Denoising,
    Grid,
    Inspection,
    Morph,
)
from app.service.studio import Studio
from app.settings import Settings
from app.ui.restore import not_restored
from tests.service.laboratory.pictures import run, upload

PAIR = {"run": run(), "first": upload(), "second": upload(), "seed": run().seed}


@pytest.mark.parametrize(
    ("experiment", "lost"),
    [
        (Grid.checked(PAIR | {"rows": (0, 500, 1000)}), []),
        (Grid.checked(PAIR | {"rows": (0, 700)}), ["rows"]),
        (Grid.checked(PAIR | {"rows": (500,)}), ["rows"]),
        (Grid.checked(PAIR | {"rows": (0, 1000), "seed": 99}), ["second seed"]),
        (Morph.checked(PAIR | {"share_noise": False}), ["separate noises"]),
        (Chain(model="tiny", source=upload(), schedule=ScheduleChoice()), ["schedule"]),
        (Inspection(model="tiny", source=upload(), clip=False), ["clipping"]),
        (
            Denoising(run=run(spacing="linspace", weights="0" * 64), source=upload(), seed=0),
            ["spacing", "weights"],
        ),
        (
            Bounding(model="tiny", subjects=(Subject(source=upload()),) * 4, precision="fast"),
            ["pictures", "precision"],
        ),
    ],
)
def test_what_the_page_has_no_control_for_is_told(
    model_root: Path, experiment: AnyExperiment, lost: list[str]
) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model="tiny"))
    assert not_restored(experiment, studio) == lost
