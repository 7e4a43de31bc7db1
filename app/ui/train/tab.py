"""The Train tab: fine-tune a model on pictures of one's own, in the background."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr

from app.diffusion.seeds import MAX_SEED
from app.errors import JobError, StudioError
from app.fields import whole
from app.images.reading import FITS
from app.jobs.plan import PRESETS, TrainingPlan
from app.limits import TILE, Limits
from app.networks.unet import Precision
from app.settings import Settings
from app.studio import Studio
from app.ui.components.instrument import LabComponent
from app.ui.components.layout import (
    Header,
    chosen_model,
    kept_model,
    light,
    model_choices,
    note,
    open_with,
    quiet,
    stored,
)
from app.ui.components.messages import Download
from app.ui.components.numbers import Number, Slider
from app.ui.errors import errors_to_page, explained
from app.ui.middleware import owner_of
from app.ui.train.board import CopyCheckMessage, TrainView, duration, enlarged_sample
from app.ui.train.download import curves_file, model_zip
from app.ui.train.messages import News, Seen, Wish
from app.ui.train.pictures import TAB, PictureDesk

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
UNMEASURED: Final = "how long each takes on this machine is measured once there are pictures"
PRESET_NAMES: Final = {"taste": "a taste", "evening": "an evening", "long": "long"}


def plan_controls() -> dict[str, Any]:
    """Build the controls under "more" by their names in FIELDS, as the first preset has them."""
    values = preset_values(PRESETS[0], 0)
    return {
        "steps": Number(values["steps"], label="steps", precision=0, minimum=1),
        "batch_size": Slider(
            1, 64, value=values["batch_size"], step=1, label="batch", info="pictures a step"
        ),
        "learning_rate": Number(
            values["learning_rate"], label="learning rate", minimum=0, maximum=1, step=1e-5
        ),
        "ema": gr.Dropdown(
            list(EMA), value=values["ema"], label="EMA",
            info="averages of the weights, by how far they look back",
        ),
        "save_every": Number(
            values["save_every"], label="checkpoint every", info="steps", precision=0, minimum=1
        ),
        "samples": Slider(
            1, 20, value=values["samples"], step=1, label="samples every", info="checkpoints"
        ),
        "held_out_share": Slider(
            0, 0.5, value=values["held_out_share"], step=0.01, label="held out",
            info="share of the pictures that is only measured on",
        ),
        "immiscible": gr.Checkbox(
            values["immiscible"], label="immiscible noise",
            info="within a batch, each picture is trained with the noise that lies nearest to it",
        ),
        "labels": gr.Checkbox(
            values["labels"], label="classes from the zip's folders",
            info="for a base model with the same classes",
        ),
        "seed": Number(values["seed"], label="seed", precision=0, minimum=0, maximum=MAX_SEED),
    }  # fmt: skip


def preset_values(preset: str, pictures: int) -> dict[str, Any]:
    """Return the controls' values for a preset and so many pictures (0: none are chosen yet)."""
    plan = TrainingPlan.preset(preset, pictures)
    own = {
        "ema": next(name for name, sigmas in EMA.items() if sigmas == plan.ema_sigma_rels),
        "samples": plan.sample_every // plan.save_every,
        "held_out_share": plan.held_out_share or 0.0,
    }
    return {name: own[name] if name in own else getattr(plan, name) for name in FIELDS}


def preset_changes(preset: str, pictures: int) -> tuple[Any, ...]:
    """Return the controls' updates for another preset; the pictures decide about classes."""
    return tuple((preset_values(preset, pictures) | {"labels": gr.skip()}).values())


def times(seconds: Sequence[float]) -> str:
    """Say how long each preset takes here."""
    named = zip(PRESET_NAMES.values(), seconds, strict=True)
    return f"here: {', '.join(f'{name} {duration(took)}' for name, took in named)}"


def plan_from(values: Sequence[Any]) -> TrainingPlan:
    """Make the plan that the controls' `values` describe.

    Raises:
        JobError: If a value is missing or of a wrong type.
    """
    given = {name: whole(value) for name, value in zip(FIELDS, values, strict=True)}
    for name in ("steps", "batch_size", "save_every", "samples", "seed"):
        if type(given[name]) is not int:
            raise JobError(f"{name.replace('_', ' ')} is no whole number.", "Give one.")
    rate, share, samples = (given[name] for name in ("learning_rate", "held_out_share", "samples"))
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise JobError("The learning rate is no number.", "Give one, for example 0.0001.")
    if given["ema"] not in EMA:
        raise JobError("There are no such averages.", f"Choose one of: {', '.join(EMA)}.")
    return TrainingPlan(
        learning_rate=float(rate),
        ema_sigma_rels=EMA[given["ema"]],
        immiscible=bool(given["immiscible"]),
        labels=bool(given["labels"]),
        sample_every=samples * given["save_every"],
        held_out_share=float(share) if share else None,
        **{name: given[name] for name in ("steps", "batch_size", "save_every", "seed")},
    )


def place_words(
    settings: Settings,
    name: str = "",
    model: str = "",
    preset: str = "",
    fit: str = "",
    changes: Mapping[str, object] | None = None,
) -> str:
    """Say what a person must know before they train here, as Markdown; empty on their own machine.

    Args:
        settings: The studio's settings, which say where it runs.
        name: The name of the job that the person is about to start.
        model: The job's base model; the default model if empty.
        preset: How long the job is to take; the shortest if empty.
        fit: How a picture becomes square; the first way if empty.
        changes: Settings that differ from the preset's.
    """
    share = _share(Limits.of(settings))
    if settings.zero_gpu:
        words = (
            "**Nothing can be trained on ZeroGPU**: it lends its GPU for moments, and a training "
            "takes minutes to days. The same job runs on any machine of your own:"
        )
    elif settings.space_id:
        words = (
            "**This is a Space.** It has two processors for all its visitors, and forgets pictures "
            "and jobs when it sleeps or restarts, unless storage is attached: train a taste here, "
            f"and download the model when it is done. {share} Longer jobs run on a machine of your "
            "own:"
        )
    else:
        return share
    commands = (
        f"git clone https://huggingface.co/spaces/{settings.space_id} plein-air\n"
        "cd plein-air && make run    # then, in another terminal:\n"
        f".venv/bin/python -m app jobs start {shlex.quote(name or 'my pictures')} \\\n"
        f"    --data pictures.zip --init {shlex.quote(model or settings.default_model)} "
        f"--preset {preset or PRESETS[0]} --fit {fit or FITS[0]}"
        f"{''.join(_option(*change) for change in (changes or {}).items())}"
    )
    # A name's own backticks would end the block.
    return f"{words}\n\n```\n{commands.replace('`', '')}\n```"


def _share(limits: Limits) -> str:
    most = []
    if limits.jobs_per_visitor:
        jobs = limits.jobs_per_visitor
        most.append(f"{jobs} training{'s' if jobs > 1 else ''} at a time")
    if limits.training_views:
        most.append(f"steps times batch of {limits.training_views:,} with pictures of {TILE} px")
    return f"Each visitor has at most {' and '.join(most)} here." if most else ""


def _option(setting: str, value: object) -> str:
    return f" \\\n    --set {shlex.quote(f'{setting}={json.dumps(value)}')}"


INTRO: Final = """
Teach a model your own pictures, in the background: close the page, come back, watch its samples
change, and paint with what it has learnt.
"""


@dataclass(frozen=True, eq=False)
class _Form:
    """The controls that a training is started with."""

    desk: PictureDesk
    base: gr.Dropdown
    preset: gr.Radio
    name: gr.Textbox
    controls: dict[str, Any]
    button: gr.Button


def train_tab(studio: Studio, header: Header, tab: gr.Tab) -> None:
    """Build the tab."""
    words = place_words(studio.settings)
    note(INTRO, "lab-intro")
    place = gr.Markdown(words, elem_classes="train-place", visible=bool(words))
    with gr.Row(elem_classes="studio-easel"):
        with (
            gr.Column(elem_classes="studio-controls", scale=0, min_width=300),
            gr.Accordion("a new training", open=True, elem_classes="studio-fold"),
        ):
            form = _form(studio)
        with gr.Column(elem_classes="studio-pictures", scale=1):
            board = LabComponent("train", News(""), tab=TAB, label="training jobs")
    view = TrainView(studio)
    form.desk.wire(form.controls["labels"])
    _wire_opening(studio, tab, form)
    open_with(tab, board, partial(stored, "training"))
    if words:
        _wire_place(studio, form, place)
    _wire_presets(studio, form)
    _wire_starting(studio, form, view, board)
    _wire_board(studio, header, form, view, board)


def _form(studio: Studio) -> _Form:
    desk = PictureDesk(studio)
    base = gr.Dropdown(
        model_choices(studio), value=studio.settings.default_model, label="base model"
    )
    preset = gr.Radio(
        [(PRESET_NAMES[name], name) for name in PRESETS],
        value=PRESETS[0],
        label="how long",
        info=UNMEASURED,
        elem_classes="studio-segments train-preset",
    )
    name = gr.Textbox(label="name", value="my pictures", max_lines=1, max_length=80)
    with gr.Accordion("more", open=False):
        controls = plan_controls()
    can_train = studio.workshop.can_train
    button = gr.Button(
        "Train", variant="primary", elem_classes="studio-paint", interactive=can_train
    )
    return _Form(desk, base, preset, name, controls, button)


def _wire_place(studio: Studio, form: _Form, place: gr.Markdown) -> None:
    def say(
        name: str,
        model: str,
        preset: str,
        fit: str,
        chosen: str | None,
        request: gr.Request,
        *values: Any,
    ) -> str:
        try:
            usual = TrainingPlan.preset(preset, form.desk.count(chosen, request))
            changes = plan_from(values).changes(usual)
        except StudioError:
            changes = {}  # a mistake in the values is told when they are used
        return place_words(studio.settings, name, model, preset, fit, changes)

    inputs: list[Any] = [form.name, form.base, form.preset, form.desk.fit, form.desk.chosen]
    inputs += form.controls.values()
    triggers = [control.change for control in inputs]
    gr.on(triggers, say, inputs, place, trigger_mode="always_last", **quiet())


def _wire_presets(studio: Studio, form: _Form) -> None:
    desk, controls = form.desk, form.controls

    def new_values(preset: str, chosen: str | None, request: gr.Request) -> tuple[Any, ...]:
        return preset_changes(preset, desk.count(chosen, request))

    def new_share(preset: str, chosen: str | None, request: gr.Request) -> Any:
        return preset_values(preset, desk.count(chosen, request))["held_out_share"]

    def measure(model: str, chosen: str | None, request: gr.Request) -> Any:
        if not chosen or not studio.workshop.can_train:
            return gr.skip()
        owner = owner_of(studio.settings, request)
        plans = [TrainingPlan.preset(name, desk.count(chosen, request)) for name in PRESETS]
        try:
            took = [studio.workshop.seconds(owner, model, chosen, plan) for plan in plans]
        except StudioError as error:
            return gr.update(info=str(error))
        return gr.update(info=times(took))

    both = [form.preset, desk.chosen]
    # Not on every change: new times in the preset's words would undo what a person typed.
    form.preset.input(errors_to_page(new_values), both, [*controls.values()], **light())
    desk.chosen.change(errors_to_page(new_share), both, controls["held_out_share"], **light())
    # Only once there are pictures: measuring costs some seconds of the machine.
    for control in (desk.chosen, form.base):
        control.change(
            errors_to_page(measure),
            [form.base, desk.chosen],
            form.preset,
            concurrency_id="pace",
            **quiet(),
        )


def _wire_starting(studio: Studio, form: _Form, view: TrainView, board: LabComponent) -> None:
    def start(
        chosen: str | None, model: str, name: str, request: gr.Request, *values: Any
    ) -> News | None:
        if not chosen:
            raise JobError("There are no pictures to train on.", "Upload some first.")
        owner = owner_of(studio.settings, request)
        job = studio.workshop.start(owner, model, chosen, plan_from(values), name)
        return view.chosen(owner, job.id)

    inputs = [form.desk.chosen, form.base, form.name, *form.controls.values()]
    form.button.click(errors_to_page(start), inputs, board, **light())


def _wire_opening(studio: Studio, tab: gr.Tab, form: _Form) -> None:
    def opened(base: str, chosen: str | None, request: gr.Request) -> list[Any]:
        return [kept_model(studio, base), form.desk.opened(chosen, request)]

    outputs: list[Any] = [form.base, form.desk.chosen]
    tab.select(errors_to_page(opened), outputs, outputs, **light())


def _wire_board(
    studio: Studio, header: Header, form: _Form, view: TrainView, board: LabComponent
) -> None:
    def look(event: gr.EventData, request: gr.Request) -> Any:
        if not studio.workshop.can_train:
            return gr.skip()
        try:
            news = view.news(owner_of(studio.settings, request), Seen.of(event))
        except Exception as error:
            explained(error)  # logs what nobody foresaw; a second later the page asks again
            return gr.skip()
        return gr.skip() if news is None else news

    def act(
        precision: Precision, model: str, base: str, event: gr.EventData, request: gr.Request
    ) -> list[Any]:
        wish, owner = Wish.of(event), owner_of(studio.settings, request)
        jobs, others = studio.workshop.jobs, [gr.skip(), gr.skip(), gr.skip()]
        match wish.ask:
            case "stop":
                jobs.stop(owner, wish.job)
            case "resume":
                jobs.resume(owner, wish.job)
            case "extend":
                jobs.extend(owner, wish.job, wish.steps)
                jobs.tend()
            case "keep" | "unkeep":
                jobs.keep(owner, wish.job, kept=wish.ask == "keep")
            case "rename":
                jobs.rename(owner, wish.job, wish.name)
            case "delete":
                jobs.delete(owner, wish.job)
                others = [kept_model(studio, model), gr.skip(), kept_model(studio, base)]
            case "download":
                path = model_zip(jobs, owner, wish.job, wish.step)
                return [Download(path.name, f"file={path}"), *others]
            case "curves":
                path = curves_file(jobs, owner, wish.job)
                return [Download(path.name, f"file={path}"), *others]
            case "compare":
                found = jobs.likenesses(owner, wish.job)
                return [CopyCheckMessage.of(wish.job, found), *others]
            case "enlarge":
                return [enlarged_sample(studio, owner, wish, precision), *others]
            case "paint":
                wished = jobs.model(owner, wish.job, wish.step).id
                return [
                    gr.skip(),
                    chosen_model(studio, wished),
                    gr.Tabs(selected="paint"),
                    gr.skip(),
                ]
        news = view.news(owner, wish.seen)
        return [gr.skip() if news is None else news, *others]

    # Not through the queue: ten pages that look every second would keep it busy with nothing.
    board.input(look, None, board, queue=False, **quiet())
    board.select(
        errors_to_page(act),
        [header.precision, header.model, form.base],
        [board, header.model, header.tabs, form.base],
        **light(),
    )
