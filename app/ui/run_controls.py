"""The controls of a reverse process that a laboratory starts, and the recipe they describe."""

from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from app.service.models import ModelInfo
from app.service.painting import SAMPLER_KINDS
from app.service.recipe import MAX_STEPS, Recipe
from app.service.studio import Studio
from app.ui import controls as easel
from app.ui.faults import said

DEFAULT_SAMPLER: Final = "ddpm"
"""The laboratories follow the paper."""

FIELDS = ("model", "precision", "sampler", "steps", "eta", "label", "seed")


@dataclass(frozen=True, eq=False)
class RunControls:
    """How the way back is sampled; `inputs` lists what `recipe` takes, in its order."""

    model: gr.Dropdown
    precision: gr.Radio
    sampler: gr.Dropdown
    steps: gr.Slider
    eta: gr.Slider
    label: gr.Dropdown
    seed: gr.Number

    @property
    def inputs(self) -> list[gr.components.Component]:
        """Every component, in order."""
        return [getattr(self, name) for name in FIELDS]


def run_controls(
    info: ModelInfo,
    model: gr.Dropdown,
    precision: gr.Radio,
    seed: gr.Number,
    label: gr.Dropdown,
    steps: int,
) -> RunControls:
    """Build sampler, steps and eta; the others stand elsewhere on the page."""
    sampler = gr.Dropdown(
        easel.sampler_choices(info), value=DEFAULT_SAMPLER, label="sampler", min_width=110
    )
    slider = gr.Slider(
        1, _most_steps(info), value=steps, step=1, label="steps", min_width=120,
        info="counted from T",
    )  # fmt: skip
    eta = gr.Slider(
        0, 1, value=1, step=0.05, label="eta", info="0 draws no noise, 1 is DDPM", visible=False,
        min_width=100,
    )  # fmt: skip
    return RunControls(model, precision, sampler, slider, eta, label, seed)


def run_recipe(values: tuple[Any, ...], *, pictures: int = 1) -> Recipe:
    """The recipe of `RunControls.inputs`' values.

    Raises:
        RecipeError: If one is missing, of a wrong type or out of range.
    """
    fields = {name: whole(value) for name, value in zip(FIELDS, values, strict=True)}
    return Recipe.checked(fields | {"pictures": pictures, "eta": float(fields["eta"] or 0)})


def whole(value: Any) -> Any:
    """A browser sends 50 and 50.0 alike; an experiment tells whole numbers from others."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def follow_model(studio: Studio, controls: RunControls) -> None:
    """Keep the controls within what the chosen model can do."""
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    def sampler_changed(sampler: str) -> Any:
        return gr.update(visible=SAMPLER_KINDS[sampler].uses_eta)

    def model_changed(model: str, sampler: str) -> tuple[Any, Any]:
        info = studio.models.describe(model)
        choices = easel.sampler_choices(info)
        known = sampler in {name for _, name in choices}
        return (
            gr.update(choices=choices, value=sampler if known else DEFAULT_SAMPLER),
            gr.update(maximum=_most_steps(info)),
        )

    controls.sampler.change(said(sampler_changed), controls.sampler, controls.eta, **quiet)
    controls.model.change(
        said(model_changed),
        [controls.model, controls.sampler],
        [controls.sampler, controls.steps],
        **quiet,
    )


def _most_steps(info: ModelInfo) -> int:
    return min(info.num_train_timesteps, MAX_STEPS)


def follow_label(studio: Studio, model: gr.Dropdown, label: gr.Dropdown) -> None:
    """Show the model's classes, where it has any."""

    def model_changed(name: str, before: int | None) -> Any:
        info = studio.models.describe(name)
        known = before is not None and before < len(info.labels)
        return gr.update(
            choices=easel.label_choices(info),
            value=(before if known else 0) if info.labels else None,
            visible=bool(info.labels),
        )

    model.change(
        said(model_changed), [model, label], label, api_visibility="private", show_progress="hidden"
    )
