"""Each preset is a plan that can be trained, stopped and extended."""

from pathlib import Path

import pytest

from app.datasets.ingest import MAX_SIDE
from app.datasets.uploads import PictureSet
from app.errors import JobError, StudioError
from app.jobs.plan import PRESETS, TrainingPlan, extended
from app.models.files import ModelFiles
from tests.conftest import save_tiny_model, set_timesteps

SOME = PictureSet("id", Path("set"), "crop", (), (), (), (), 0, Path("titles.csv"))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pictures", [4, 49, 50, 5_000])
def test_a_preset_fits_any_set_and_can_be_extended(
    preset: str, pictures: int, model_root: Path
) -> None:
    plan = TrainingPlan.preset(preset, pictures)
    assert (plan.held_out_share is None) == (pictures < 50)
    assert plan.held_out_share is None or plan.held_out_share * pictures >= 5
    config = plan.config(ModelFiles("tiny", model_root / "tiny"), SOME)
    longer = extended(config, 10)
    assert (config.total_steps, longer.total_steps) == (plan.steps, plan.steps + 10)
    assert all(
        config.rate_at(step) == longer.rate_at(step)
        for step in (0, plan.steps // 2, plan.steps - 1)
    )


def test_a_model_that_learned_its_variance_goes_on_learning_it(model_root: Path) -> None:
    objectives = [
        TrainingPlan(10).config(ModelFiles(name, model_root / name), SOME).objective
        for name in ("tiny", "learned")
    ]
    assert objectives == ["simple", "hybrid"]


def test_a_model_of_larger_pictures_than_are_kept_is_refused(tmp_path: Path) -> None:
    large = ModelFiles("large", save_tiny_model(tmp_path / "large", sample_size=MAX_SIDE + 2))
    with pytest.raises(JobError, match="have 258 px a side, and uploaded ones are kept at 256 px"):
        TrainingPlan(10).config(large, SOME)


def test_a_latent_model_is_trained_in_its_own_space(latent_root: Path) -> None:
    latent = ModelFiles("mine", latent_root / "AutoencoderKL")
    found = TrainingPlan(10).config(latent, SOME)
    assert (found.latent, found.init) == (str(latent.folder), str(latent.folder))
    assert found.sizes == (32,)
    learned = ModelFiles("mine", latent_root / "learned")
    with pytest.raises(JobError, match="diffuses latents, and has learned its variance"):
        TrainingPlan(10).config(learned, SOME)


@pytest.mark.parametrize(("total", "steps"), [(20, 20), (1000, 30)])
def test_samples_take_no_more_steps_than_the_model_has(
    tmp_path: Path, total: int, steps: int
) -> None:
    set_timesteps(save_tiny_model(tmp_path), total)
    files = ModelFiles("short", tmp_path)
    assert TrainingPlan(10).config(files, SOME).sample_steps == steps
    assert TrainingPlan(10, sample_steps=7).config(files, SOME).sample_steps == 7


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(StudioError, match="weekend"):
        TrainingPlan.preset("weekend", 100)
