"""Train: fine-tune a model on pictures of one's own, in the background."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr

from app.errors import JobError, StudioError
from app.service.jobs.plan import PRESETS, Plan
from app.service.studio import Studio
from app.ui.faults import explained, said
from app.ui.hub_panel import chosen_model, model_choices
from app.ui.instrument import LabInstrument
from app.ui.keepsakes import stored
from app.ui.messages import Download
from app.ui.owner import owner_of
from app.ui.tabs.lab_parts import Header, intro, light, open_with, quiet
from app.ui.tabs.train_pictures import TAB, PictureDesk
from app.ui.train_controls import (
    FIELDS,
    PlanControls,
    plan_controls,
    plan_from,
    preset_changes,
    preset_control,
    times,
)
from app.ui.train_downloads import model_zip
from app.ui.train_likeness import Comparison
from app.ui.train_messages import News, Seen, Wish
from app.ui.train_places import place_words
from app.ui.train_view import TrainView

INTRO: Final = """
Teach a model your own pictures, in the background: close the page, come back, watch its samples
change, and paint with what it has learnt.
"""


@dataclass(frozen=True, eq=False)
class _Form:
    """What a training is started with."""

    desk: PictureDesk
    base: gr.Dropdown
    preset: gr.Radio
    name: gr.Textbox
    controls: PlanControls
    button: gr.Button


def train_tab(studio: Studio, header: Header, tab: gr.Tab) -> None:
    """Build the tab."""
    words = place_words(studio.settings)
    intro(INTRO)
    place = gr.Markdown(words, elem_classes="train-place", visible=bool(words))
    with gr.Row(elem_classes="studio-easel"):
        with (
            gr.Column(elem_classes="studio-controls", scale=0, min_width=300),
            gr.Accordion("a new training", open=True, elem_classes="studio-fold"),
        ):
            form = _form(studio)
        with gr.Column(elem_classes="studio-pictures", scale=1):
            board = LabInstrument("train", News(""), tab=TAB, label="training jobs")
    view = TrainView(studio)
    form.desk.wire(form.controls.labels)
    _wire_opening(studio, tab, form)
    open_with(tab, board, partial(stored, "training"))
    if words:
        _wire_place(studio, form, place)
    _wire_presets(studio, form)
    _wire_starting(studio, form, view, board)
    _wire_board(studio, header, view, board)


def _form(studio: Studio) -> _Form:
    desk = PictureDesk(studio)
    base = gr.Dropdown(
        model_choices(studio), value=studio.settings.default_model, label="base model"
    )
    preset = preset_control()
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
            usual = Plan.preset(preset, form.desk.count(chosen, request))
            changes = plan_from(values).changes(usual)
        except StudioError:
            changes = {}  # what is wrong with them is said when they are to be used
        return place_words(studio.settings, name, model, preset, fit, changes)

    inputs: list[Any] = [form.name, form.base, form.preset, form.desk.fit, form.desk.chosen]
    inputs += form.controls.all
    triggers = [control.change for control in inputs]
    gr.on(triggers, say, inputs, place, trigger_mode="always_last", **quiet())


def _wire_presets(studio: Studio, form: _Form) -> None:
    desk, controls = form.desk, form.controls

    def new_values(preset: str, chosen: str | None, request: gr.Request) -> tuple[Any, ...]:
        return preset_changes(preset, desk.count(chosen, request))

    def new_share(preset: str, chosen: str | None, request: gr.Request) -> Any:
        values = zip(FIELDS, new_values(preset, chosen, request), strict=True)
        return dict(values)["held_out_share"]

    def measure(model: str, chosen: str | None, request: gr.Request) -> Any:
        if not chosen or not studio.workshop.can_train:
            return gr.skip()
        owner = owner_of(studio.settings, request)
        plans = [Plan.preset(name, desk.count(chosen, request)) for name in PRESETS]
        try:
            took = [studio.workshop.seconds(owner, model, chosen, plan) for plan in plans]
        except StudioError as error:
            return gr.update(info=str(error))
        return gr.update(info=times(took))

    both = [form.preset, desk.chosen]
    # Not when it changes: that it tells of new times would set back what a person wrote since.
    form.preset.input(said(new_values), both, controls.all, **light())
    desk.chosen.change(said(new_share), both, controls.held_out_share, **light())
    # Only once there are pictures: it costs some seconds of the machine.
    for control in (desk.chosen, form.base):
        control.change(
            said(measure), [form.base, desk.chosen], form.preset, concurrency_id="pace", **quiet()
        )


def _wire_starting(studio: Studio, form: _Form, view: TrainView, board: LabInstrument) -> None:
    def start(
        chosen: str | None, model: str, name: str, request: gr.Request, *values: Any
    ) -> News | None:
        if not chosen:
            raise JobError("There are no pictures to train on.", "Upload some first.")
        owner = owner_of(studio.settings, request)
        job = studio.workshop.start(owner, model, chosen, plan_from(values), name)
        return view.chosen(owner, job.id)

    inputs = [form.desk.chosen, form.base, form.name, *form.controls.all]
    form.button.click(said(start), inputs, board, **light())


def _wire_opening(studio: Studio, tab: gr.Tab, form: _Form) -> None:
    def choices() -> Any:
        return gr.update(choices=model_choices(studio))

    def opened(chosen: str | None, request: gr.Request) -> list[Any]:
        return [choices(), form.desk.opened(chosen, request)]

    tab.select(said(opened), form.desk.chosen, [form.base, form.desk.chosen], **light())


def _wire_board(studio: Studio, header: Header, view: TrainView, board: LabInstrument) -> None:
    def look(event: gr.EventData, request: gr.Request) -> Any:
        if not studio.workshop.can_train:
            return gr.skip()
        try:
            news = view.news(owner_of(studio.settings, request), Seen.of(event))
        except Exception as error:
            explained(error)  # logs what nobody foresaw; a second later the page asks again
            return gr.skip()
        return gr.skip() if news is None else news

    def act(event: gr.EventData, request: gr.Request) -> list[Any]:
        wish, owner = Wish.of(event), owner_of(studio.settings, request)
        jobs, nothing = studio.workshop.jobs, [gr.skip(), gr.skip()]
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
            case "download":
                path = model_zip(jobs, owner, wish.job, wish.step)
                return [Download(path.name, f"file={path}"), *nothing]
            case "compare":
                found = jobs.likenesses(owner, wish.job)
                return [Comparison.of(wish.job, found), *nothing]
            case "paint":
                model = jobs.model(owner, wish.job, wish.step).id
                return [gr.skip(), chosen_model(studio, model), gr.Tabs(selected="paint")]
        news = view.news(owner, wish.seen)
        return [gr.skip() if news is None else news, *nothing]

    # Not through the queue: ten pages that look every second would keep it busy with nothing.
    board.input(look, None, board, queue=False, **quiet())
    board.select(said(act), None, [board, header.model, header.tabs], **light())
