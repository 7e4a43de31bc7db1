"""The controls of a reverse process, turned into a recipe and set from one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Final

import gradio as gr
from pydantic import BaseModel

from app.diffusion.cascade import RATIO
from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.errors import ModelError
from app.fields import bounds, choices, control_of, declared, is_list, kinds, whole
from app.models.fields import GUIDANCE_FIELDS
from app.models.files import ModelInfo
from app.models.stages import takes_pictures_of
from app.painting.recipe import MAX_STEPS, STAGE_FIELDS, STEP_FIELDS, Recipe
from app.studio import Studio
from app.ui.components.layout import counted, note, quiet
from app.ui.components.numbers import Number, Slider
from app.ui.errors import errors_to_page


@dataclass(frozen=True)
class Preset:
    """A sampler with a number of steps that suits it, or with a list of them.

    Its attributes are the recipe's fields, of which the lists are as the page's controls have them.
    """

    sampler: str
    steps: int
    eta: float = 0.0
    step_t: Sequence[int] | None = None
    step_eta: Sequence[float] | None = None

    def recipe(self, model: str, seed: int) -> Recipe:
        """Make the recipe of one picture painted with the preset, in exact precision."""
        return Recipe(model=model, sampler=self.sampler, steps=self.steps, eta=self.eta, seed=seed)


DEFAULT: Final = Preset("dpm-solver-sde", 50)
QUICK: Final = Preset("dpm-solver-sde", 25)
FINE: Final = Preset("dpm-solver-sde", 100)
FULL: Final = Preset("ddpm", MAX_STEPS)


COMMON: Final = 3
"""How many presets each model has."""

MAX_OFFERED: Final = 3
"""The most of a model's schedules that are offered beside."""


def presets(info: ModelInfo) -> dict[str, Preset]:
    """List the presets by the names that they have for a model, none of more steps than it has.

    First come those that each model has, then its schedules.
    """
    most = most_steps(info)
    full = f"the full {most}" if most == info.num_train_timesteps else counted(most, "step")
    named = {"quick": QUICK, "fine": FINE, full: FULL}
    common = {name: replace(it, steps=min(it.steps, most)) for name, it in named.items()}
    listed = {
        it.name: Preset(it.sampler, it.steps, 0.0, [*it.step_t], [*it.step_eta])
        for it in info.schedules[:MAX_OFFERED]
    }
    return common | {name: it for name, it in listed.items() if name not in common}


def preset(studio: Studio, model: str, place: int) -> Preset | None:
    """Return the preset at a place of those that a model has; None where it has fewer.

    Raises:
        ModelError: If the model can't be used.
        RecipeError: If the place is that of a schedule for other weights.
    """
    named = [*presets(studio.models.describe(model)).items()]
    if place >= len(named):
        return None
    name, found = named[place]
    if found.step_t:
        studio.models.find(model).schedule(name)
    return found


class Controls(dict[str, Any]):
    """Components by the name of the recipe's field that they set, in the order of their values."""

    @property
    def all(self) -> list[gr.components.Component]:
        """Every component, in order."""
        return list(self.values())

    @property
    def brushwork(self) -> "Controls":
        """The controls of how a second stage paints, without that of whether there is one."""
        names = (name for name in STAGE_FIELDS if name != "size" and name in self)
        return Controls((name, self[name]) for name in names)

    def read(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the controls' `values` by name, with ANY as None and 50.0 as 50.

        A list of steps is left out where the sampler or the number of steps isn't its own any more.
        """
        read = {name: whole(value) for name, value in zip(self, values, strict=True)}
        if isinstance(listed := read.get("step_t"), list):
            kind = SAMPLER_KINDS.get(str(read["sampler"]))
            fits = kind is not None and kind.step_eta and len(listed) == read["steps"]
            read |= {} if fits else dict.fromkeys(STEP_FIELDS)
        return read | ({"label": None} if read.get("label") == ANY else {})

    def recipe(self, studio: Studio, values: Sequence[Any]) -> Recipe:
        """Make the recipe that the controls' `values` describe.

        Raises:
            ModelError: If the model can't be used.
            RecipeError: If a value is missing, of a wrong type or out of range.
        """
        return Recipe.checked(in_pixels(studio, self.read(values)))

    def updates(self, recipe: Recipe, info: ModelInfo) -> dict[str, Any]:
        """Return the updates that set the controls to `recipe`, for the model that it names."""
        shown = {
            "eta": SAMPLER_KINDS[recipe.sampler].uses_eta,
            **dict.fromkeys(GUIDANCE_FIELDS, info.null_label is not None),
        }
        largest = limits(info)
        return {
            name: (
                limited(getattr(recipe, name), largest[name])
                if name in largest
                else gr.update(value=_listed(getattr(recipe, name)))
            )
            | ({"visible": shown[name]} if name in shown else {})
            | (label_look(info, recipe.label) if name == "label" else {})
            for name in self
        }


def _listed(value: Any) -> Any:
    """Return a recipe's value as a control takes it: a list for a tuple."""
    return [*value] if isinstance(value, tuple) else value


MOST: Final = 10_000
"""The largest number that a slider sets; one that may be larger, or none, gets a number box."""


def control(model: type[BaseModel], name: str, **how: Any) -> Any:
    """Build a field's control: a slider, a number, a choice or a switch, as its model declares it.

    That of a list is hidden.

    Args:
        model: The model that declares the field.
        name: The field's name.
        how: Gradio's arguments beside the declared ones, or instead of them.
    """
    it = declared(model)[name]
    look, (least, largest) = control_of(it), bounds(it)
    how = {
        "value": None if it.is_required() else it.default,
        "label": look.label or name,
        "info": it.description if look.says else None,
    } | how
    if is_list(it):
        return gr.JSON(value=how["value"], visible=False)  # nobody types it: a preset sets it
    if bool in kinds(it):
        return gr.Checkbox(**how)
    if choices(it) or "choices" in how:
        return gr.Dropdown(**{"choices": list(choices(it))} | how)
    if str in kinds(it):
        return gr.Textbox(**how)
    of = {"minimum": least, "maximum": largest}
    if least is None or largest is None or largest > MOST or how["value"] is None:
        return Number(**of | {"precision": 0 if int in kinds(it) else None} | how)
    step = look.step or (1 if int in kinds(it) else (largest - least) / 100)
    return Slider(**of | {"step": step} | how)


ANY: Final = -1
"""The value that stands for "any" in the control of the class, where no choice can be None."""


def label_look(info: ModelInfo, asked: int | str | None = None) -> dict[str, Any]:
    """Return what the control of the class offers for a model, and that the class `asked` for.

    A class has behind its name how many pictures it was learned from; "any" is the first choice.
    """
    counts = [f" · {pictures:,}" for pictures in info.label_pictures]
    named = zip(info.labels, counts or [""] * len(info.labels), strict=True)
    choices = [(f"{name}{count}", i) for i, (name, count) in enumerate(named)]
    if info.null_label is not None:
        choices = [("any", ANY), *(choice for choice in choices if choice[1] != info.null_label)]
    values = [value for _, value in choices]
    chosen = info.label_of(asked) if asked is not None and asked != ANY else ANY
    value = chosen if chosen in values else next(iter(values), None)
    return {"choices": choices, "value": value, "visible": bool(choices)}


def sampler_choices(info: ModelInfo) -> list[tuple[str, str]]:
    """List the samplers that the model can be painted with, as (label, name) pairs."""
    return [
        (kind.label, kind.name)
        for kind in SAMPLER_KINDS.values()
        if kind.variance is None or info.has_variance(kind.variance)
    ]


def most_steps(info: ModelInfo) -> int:
    """Return the most steps that a recipe may ask of the model."""
    return min(MAX_STEPS, info.num_train_timesteps)


def limits(info: ModelInfo) -> dict[str, int]:
    """Return the largest values of the recipe's fields whose limit is the model's, by name."""
    within_t = ("stage_truncation", "guidance_from", "guidance_to")
    return {"steps": most_steps(info), **dict.fromkeys(within_t, info.num_train_timesteps)}


def limited(value: float, largest: int) -> Any:
    """Return the update that gives a control its largest value, and a value within it."""
    return gr.update(maximum=largest, value=min(whole(value), largest))


def seed_control(name: str = "seed", **how: Any) -> Number:
    """Build the control of a seed of a recipe, with a button that draws another."""
    with gr.Row(elem_classes="studio-seed"):
        return _seed_field(name, **how)


def kept_seed_control(**how: Any) -> tuple[Number, gr.Checkbox]:
    """Build the control of a seed that is new for each painting, and the switch that keeps it."""
    with gr.Row(elem_classes="studio-seed"):
        seed = _seed_field("seed", **how)
        keep = gr.Checkbox(label="keep", min_width=64, scale=0, elem_classes="studio-keep")
    seed.change(None, [seed, keep], keep, js="pleinAir.keepsSeed")
    return seed, keep


def _seed_field(name: str, **how: Any) -> Number:
    seed: Number = control(Recipe, name, **{"value": 42, "min_width": 120} | how)
    dice = gr.Button("⟳", elem_classes="studio-dice", min_width=44, scale=0)
    dice.click(None, None, seed, js="pleinAir.newSeed")
    return seed


def label_control(studio: Studio, model: gr.Dropdown) -> gr.Dropdown:
    """Build the control of the class to paint, shown where the chosen model has classes."""
    about = (
        "one at a time, for the network has one class embedding; behind each, how many pictures it "
        "was learned from"
    )
    look = label_look(studio.models.describe(studio.settings.default_model))
    label: gr.Dropdown = control(Recipe, "label", info=about, **look)

    def model_changed(name: str, before: int | None) -> Any:
        info = studio.models.describe(name)
        known = before is not None and before < len(info.labels)
        return gr.update(**label_look(info, before if known else None))

    model.change(following(model_changed), [model, label], label, **quiet())
    return label


def guidance_controls(info: ModelInfo, *names: str) -> Controls:
    """Build those of the controls of guidance that are named, shown where a model can be guided."""
    values, largest, guided = suited_guidance(info), limits(info), info.null_label is not None
    how = {name: {"maximum": largest[name]} for name in names if name in largest}
    return Controls(
        (name, control(Recipe, name, visible=guided, value=values[name], **how.get(name, {})))
        for name in names
    )


def suited_guidance(info: ModelInfo) -> dict[str, float]:
    """Return the values of the controls of guidance that suit a model, by name."""
    most = info.num_train_timesteps
    first, last = (min(it, most) for it in (info.guidance_from, info.guidance_to))
    return dict(zip(GUIDANCE_FIELDS, (info.guidance_scale, first, last), strict=True))


def guidance_updates(info: ModelInfo, before: int, *values: float) -> list[Any]:
    """Return the updates of all controls of guidance, where the model before had T = `before`."""
    guided, total = info.null_label is not None, info.num_train_timesteps
    scale, first, last = values if guided else (1.0, before, 0)
    # What was the whole range stays the whole range.
    first = total if first == before else first
    wanted = (scale, min(whole(first), total), min(whole(last), total))
    # A value that stays isn't sent: another event may just have set it.
    changes = [
        {} if value == now else {"value": value} for value, now in zip(wanted, values, strict=True)
    ]
    maximum: list[dict[str, Any]] = [{}, {"maximum": total}, {"maximum": total}]
    return [
        gr.update(visible=guided, **of, **change)
        for of, change in zip(maximum, changes, strict=True)
    ]


def can_enlarge(studio: Studio, info: ModelInfo) -> bool:
    """Tell whether there is a second stage here for the model's pictures."""
    return bool(studio.models.stages()) and takes_pictures_of(info)


def size_choices(studio: Studio, info: ModelInfo) -> dict[str, Any]:
    """Return what the size's control offers: 1, a model's own side, or RATIO, its enlargement.

    The values are those of any model, so that one is valid before the page knows of a new model.
    """
    sides = ((f"as painted, {info.size} px", 1), (f"\u00d7 {RATIO}, {RATIO * info.size} px", RATIO))
    return {"choices": list(sides), "visible": can_enlarge(studio, info)}


def size_update(studio: Studio, info: ModelInfo, size: int | None) -> dict[str, Any]:
    """Return the update that sets the size's control to a recipe's `size`, for a model."""
    return gr.update(**size_choices(studio, info), value=RATIO if size else 1)


def in_pixels(studio: Studio, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the controls' `values`, by name, with a size as recipes have it.

    Raises:
        ModelError: If the model that they name can't be used.
    """
    if "size" not in values:
        return dict(values)
    info, size = studio.models.describe(values["model"]), None
    if values["size"] == RATIO and can_enlarge(studio, info):
        size = RATIO * info.size
    return {**values, "size": size}


def stage_controls(studio: Studio, model: gr.Dropdown, *, large: bool) -> Controls:
    """Build the controls of the second stage: whether there is one, at first, and how it paints."""
    stages, info = studio.models.stages(), studio.models.describe(studio.settings.default_model)
    size = gr.Radio(
        **size_choices(studio, info),
        value=RATIO if large else 1,
        label="size",
        elem_classes="studio-segments",
    )
    if not stages:
        note("There is no second stage here that can be used: pictures keep the model's own size.")
    with gr.Accordion("the brushwork", open=False, visible=bool(stages)):
        controls = Controls(size=size)
        names = [stage.id for stage in stages]
        # A recipe may name another: whether it is here is for the service to say.
        how = {"choices": names, "visible": len(names) > 1, "allow_custom_value": True}
        controls["stage"] = control(Recipe, "stage", value=names[0] if names else "none", **how)
        controls["stage_steps"] = control(
            Recipe, "stage_steps", label="brushwork steps", info="8 are quick, 25 fine"
        )
        controls["stage_seed"] = seed_control("stage_seed", value=0, label="brushwork seed")
        most = max([1, *(stage.low_res_noise for stage in stages)])
        noise = control(Recipe, "stage_noise", maximum=most, label="noise at the hand-over, t")
        controls["stage_noise"] = noise
        controls["back_projection"] = control(Recipe, "back_projection", label="back-projection")
        controls["stage_truncation"] = control(
            Recipe,
            "stage_truncation",
            maximum=limits(info)["stage_truncation"],
            label="hand-over, t",
            info=f"0: the finished picture. Up to {most} x\u209c itself is handed over; above, "
            "x\u0302\u2080 with the noise chosen",
        )

    def model_changed(name: str, t: float) -> list[Any]:
        info = studio.models.describe(name)
        changed = gr.update(**size_choices(studio, info))
        return [changed, limited(t, limits(info)["stage_truncation"])]

    truncation = controls["stage_truncation"]
    outputs = [size, truncation]
    model.change(following(model_changed), [model, truncation], outputs, **quiet())
    return controls


def add_rest(controls: Controls, model: type[BaseModel], without: Collection[str] = ()) -> None:
    """Build the controls of all fields of `model` that have none yet."""
    for name in declared(model):
        if name not in controls and name not in without:
            controls[name] = control(model, name)


_ELSEWHERE: Final = (
    *("model", "precision", "label", "seed", "pictures"),
    *GUIDANCE_FIELDS,
    *STAGE_FIELDS,
)
"""The fields of a laboratory's way back whose controls are built elsewhere."""


def way_back(info: ModelInfo, steps: int) -> Controls:
    """Build the controls of an experiment's way back that have no place elsewhere on the page."""
    # The laboratories follow the paper.
    samplers = {"choices": sampler_choices(info), "value": "ddpm", "info": None}
    most = most_steps(info)
    how: dict[str, dict[str, Any]] = {
        "sampler": samplers | {"min_width": 110},
        "steps": {"maximum": most, "value": min(steps, most), "info": "counted from T"},
        "eta": {"value": 1, "visible": False, "min_width": 100},
    }
    own = Controls(
        (name, control(Recipe, name, **{"min_width": 120} | how.get(name, {})))
        for name, it in declared(Recipe).items()
        if control_of(it).everywhere and name not in _ELSEWHERE
    )
    return Controls(own | guidance_controls(info, *GUIDANCE_FIELDS))


def follow_model(studio: Studio, model: gr.Dropdown, controls: Controls) -> None:
    """Keep the controls within what the chosen model and sampler can do."""
    sampler, steps, built = controls["sampler"], controls["steps"], controls["sampler"].value
    guidance = [controls[name] for name in GUIDANCE_FIELDS if name in controls]
    length = gr.State(studio.models.describe(studio.settings.default_model).num_train_timesteps)

    def sampler_changed(name: str) -> tuple[Any, Any]:
        kind = SAMPLER_KINDS[name]
        about = gr.update(info=kind.about) if sampler.info else gr.skip()
        return about, gr.update(visible=kind.uses_eta)

    def model_changed(
        name: str, before: int, sampler: str, steps: float, *guidance: float
    ) -> list[Any]:
        info = studio.models.describe(name)
        choices = sampler_choices(info)
        known = sampler in {name for _, name in choices}
        return [
            info.num_train_timesteps,
            gr.update(choices=choices, value=sampler if known else built),
            limited(steps, most_steps(info)),
            *(guidance_updates(info, before, *guidance) if guidance else ()),
        ]

    # Through the queue, though they are quick: only there does Gradio show a message.
    sampler.change(errors_to_page(sampler_changed), sampler, [sampler, controls["eta"]], **quiet())

    def model_chosen(name: str) -> list[Any]:
        return [*suited_guidance(studio.models.describe(name)).values()]

    outputs = [length, sampler, steps, *guidance]
    model.change(following(model_changed), [model, *outputs], outputs, **quiet())
    if guidance:
        # Only where a person chooses it: a recipe that names a model has a guidance of its own.
        model.input(following(model_chosen), model, guidance, **quiet())


def following(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler of the chosen model; one that can't be used changes nothing.

    `keep_usable` says so, once, and goes back to the model before.
    """

    @wraps(handler)
    def wrapped(*values: Any) -> Any:
        try:
            return handler(*values)
        except ModelError:
            return gr.skip()

    return errors_to_page(wrapped)


def keep_usable(studio: Studio, model: gr.Dropdown) -> None:
    """Go back to the last usable model where one is chosen that can't be used."""
    usable = gr.State(studio.settings.default_model)

    def chosen(name: str) -> str:
        return studio.models.describe(name).id

    checked = model.change(errors_to_page(chosen), model, usable, **quiet())
    checked.failure(lambda before: before, usable, model, **quiet())
