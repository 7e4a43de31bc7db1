"""The controls offer what recipes take."""

from app.service.models import ModelInfo
from app.service.recipe import MAX_GUIDANCE, Recipe
from app.ui import controls as easel

GUIDED = ModelInfo("guided", 64, 3, 1, 4000, ("garden", "river"), 2, learned_variance=False)


def test_the_strongest_guidance_of_a_recipe_can_be_set() -> None:
    assert easel.guidance_control(GUIDED).maximum == MAX_GUIDANCE
    Recipe(model="guided", label=1, guidance_scale=MAX_GUIDANCE)
