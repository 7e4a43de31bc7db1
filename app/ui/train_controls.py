"""How a training is set: presets, what stands under "more", and the plan that they describe."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from app.diffusion.noise import MAX_SEED
from app.errors import JobError
from app.service.jobs.plan import PRESETS, Plan
from app.ui.run_controls import whole
from app.ui.train_words import duration

FIELDS: Final = (
    "steps", "batch_size", "learning_rate", "ema", "save_every", "samples", "held_out_share",
    "immiscible", "labels", "seed",
)  # fmt: skip

EMA: Final = {
    "short and long (0.05, 0.10)": (0.05, 0.10),
    "short (0.05)": (0.05,),
    "long (0.10)": (0.10,),
    "short to longest (0.05, 0.10, 0.15)": (0.05, 0.10, 0.15),
}
UNMEASURED: Final = "how long that is here is measured when pictures come"
PRESET_NAMES: Final = {"taste": "a taste", "evening": "an evening", "long": "long"}


@dataclass(frozen=True, eq=False)
class PlanControls:
    """The components under "more", in the order in which their values reach `plan_from`."""

    steps: gr.Number
    batch_size: gr.Slider
    learning_rate: gr.Number
    ema: gr.Dropdown
    save_every: gr.Number
    samples: gr.Slider
    held_out_share: gr.Slider
    immiscible: gr.Checkbox
    labels: gr.Checkbox
    seed: gr.Number

    @property
    def all(self) -> list[gr.components.Component]:
        """Every component, in order."""
        return [getattr(self, name) for name in FIELDS]


def preset_control() -> gr.Radio:
    """How long it is to take."""
    return gr.Radio(
        [(PRESET_NAMES[name], name) for name in PRESETS],
        value=PRESETS[0],
        label="how long",
        info=UNMEASURED,
        elem_classes="studio-segments train-preset",
    )


def plan_controls() -> PlanControls:
    """What stands under "more", set as the first preset has it."""
    values = dict(zip(FIELDS, preset_values(PRESETS[0], 0), strict=True))
    return PlanControls(
        steps=gr.Number(values["steps"], label="steps", precision=0, minimum=1),
        batch_size=gr.Slider(
            1, 64, value=values["batch_size"], step=1, label="batch", info="pictures a step"
        ),
        learning_rate=gr.Number(
            values["learning_rate"], label="learning rate", minimum=0, maximum=1, step=1e-5
        ),
        ema=gr.Dropdown(
            list(EMA), value=values["ema"], label="EMA",
            info="averages of the weights, by how far they look back",
        ),
        save_every=gr.Number(
            values["save_every"], label="checkpoint every", info="steps", precision=0, minimum=1
        ),
        samples=gr.Slider(
            1, 20, value=values["samples"], step=1, label="samples every", info="checkpoints"
        ),
        held_out_share=gr.Slider(
            0, 0.5, value=values["held_out_share"], step=0.01, label="held out",
            info="share of the pictures that is only measured on",
        ),
        immiscible=gr.Checkbox(
            values["immiscible"], label="immiscible", info="match noise to pictures in a batch"
        ),
        labels=gr.Checkbox(
            values["labels"], label="classes from the zip's folders",
            info="for a base model with the same classes",
        ),
        seed=gr.Number(values["seed"], label="seed", precision=0, minimum=0, maximum=MAX_SEED),
    )  # fmt: skip


def preset_values(preset: str, pictures: int) -> tuple[Any, ...]:
    """The controls' values for a preset and so many pictures; 0 where none are chosen yet."""
    plan = Plan.preset(preset, pictures)
    return (
        *(plan.steps, plan.batch_size, plan.learning_rate, _ema_name(plan.ema_sigma_rels)),
        *(plan.save_every, plan.sample_every // plan.save_every, plan.held_out_share or 0.0),
        *(plan.immiscible, plan.labels, plan.seed),
    )


def preset_changes(preset: str, pictures: int) -> tuple[Any, ...]:
    """What the controls become when another preset is chosen; classes are the pictures' affair."""
    values = dict(zip(FIELDS, preset_values(preset, pictures), strict=True))
    return tuple((values | {"labels": gr.skip()}).values())


def times(seconds: Sequence[float]) -> str:
    """What each preset takes here, in words."""
    named = zip(PRESET_NAMES.values(), seconds, strict=True)
    return f"here: {', '.join(f'{name} {duration(took)}' for name, took in named)}"


def plan_from(values: Sequence[Any]) -> Plan:
    """The plan that the controls' `values` describe.

    Raises:
        JobError: If one is missing or of a wrong type.
    """
    given = {name: whole(value) for name, value in zip(FIELDS, values, strict=True)}
    for name in ("steps", "batch_size", "save_every", "samples", "seed"):
        if type(given[name]) is not int:
            raise JobError(f"{name.replace('_', ' ')} is no whole number.", "Give one.")
    rate, share = given["learning_rate"], given["held_out_share"]
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise JobError("The learning rate is no number.", "Give one, for example 0.0001.")
    if given["ema"] not in EMA:
        raise JobError("There are no such averages.", f"Choose one of: {', '.join(EMA)}.")
    return Plan(
        steps=given["steps"],
        batch_size=given["batch_size"],
        learning_rate=float(rate),
        ema_sigma_rels=EMA[given["ema"]],
        immiscible=bool(given["immiscible"]),
        labels=bool(given["labels"]),
        save_every=given["save_every"],
        sample_every=given["samples"] * given["save_every"],
        held_out_share=float(share) if share else None,
        seed=given["seed"],
    )


def _ema_name(sigmas: tuple[float, ...]) -> str:
    return next(name for name, value in EMA.items() if value == sigmas)
