"""The stage's own pipeline, for diffusers alone, paints what the studio paints."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from PIL import Image

from app.images.pixels import to_unit
from app.models.store import ModelStore
from app.painting.canvas import decoded
from app.painting.recipe import Recipe
from app.painting.stages import HandOver, stage_moments
from app.settings import BUNDLED_MODELS
from tests.conftest import save_tiny_stage
from tests.laboratory.pictures import upload


@pytest.mark.parametrize(("noise", "back_projection"), [(0, True), (20, False)])
def test_it_gives_the_same_picture_from_the_same_noise(
    tmp_path: Path, noise: int, back_projection: bool
) -> None:
    folder = save_tiny_stage(tmp_path / "brush")
    for name in ("pipeline.py", "model_index.json"):
        shutil.copy(BUNDLED_MODELS / "brushwork-256" / name, folder)
    pipeline: Any = DiffusionPipeline.from_pretrained(
        folder, custom_pipeline=str(folder), trust_remote_code=True
    )
    small = [decoded(upload(seed).pixels or "") for seed in (1, 2)]
    theirs = pipeline(
        small,
        4,
        [torch.Generator().manual_seed(seed) for seed in (5, 6)],
        noise,
        back_projection=back_projection,
    ).images
    stage = ModelStore([tmp_path]).load_stage("brush")
    recipe = Recipe(
        model="tiny", size=64, pictures=2, stage="brush", stage_steps=4, stage_seed=5,
        stage_noise=noise, back_projection=back_projection,
    )  # fmt: skip
    low_res = to_unit(np.stack([np.asarray(each) for each in small]))
    *_, last = stage_moments(stage, recipe, HandOver(low_res, noise), 0)
    for mine, other in zip(last.x_t, theirs, strict=True):
        assert isinstance(other, Image.Image)
        assert np.abs(np.asarray(other).astype(int) - mine).max() <= 1
