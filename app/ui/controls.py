"""The easel's controls: what a person sets, and how it becomes a recipe and comes back from one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from app.diffusion.noise import MAX_SEED
from app.diffusion.reverse import SPACINGS
from app.service.models import ModelInfo
from app.service.painting import SAMPLER_KINDS
from app.service.recipe import MAX_GUIDANCE, MAX_PICTURES, MAX_STEPS, Recipe


@dataclass(frozen=True)
class Preset:
    """A sampler with a number of steps that suits it."""

    sampler: str
    steps: int
    eta: float = 0.0

    def recipe(self, model: str, seed: int) -> Recipe:
        """One picture painted with it, in exact precision."""
        return Recipe(model=model, sampler=self.sampler, steps=self.steps, eta=self.eta, seed=seed)


PRESETS: Final = {
    "quick": Preset("dpm-solver-sde", 25),
    "fine": Preset("dpm-solver-sde", 100),
    "the full 1000": Preset("ddpm", 1000),
}
DEFAULT: Final = Preset("dpm-solver-sde", 50)
DEFAULT_SEED: Final = 42
DEFAULT_PICTURES: Final = 4


@dataclass(frozen=True, eq=False)
class Controls:
    """The components, in the order in which their values reach `recipe_from`."""

    model: gr.Dropdown
    precision: gr.Radio
    sampler: gr.Dropdown
    steps: gr.Slider
    eta: gr.Slider
    seed: gr.Number
    pictures: gr.Slider
    label: gr.Dropdown
    guidance_scale: gr.Slider
    spacing: gr.Dropdown
    clip: gr.Checkbox

    @property
    def all(self) -> list[gr.components.Component]:
        """Every component, in order."""
        return [getattr(self, name) for name in FIELDS]


FIELDS: Final = tuple(Controls.__dataclass_fields__)


def recipe_from(values: Sequence[Any]) -> Recipe:
    """The recipe that the controls' `values` describe.

    Raises:
        RecipeError: If a value is missing, of a wrong type or out of range.
    """
    return Recipe.checked({name: _plain(value) for name, value in zip(FIELDS, values, strict=True)})


def updates_for(recipe: Recipe, info: ModelInfo) -> list[Any]:
    """What sets the controls to `recipe`, for the model it names."""
    values = recipe.model_dump()
    shown = visibility(recipe.sampler, info)
    return [
        gr.update(value=values[name])
        | ({"visible": shown[name]} if name in shown else {})
        | ({"choices": label_choices(info)} if name == "label" else {})
        for name in FIELDS
    ]


def visibility(sampler: str, info: ModelInfo) -> dict[str, bool]:
    """Which of the controls that not every sampler and model has are shown."""
    return {
        "eta": SAMPLER_KINDS[sampler].uses_eta,
        "label": bool(info.labels),
        "guidance_scale": info.null_label is not None,
    }


def label_choices(info: ModelInfo) -> list[tuple[str, int]]:
    """The classes by name."""
    return [(name, i) for i, name in enumerate(info.labels)]


def sampler_choices(info: ModelInfo) -> list[tuple[str, str]]:
    """The samplers that the model can be painted with, by label."""
    return [
        (kind.label, kind.name)
        for kind in SAMPLER_KINDS.values()
        if info.learned_variance or not kind.learned_variance
    ]


def most_steps(info: ModelInfo) -> int:
    """The steps that a recipe may ask of the model."""
    return min(MAX_STEPS, info.num_train_timesteps)


def sampler_control(info: ModelInfo) -> gr.Dropdown:
    """Which sampler."""
    return gr.Dropdown(
        sampler_choices(info),
        value=DEFAULT.sampler,
        label="sampler",
        info=SAMPLER_KINDS[DEFAULT.sampler].about,
    )


def steps_control() -> gr.Slider:
    """How many steps."""
    return gr.Slider(1, MAX_STEPS, value=DEFAULT.steps, step=1, label="steps")


def eta_control() -> gr.Slider:
    """How much noise DDIM draws."""
    return gr.Slider(
        0, 1, value=DEFAULT.eta, step=0.05, label="eta", info="0 draws no noise, 1 is DDPM",
        visible=SAMPLER_KINDS[DEFAULT.sampler].uses_eta,
    )  # fmt: skip


def seed_control() -> gr.Number:
    """The noise that a picture begins with."""
    return gr.Number(
        DEFAULT_SEED, label="seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=120
    )


def pictures_control() -> gr.Slider:
    """How many pictures in one batch."""
    return gr.Slider(1, MAX_PICTURES, value=DEFAULT_PICTURES, step=1, label="pictures")


def label_control(info: ModelInfo) -> gr.Dropdown:
    """What is painted, for models with classes."""
    return gr.Dropdown(label_choices(info), value=None, label="subject", visible=bool(info.labels))


def guidance_control(info: ModelInfo) -> gr.Slider:
    """How strongly the subject is insisted on."""
    return gr.Slider(
        1, MAX_GUIDANCE, value=1, step=0.5, label="guidance",
        info="1 is none; more follows the subject more closely",
        visible=info.null_label is not None,
    )  # fmt: skip


def spacing_control() -> gr.Dropdown:
    """How the steps lie in time."""
    return gr.Dropdown(
        list(SPACINGS), value="trailing", label="spacing", info="how n steps lie in 1 to T"
    )


def clip_control() -> gr.Checkbox:
    """Whether the estimate is kept in range."""
    return gr.Checkbox(True, label="keep x\u0302\u2080 in [-1, 1]")


def _plain(value: Any) -> Any:
    # A browser sends 50 and 50.0 alike; a recipe tells whole numbers from others.
    return int(value) if isinstance(value, float) and value.is_integer() else value
