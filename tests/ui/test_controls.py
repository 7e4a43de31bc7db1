"""The controls offer what recipes take."""

from dataclasses import replace

import gradio as gr

from app.service.models import ModelInfo
from app.service.recipe import MAX_GUIDANCE, MAX_STEPS, Recipe
from app.ui import controls as easel
from app.ui.run_controls import run_controls

GUIDED = ModelInfo("guided", 64, 3, 1, 4000, ("garden", "river"), 2, learned_variance=False)


def test_the_strongest_guidance_of_a_recipe_can_be_set() -> None:
    assert easel.guidance_control(GUIDED).maximum == MAX_GUIDANCE
    Recipe(model="guided", label=1, guidance_scale=MAX_GUIDANCE)


def test_no_more_steps_can_be_set_than_a_recipe_takes() -> None:
    model, precision, seed, label = gr.Dropdown(), gr.Radio(), gr.Number(), gr.Dropdown()
    for info in (GUIDED, replace(GUIDED, num_train_timesteps=200)):
        controls = run_controls(info, model, precision, seed, label, 150)
        assert controls.steps.maximum == min(MAX_STEPS, info.num_train_timesteps)
