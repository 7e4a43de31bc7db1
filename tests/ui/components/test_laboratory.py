"""What a dropped PNG can't bring back is said."""

from pathlib import Path
from typing import get_args

import gradio as gr
import pytest

from app.laboratory.experiments import (
    AnyExperiment,
    BoundRequest,
    Chain,
    Denoising,
    Grid,
    Morph,
    PosteriorStep,
    Subject,
)
from app.laboratory.fields import ScheduleChoice
from app.laboratory.sheet_experiment import Sheet
from app.settings import Settings
from app.studio import Studio
from app.ui.components.laboratory import not_restored
from app.ui.components.layout import Header
from app.ui.components.upload import UploadButton
from app.ui.tab_list import TABS
from tests.laboratory.pictures import run, upload

PAIR = {"run": run(), "first": upload(), "second": upload(), "seed": run().seed}


@pytest.mark.parametrize(
    ("experiment", "lost"),
    [
        (Grid.checked(PAIR | {"rows": (0, 500, 1000)}), []),
        (Grid.checked(PAIR | {"rows": (0, 700)}), ["rows"]),
        (Grid.checked(PAIR | {"rows": (500,)}), ["rows"]),
        (Grid.checked(PAIR | {"rows": (0, 1000), "seed": 99}), ["second seed"]),
        (Morph.checked(PAIR | {"share_noise": False}), []),
        (Chain(model="tiny", source=upload(), schedule=ScheduleChoice()), ["schedule"]),
        (PosteriorStep(model="tiny", source=upload(), clip=False), ["clipping"]),
        (Denoising(run=run(guidance_scale=2.0), source=upload(), seed=0), []),
        (
            Denoising(run=run(spacing="linspace", weights="0" * 64), source=upload(), seed=0),
            ["spacing", "weights"],
        ),
        (
            BoundRequest(model="tiny", subjects=(Subject(source=upload()),) * 4, precision="fast"),
            ["pictures", "precision"],
        ),
    ],
)
def test_what_the_page_has_no_control_for_is_told(
    model_root: Path, experiment: AnyExperiment, lost: list[str]
) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model="tiny"))
    assert not_restored(experiment, studio) == lost


def test_every_experiment_sets_the_controls_of_one_tab(model_root: Path) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model="tiny"))
    kinds: list[object] = []
    with gr.Blocks() as page:
        model, precision, drop = gr.Dropdown(), gr.Radio(), UploadButton("", render=False)
        with gr.Tabs() as tabs:
            header = Header(model, precision, page, tabs, drop)
            for tab in TABS:
                with gr.Tab() as opened:
                    lab = tab.build(studio, header, opened)
                kinds += lab.forms if lab else []
    union, _ = get_args(AnyExperiment)
    # A sheet has a fold of Paint's, and its run is the form's.
    assert sorted(map(str, kinds)) == sorted(map(str, {*get_args(union)} - {Sheet}))
