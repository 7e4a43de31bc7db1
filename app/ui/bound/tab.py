"""Bound: the evidence lower bound of pictures, term by term, in bits or nats per dimension."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import gradio as gr

from app.laboratory.bound_results import BoundResult, bound_of
from app.laboratory.experiments import BoundRequest, Subject
from app.models.files import ModelInfo
from app.studio import Studio
from app.ui.bound.stream import bound_start, tell_bound
from app.ui.components import recipe_controls as easel
from app.ui.components.instrument import LabComponent
from app.ui.components.laboratory import LabTab, shown_subjects, source_image, wire_instrument
from app.ui.components.layout import STORED, Header, note, quiet
from app.ui.components.messages import Download, Message
from app.ui.components.numbers import Slider
from app.ui.components.picker import Choice
from app.ui.components.recipe_controls import following, limited
from app.ui.errors import errors_to_page

TAB: Final = "bound"

INTRO: Final = r"""
How many bits for each colour value a lossless code built on the model needs, at most (eq. 5); where
along $@t$ they are spent, and what the simple loss looks at instead. All of it in exact precision,
and of the first stage alone: it is the model that paints the picture. Of a latent model it is what
the diffusion process bounds, in nats of the latent.
$$L = \underbrace{D_{KL}(q(x_T|x_0)\,\|\,p(x_T))}_{L_T} +
\sum_{@t>1}\underbrace{D_{KL}(q(x_{@t-1}|x_{@t},x_0)\,\|\,p_\theta(x_{@t-1}|x_{@t}))}_{L_{@t-1}}
\;\underbrace{-\log p_\theta(x_0|x_1)}_{L_0}$$
"""

TERMS: Final = BoundRequest.model_fields["terms"].default
"""How many terms the page evaluates at first, where the model has so many."""

VARIANCES: Final = (
    ("fixed, small (β tilde)", "fixed_small"),
    ("fixed, large (β)", "fixed_large"),
    ("learned, where the model has it", "learned"),
    ("analytic, where it was estimated", "analytic"),
)


def bound_tab(studio: Studio, header: Header, tab: gr.Tab) -> LabTab:
    """Build the tab."""
    note(INTRO, "lab-intro")
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            lab = LabTab(studio, header, TAB, tab, "many")
            del lab.shared["precision"]  # all of it is exact
            total = lab.info.num_train_timesteps
            own = {
                "shuffled": gr.Checkbox(True, label="also the first with its pixels shuffled"),
                "noise": gr.Checkbox(True, label="also plain noise"),
                "others": gr.Dropdown(
                    _others(studio, lab.info.id),
                    value=[],
                    multiselect=True,
                    label="compare with models",
                ),
                "terms": easel.control(
                    BoundRequest,
                    "terms",
                    maximum=total,
                    value=min(TERMS, total),
                    info="all of them, or two in each stretch of t",
                    elem_classes="lab-terms",
                ),
                "draws": easel.control(BoundRequest, "draws", maximum=8),
                "variance": easel.control(BoundRequest, "variance", choices=list(VARIANCES)),
                "clip": easel.control(BoundRequest, "clip"),
            }
            lab.shared["seed"] = easel.seed_control()
            lab.shared["label"] = easel.label_control(studio, header.model)
            button = gr.Button("Compute", variant="primary", elem_classes="studio-paint")
        with gr.Column(elem_classes="studio-pictures", scale=1):
            instrument = LabComponent("bound", tab=TAB, label="the bound, term by term")
    form = lab.form(BoundRequest, partial(_shown, studio), choice=lab.picker.state, **own)

    def wish(*values: Any) -> BoundRequest:
        it = form.read(values)
        models = map(studio.models.describe, dict.fromkeys((it["model"], *it["others"])))
        return BoundRequest.joined([_bounding(info, it) for info in models])

    wire_instrument(
        *(tab, button, form.all, instrument),
        kept=(bound_of, "bound.json"),
        first=_kept_start,
        tell=lambda *values: tell_bound(studio.bound_lab, partial(wish, *values)),
        save=_save,
        missing=("There is no bound yet.", "Compute one first."),
    )
    _follow_models(studio, header, own["others"], own["terms"])
    lab.wire_restoring()
    return lab


def _kept_start(result: BoundResult) -> Message:
    it = result.experiment
    words = f"{it.terms or result.length} terms · {it.draws} draws · seed {it.seed}"
    return bound_start(STORED, result, words)


def _save(result: BoundResult, asked: Mapping[str, Any]) -> Message:
    return Download.of(f"{result.name}.png", result.png(log_t=asked.get("log") is True))


def _others(studio: Studio, model: str) -> list[tuple[str, str]]:
    """List the models that `model` can be compared with, as (label, id) pairs."""
    return [(info.summary, info.id) for info in studio.models.list() if info.id != model]


def _follow_models(studio: Studio, header: Header, others: gr.Dropdown, terms: Slider) -> None:
    def new_model(model: str, chosen: Sequence[str], terms: float) -> tuple[Any, Any]:
        total = studio.models.describe(model).num_train_timesteps
        return (
            gr.update(choices=_others(studio, model), value=[o for o in chosen if o != model]),
            limited(terms, total),
        )

    built = _others(studio, studio.settings.default_model)

    def known(model: str) -> Any:
        choices = _others(studio, model)
        # An unchanged list isn't sent: Gradio loses the choice while a list is exchanged.
        return gr.skip() if choices == built else gr.update(choices=choices)

    header.page.load(errors_to_page(known), header.model, others, **quiet())
    inputs = [header.model, others, terms]
    header.model.change(following(new_model), inputs, [others, terms], **quiet())


def _shown(studio: Studio, it: BoundRequest, choice: Choice) -> dict[str, Any]:
    """Return the values of the controls that show a bound otherwise than as its fields."""
    subjects = shown_subjects(it)
    kinds = {subject.kind for subject in it.subjects}
    images = [source_image(studio, it.model, s.source) for s in subjects if s.source]
    total = studio.models.describe(it.model).num_train_timesteps
    shown: dict[str, Any] = {
        "choice": choice.restored(images, [subject.name for subject in subjects]),
        "others": gr.update(
            choices=_others(studio, it.model), value=[c.model for c in it.compared]
        ),
        "shuffled": "shuffled" in kinds,
        "noise": "noise" in kinds,
        "terms": limited(it.terms or total, total),
    }
    for own in ("learned", "analytic"):
        if any(each.variance == own for each in it.each):
            shown["variance"] = own
    return shown


def _bounding(info: ModelInfo, it: Mapping[str, Any]) -> BoundRequest:
    """Make the bound of one model; `it` are the controls' values."""
    label = it["label"]
    fields = {
        "model": info.id,
        "subjects": _subjects(it),
        "terms": None if it["terms"] >= info.num_train_timesteps else it["terms"],
        "variance": it["variance"] if info.has_variance(it["variance"]) else "fixed_small",
        "label": label if label is not None and label < len(info.labels) else info.some_label,
    }
    return BoundRequest.of({**it, **fields})


def _subjects(it: Mapping[str, Any]) -> tuple[Subject, ...]:
    chosen = list(zip(it["choice"].names, it["choice"].sources, strict=True))
    subjects = [Subject(source=source, name=name) for name, source in chosen]
    if it["shuffled"]:
        name, source = chosen[0]
        subjects.append(Subject(kind="shuffled", source=source, name=f"{name}, shuffled"))
    if it["noise"]:
        subjects.append(Subject(kind="noise", name="plain noise"))
    return tuple(subjects)
