"""The sizes that a page offers, for each model and without any second stage."""

from dataclasses import asdict, replace
from pathlib import Path

import gradio as gr
import pytest

from app.errors import RecipeError
from app.models.fields import GUIDANCE_FIELDS
from app.models.files import ModelInfo
from app.models.step_schedules import StepSchedule, save_schedule
from app.models.store import ModelStore
from app.painting.recipe import Recipe
from app.settings import Settings
from app.studio import Studio
from app.ui.components.recipe_controls import (
    Controls,
    add_rest,
    guidance_controls,
    guidance_updates,
    in_pixels,
    label_control,
    label_look,
    limits,
    preset,
    presets,
    size_choices,
    size_update,
    stage_controls,
    suited_guidance,
    way_back,
)
from tests.conftest import save_tiny_model, save_tiny_stage, set_timesteps


@pytest.fixture
def studio(model_root: Path, tmp_path: Path) -> Studio:
    return Studio(Settings(models_dir=model_root, data_dir=tmp_path, default_model="tiny"))


def test_a_models_own_size_is_the_first_choice_and_four_times_that_the_other(
    studio: Studio,
) -> None:
    info = studio.models.describe("tiny")
    update = size_update(studio, info, 64)
    assert update["choices"] == [("as painted, 16 px", 1), ("\u00d7 4, 64 px", 4)]
    assert (update["value"], update["visible"]) == (4, True)
    assert size_update(studio, info, None)["value"] == 1


def test_a_size_chosen_for_one_model_is_valid_for_the_next(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "tiny")
    save_tiny_model(tmp_path / "large", sample_size=32)
    save_tiny_model(tmp_path / "grey", in_channels=1, out_channels=1)
    save_tiny_stage(tmp_path / "brushwork")
    studio = Studio(Settings(models_dir=tmp_path, data_dir=tmp_path, default_model="tiny"))
    for name, size in (("tiny", 64), ("large", 128), ("grey", None)):
        choices = size_choices(studio, studio.models.describe(name))
        assert [value for _, value in choices["choices"]] == [1, 4]
        assert choices["visible"] is (size is not None)
        assert in_pixels(studio, {"model": name, "size": 4})["size"] == size
        assert in_pixels(studio, {"model": name, "size": 1})["size"] is None
    assert in_pixels(studio, {"model": "gone"}) == {"model": "gone"}


@pytest.mark.parametrize(
    ("length", "full", "steps"),
    [
        (20, "the full 20", [20, 20, 20]),
        (100, "the full 100", [25, 100, 100]),
        (1000, "the full 1000", [25, 100, 1000]),
        (4000, "1000 steps", [25, 100, 1000]),
    ],
)
def test_presets_and_values_are_within_a_models_steps(
    length: int, full: str, steps: list[int], tmp_path: Path
) -> None:
    set_timesteps(save_tiny_model(tmp_path / "other"), length)
    info = ModelStore([tmp_path]).describe("other")
    named = presets(info)
    assert list(named) == ["quick", "fine", full]
    assert [preset.steps for preset in named.values()] == steps
    with gr.Blocks():
        slider = way_back(info, 200)["steps"]
    assert (slider.value, slider.maximum) == (min(200, length), steps[-1])
    assert limits(info).pop("steps") == steps[-1]
    assert limits(info)["stage_truncation"] == limits(info)["guidance_from"] == length


def listed(weights: str, *names: str) -> list[StepSchedule]:
    return [StepSchedule(n, "dpm-solver-eta", (1000, 400), (1.0, 0.0), weights) for n in names]


def test_a_models_schedules_are_presets_of_its_weights_alone(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tiny")
    studio = Studio(Settings(models_dir=tmp_path, data_dir=tmp_path, default_model="tiny"))
    weights = studio.models.find("tiny").weights_sha256
    assert preset(studio, "tiny", 3) is None
    other, *own = *listed("0" * 64, "other"), *listed(weights, "quick", "2 steps", "3", "4", "5")
    save_schedule(folder, other, own)
    info = studio.models.describe("tiny")
    assert [*presets(info)] == ["quick", "fine", "the full 1000", "2 steps", "3"]
    assert [it.steps for it in presets(info).values()] == [25, 100, 1000, 2, 2]
    chosen = preset(studio, "tiny", 3)
    assert chosen is not None
    assert Recipe.checked({"model": "tiny"} | asdict(chosen)).step_t == (1000, 400)
    save_schedule(folder, other)
    with pytest.raises(RecipeError, match="of other weights"):
        preset(studio, "tiny", 3)


def test_a_list_of_steps_is_carried_by_controls_that_nobody_sees(studio: Studio) -> None:
    with gr.Blocks():
        controls = Controls(model=gr.Dropdown())
        add_rest(controls, Recipe)
    made = Recipe.checked(
        {"model": "tiny", "sampler": "dpm-solver-eta", "steps": 2}
        | {"step_t": [900, 4], "step_eta": [1, 0]}
    )
    updates = controls.updates(made, studio.models.describe("tiny"))
    for name, value in (("step_t", [900, 4]), ("step_eta", [1.0, 0.0])):
        assert controls[name].visible is False
        assert updates[name]["value"] == value
    values = [it.get("value") for it in updates.values()]
    again = Recipe.checked(controls.read(values))
    assert (again.step_t, again.step_eta) == (made.step_t, made.step_eta)


def test_classes_are_offered_by_name_with_their_pictures_and_any_is_the_first(
    studio: Studio,
) -> None:
    info = studio.models.describe("classes")
    look = label_look(info)
    named = [("any", -1), ("garden · 1,200", 0), ("river · 41", 1)]
    assert look["choices"][:3] == named
    assert (look["value"], look["visible"]) == (-1, True)
    assert [label_look(info, asked)["value"] for asked in (-1, 2, "River")] == [-1, 2, 1]
    needed = label_look(replace(info, null_label=None, label_pictures=()))
    assert (needed["choices"][0], needed["value"]) == (("garden", 0), 0)
    without = label_look(studio.models.describe("tiny"))
    assert without == {"choices": [], "value": None, "visible": False}


def test_any_is_no_label_in_a_recipe(studio: Studio) -> None:
    with gr.Blocks():
        model = gr.Dropdown(["classes"], value="classes")
        controls = Controls(model=model, label=label_control(studio, model))
    assert [controls.recipe(studio, ("classes", value)).label for value in (-1, 0, 2)] == [
        None,
        0,
        2,
    ]


def test_guidance_reaches_over_all_t_of_each_model_unless_told_otherwise(studio: Studio) -> None:
    info = studio.models.describe("classes")
    with gr.Blocks():
        controls = guidance_controls(info, *GUIDANCE_FIELDS)
    assert [it.value for it in controls.all] == [1.0, 1000, 0]
    assert [it.visible for it in controls.all] == [True] * 3
    short = replace(info, num_train_timesteps=20)

    def changed(info: ModelInfo, before: int, *values: float) -> list[float | None]:
        updates = guidance_updates(info, before, *values)
        assert [it["visible"] for it in updates] == [info.null_label is not None] * 3
        return [it.get("value") for it in updates]

    assert changed(short, 1000, 2.0, 1000, 0) == [None, 20, None]
    assert changed(info, 20, 2.0, 20, 0) == [None, 1000, None]
    assert changed(info, 1000, 2.0, 700, 300) == [None] * 3
    assert changed(replace(info, null_label=None), 1000, 2.0, 700, 300) == [1, 1000, 0]
    restored = controls.updates(Recipe(model="classes", label=0, guidance_scale=2.0), info)
    assert restored["guidance_from"]["value"] == 1000


def test_a_model_opens_with_the_guidance_that_suits_it(studio: Studio) -> None:
    info = studio.models.describe("classes")
    suited = replace(info, guidance_scale=2.5, guidance_from=700, guidance_to=100)
    with gr.Blocks():
        controls = guidance_controls(suited, *GUIDANCE_FIELDS)
    assert [it.value for it in controls.all] == [2.5, 700, 100]
    assert [it.maximum for it in (controls["guidance_from"], controls["guidance_to"])] == [1000] * 2
    short = replace(suited, num_train_timesteps=20)
    assert suited_guidance(short) == dict(zip(GUIDANCE_FIELDS, (2.5, 20, 20), strict=True))


@pytest.mark.parametrize("here", [True, False])
def test_controls_make_a_recipe_with_and_without_a_stage(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    if not here:
        monkeypatch.setattr(studio.models, "stages", tuple)
    with gr.Blocks():
        controls = stage_controls(studio, gr.Dropdown(["tiny"], value="tiny"), large=True)
    sent = [control.preprocess(control.value) for control in controls.all]
    recipe = Recipe.checked(in_pixels(studio, controls.read(sent) | {"model": "tiny"}))
    assert recipe.size == (64 if here else None)
    assert controls["size"].visible is here


def test_a_list_of_steps_goes_with_its_sampler_and_number(studio: Studio) -> None:
    with gr.Blocks():
        names = ("model", "sampler", "steps", "step_t", "step_eta")
        controls = Controls((name, gr.State()) for name in names)
    lists = [1000, 400], [1, 0]

    def listed(sampler: str, steps: int) -> object:
        return controls.recipe(studio, ("tiny", sampler, steps, *lists)).step_t

    assert listed("dpm-solver-eta", 2) == (1000, 400)
    assert listed("dpm-solver-eta", 3) is None
    assert listed("ddim", 2) is None
    with pytest.raises(RecipeError):
        controls.recipe(studio, ("tiny", "dpm-solver-eta", 2, {"a": 1}, 5))
