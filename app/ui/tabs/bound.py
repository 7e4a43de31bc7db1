"""Bound: the evidence lower bound of pictures, term by term, in bits per dimension."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import gradio as gr

from app.service.laboratory.experiments import Bounding, Subject
from app.service.models import ModelInfo
from app.service.studio import Studio
from app.ui import controls as easel
from app.ui.bound_stream import tell_bound
from app.ui.faults import said
from app.ui.instrument import LabInstrument
from app.ui.messages import Message
from app.ui.picker import Choice, Picker
from app.ui.run_controls import follow_label, whole
from app.ui.tabs.lab_parts import Header, intro, open_with, quiet, streaming, wire_dice

TAB: Final = "bound"

INTRO: Final = r"""
How many bits for each colour value a lossless code built on the model needs, at most (eq. 5); where
along $t$ they are spent, and what the simple loss looks at instead. All of it in exact precision.
$$L = \underbrace{D_{KL}(q(x_T|x_0)\,\|\,p(x_T))}_{\textcolor{#4F8A74}{L_T}} +
\sum_{t>1}\underbrace{D_{KL}(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t))}_{\textcolor{#C2533B}{L_{t-1}}}
\;\underbrace{-\log p_\theta(x_0|x_1)}_{\textcolor{#8A6FB0}{L_0}}$$
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
                _others(studio, info.id), value=[], multiselect=True, label="compare with models"
            )
            terms = gr.Slider(
                2, info.num_train_timesteps, value=50, step=1, label="terms",
                info="all of them, or one step in each stretch of t",
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
    open_with(tab, instrument, "bound")
    wire_dice(dice, seed)
    follow_label(studio, header.model, label)

    def wishes(choice: Choice, model: str, others: Sequence[str], *values: Any) -> list[Bounding]:
        return [
            _bounding(studio.models.describe(name), choice, *values)
            for name in dict.fromkeys((model, *others))
        ]

    def start(*values: Any) -> Iterator[Message]:
        yield from tell_bound(studio.bound_lab, studio.models, lambda: wishes(*values))

    def new_model(model: str, terms: float) -> tuple[Any, Any]:
        total = studio.models.describe(model).num_train_timesteps
        return (
            gr.update(choices=_others(studio, model), value=[]),
            gr.update(maximum=total, value=min(whole(terms), total)),
        )

    inputs = [
        *(picker.state, header.model, others, shuffled, noise),
        *(terms, draws, variance, clip, seed, label),
    ]
    running = button.click(start, inputs, instrument, **streaming())
    instrument.stop(fn=None, cancels=[running], api_visibility="private")
    header.model.change(said(new_model), [header.model, terms], [others, terms], **quiet())


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


def _others(studio: Studio, model: str) -> list[tuple[str, str]]:
    return [(info.summary, info.id) for info in studio.models.list() if info.id != model]
