"""Bound: the evidence lower bound of pictures, term by term, in bits per dimension."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import gradio as gr

from app.errors import RecipeError
from app.service.laboratory.bound_result import BoundResult
from app.service.laboratory.bounding import Bounding, Subject
from app.service.models import ModelInfo
from app.service.studio import Studio
from app.ui import controls as easel
from app.ui.bound_stream import tell_bound
from app.ui.faults import said
from app.ui.instrument import LabInstrument
from app.ui.keepsakes import first_bound, stored_bound
from app.ui.latest import LatestRun
from app.ui.messages import Download, Message
from app.ui.picker import Choice, Picker
from app.ui.restore import bound_values, other_models, restorer
from app.ui.run_controls import follow_label, whole
from app.ui.sheets import data_uri
from app.ui.tabs.lab_parts import (
    Header,
    intro,
    keeping,
    light,
    open_with,
    quiet,
    restarted,
    streaming,
    wire_dice,
)

TAB: Final = "bound"

INTRO: Final = r"""
How many bits for each colour value a lossless code built on the model needs, at most (eq. 5); where
along $@t$ they are spent, and what the simple loss looks at instead. All of it in exact precision.
$$L = \underbrace{D_{KL}(q(x_T|x_0)\,\|\,p(x_T))}_{L_T} +
\sum_{@t>1}\underbrace{D_{KL}(q(x_{@t-1}|x_{@t},x_0)\,\|\,p_\theta(x_{@t-1}|x_{@t}))}_{L_{@t-1}}
\;\underbrace{-\log p_\theta(x_0|x_1)}_{L_0}$$
"""

VARIANCES: Final = (
    ("fixed, small (β tilde)", "fixed_small"),
    ("fixed, large (β)", "fixed_large"),
    ("learned, where the model has it", "learned"),
)


def bound_tab(studio: Studio, header: Header, tab: gr.Tab) -> None:
    """Build the tab."""
    info = studio.models.describe(studio.settings.default_model)
    intro(INTRO)
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            picker = Picker(studio, TAB, "many", streaming())
            shuffled = gr.Checkbox(True, label="also the first with its pixels shuffled")
            noise = gr.Checkbox(True, label="also plain noise")
            others = gr.Dropdown(
                other_models(studio, info.id),
                value=[],
                multiselect=True,
                label="compare with models",
            )
            terms = gr.Slider(
                2, info.num_train_timesteps, value=50, step=1, label="terms: how many t",
                info="all of them, or two in each stretch of t", elem_classes="lab-terms",
            )  # fmt: skip
            draws = gr.Slider(1, 8, value=2, step=1, label="noise draws", info="two give an error")
            variance = gr.Dropdown(list(VARIANCES), value="fixed_small", label="variance of a step")
            clip = easel.clip_control()
            with gr.Row(elem_classes="studio-seed"):
                seed = easel.seed_control()
                dice = gr.Button("⟳", elem_classes="studio-dice", min_width=44, scale=0)
            label = easel.label_control(info)
            button = gr.Button("Compute", variant="primary", elem_classes="studio-paint")
        with gr.Column(elem_classes="studio-pictures", scale=1):
            instrument = LabInstrument("bound", tab=TAB, label="the bound, term by term")
    open_with(tab, instrument, first_bound)
    wire_dice(dice, seed)
    follow_label(studio, header.model, label)
    inputs = [
        *(picker.state, header.model, others, shuffled, noise),
        *(terms, draws, variance, clip, seed, label),
    ]
    _wire_computing(studio, button, inputs, instrument)

    def new_model(model: str, others: Sequence[str], terms: float) -> tuple[Any, Any]:
        total = studio.models.describe(model).num_train_timesteps
        return (
            gr.update(choices=other_models(studio, model), value=[o for o in others if o != model]),
            gr.update(maximum=total, value=min(whole(terms), total)),
        )

    built = other_models(studio, info.id)

    def known(model: str) -> Any:
        choices = other_models(studio, model)
        # Nothing is sent in vain: Gradio loses what is chosen while the list is exchanged.
        return gr.skip() if choices == built else gr.update(choices=choices)

    header.page.load(said(known), header.model, others, **quiet())
    header.model.change(said(new_model), [header.model, others, terms], [others, terms], **quiet())
    outputs = [picker.state, picker.instrument, *inputs[1:], header.tabs]
    header.drop.upload(
        said(restorer(TAB, bound_values, outputs, studio)),
        [picker.state, header.drop],
        outputs,
        **streaming(),
    )


def _wire_computing(
    studio: Studio, button: gr.Button, inputs: list[Any], instrument: LabInstrument
) -> None:
    result, runs = gr.State(None), LatestRun()

    def wishes(choice: Choice, model: str, others: Sequence[str], *values: Any) -> list[Bounding]:
        return [
            _bounding(studio.models.describe(name), choice, *values)
            for name in dict.fromkeys((model, *others))
        ]

    def start(request: gr.Request, *values: Any) -> Iterator[tuple[Message, Any]]:
        run = tell_bound(studio.bound_lab, lambda: wishes(*values))
        yield from keeping(runs.follow(request, run))

    def save(result: BoundResult | None, event: gr.EventData) -> Message:
        shown = result or stored_bound()
        if shown is None:
            raise RecipeError("There is no bound yet.", "Compute one first.")
        asked = event._data if isinstance(event._data, dict) else {}
        png = shown.png(log_t=asked.get("log") is True)
        return Download(f"{shown.name}.png", data_uri(png, "image/png"))

    running = button.click(start, inputs, [instrument, result], **restarted())
    instrument.select(said(save), result, instrument, **light())
    instrument.stop(fn=None, cancels=[running], api_visibility="private")


def _bounding(
    info: ModelInfo,
    choice: Choice,
    shuffled: bool,
    noise: bool,
    terms: float,
    draws: float,
    variance: str,
    clip: bool,
    seed: float,
    label: int | None,
) -> Bounding:
    learned = variance == "learned" and not info.learned_variance
    return Bounding.checked(
        {
            "model": info.id,
            "subjects": _subjects(choice, shuffled=shuffled, noise=noise),
            "terms": None if terms >= info.num_train_timesteps else whole(terms),
            "draws": whole(draws),
            "variance": "fixed_small" if learned else variance,
            "clip": clip,
            "seed": whole(seed),
            "label": (label or 0) if info.labels else None,
        }
    )


def _subjects(choice: Choice, *, shuffled: bool, noise: bool) -> tuple[Subject, ...]:
    chosen = list(zip(choice.names, choice.sources, strict=True))
    subjects = [Subject(source=source, name=name) for name, source in chosen]
    if shuffled:
        name, source = chosen[0]
        subjects.append(Subject(kind="shuffled", source=source, name=f"{name}, shuffled"))
    if noise:
        subjects.append(Subject(kind="noise", name="plain noise"))
    return tuple(subjects)
