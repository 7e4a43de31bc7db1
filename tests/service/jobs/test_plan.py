"""Each preset is a plan that can be trained, stopped and extended."""

from pathlib import Path

import pytest

from app.errors import StudioError
from app.service.jobs.plan import PRESETS, Plan, extended
from app.service.model_files import ModelFiles
from app.service.sets.store import PictureSet
from app.training.course import Course


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pictures", [4, 49, 50, 5_000])
def test_a_preset_fits_any_set_and_can_be_extended(
    preset: str, pictures: int, model_root: Path
) -> None:
    plan = Plan.preset(preset, pictures)
    assert (plan.held_out_share is None) == (pictures < 50)
    assert plan.held_out_share is None or plan.held_out_share * pictures >= 5
    some = PictureSet("id", Path("set"), "crop", (), (), (), (), 0, Path("titles.csv"))
    config = plan.config(ModelFiles("tiny", model_root / "tiny"), some)
    course, longer = Course(config), Course(extended(config, 10))
    assert (course.total_steps, longer.total_steps) == (plan.steps, plan.steps + 10)
    assert all(
        course.learning_rate(step) == longer.learning_rate(step)
        for step in (0, plan.steps // 2, plan.steps - 1)
    )


def test_a_model_that_learned_its_variance_goes_on_learning_it(model_root: Path) -> None:
    some = PictureSet("id", Path("set"), "crop", (), (), (), (), 0, Path("titles.csv"))
    objectives = [
        Plan(10).config(ModelFiles(name, model_root / name), some).objective
        for name in ("tiny", "learned")
    ]
    assert objectives == ["simple", "hybrid"]


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(StudioError, match="weekend"):
        Plan.preset("weekend", 100)
