"""Each preset is a plan that can be trained, stopped and extended."""

from pathlib import Path

import pytest

from app.errors import JobError, StudioError
from app.service.jobs.plan import PRESETS, Plan, extended
from app.service.model_files import ModelFiles
from app.service.sets.ingest import MAX_SIDE
from app.service.sets.store import PictureSet
from app.training.course import Course
from tests.conftest import save_tiny_model

SOME = PictureSet("id", Path("set"), "crop", (), (), (), (), 0, Path("titles.csv"))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pictures", [4, 49, 50, 5_000])
def test_a_preset_fits_any_set_and_can_be_extended(
    preset: str, pictures: int, model_root: Path
) -> None:
    plan = Plan.preset(preset, pictures)
    assert (plan.held_out_share is None) == (pictures < 50)
    assert plan.held_out_share is None or plan.held_out_share * pictures >= 5
    config = plan.config(ModelFiles("tiny", model_root / "tiny"), SOME)
    course, longer = Course(config), Course(extended(config, 10))
    assert (course.total_steps, longer.total_steps) == (plan.steps, plan.steps + 10)
    assert all(
        course.learning_rate(step) == longer.learning_rate(step)
        for step in (0, plan.steps // 2, plan.steps - 1)
    )


def test_a_model_that_learned_its_variance_goes_on_learning_it(model_root: Path) -> None:
    objectives = [
        Plan(10).config(ModelFiles(name, model_root / name), SOME).objective
        for name in ("tiny", "learned")
    ]
    assert objectives == ["simple", "hybrid"]


def test_a_model_of_larger_pictures_than_are_kept_is_refused(tmp_path: Path) -> None:
    large = ModelFiles("large", save_tiny_model(tmp_path / "large", sample_size=MAX_SIDE + 2))
    with pytest.raises(JobError, match="have 258 px a side, and uploaded ones are kept at 256 px"):
        Plan(10).config(large, SOME)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(StudioError, match="weekend"):
        Plan.preset("weekend", 100)
