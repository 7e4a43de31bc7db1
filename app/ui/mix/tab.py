"""The Mix tab: two pictures mixed at a chosen x_t; one mixture, the grid of figure 9, morphs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import gradio as gr

from app.fields import whole
from app.laboratory.experiments import MAX_ROWS, ROWS, Grid, Mixing, Morph, SeedMorph, even_rows
from app.laboratory.mix import GridResult, MixItem, MorphResult, grid_of, morph_of
from app.models.fields import GUIDANCE_FIELDS
from app.painting.recipe import Recipe
from app.painting.runs import Runs
from app.studio import Studio
from app.ui.components import recipe_controls as easel
from app.ui.components.films import Told
from app.ui.components.instrument import LabComponent, TimeSlider
from app.ui.components.laboratory import LabTab, shown_rows, wire_instrument
from app.ui.components.layout import STORED, Header, note, quiet, streaming
from app.ui.components.messages import Download, ForwardMessage, Message
from app.ui.components.numbers import Slider
from app.ui.components.picker import Choice
from app.ui.components.recipe_controls import Controls, can_enlarge, follow_model
from app.ui.errors import errors_to_page
from app.ui.mix.stream import (
    Asked,
    PairMaterial,
    Whole,
    estimate_words,
    grid_start,
    morph_start,
    tell_mix,
)

TAB: Final = "mix"

RULES: Final = (
    ("linear, two noises", "linear"),
    ("linear, one noise", "shared"),
    ("linear, variance kept", "variance_kept"),
    ("slerp", "slerp"),
)

INTRO: Final = r"""
Both pictures are noised to the same $@t$, mixed there, and the reverse process
paints what the mixture could have been:
$\;\bar x_{@t} = (1-@l)\,x_{@t} +
@l\,x'_{@t},\;\;
\bar x_0\sim p_\theta(x_0\,|\,\bar x_{@t})\;$ (section 4.3). A small
$@t$ blends pixels, a large one invents a new painting.
"""


def mix_tab(studio: Studio, header: Header, tab: gr.Tab) -> LabTab:
    """Build the tab."""
    note(INTRO, "lab-intro")
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            lab = LabTab(studio, header, TAB, tab, "pair")
            shared = lab.shared
            shared["mix"] = easel.control(
                Mixing, "mix", info="0 is A, 1 is B", elem_classes="lab-lambda"
            )
            about = "two noises: the paper's code; one for both: its poster"
            shared["rule"] = easel.control(Mixing, "rule", choices=list(RULES), info=about)
            shared["seed"] = easel.seed_control()
            shared["label"] = easel.label_control(studio, header.model)
            with gr.Accordion("the way back", open=False):
                shared.update(easel.way_back(lab.info, 200))
            shared.update(easel.stage_controls(studio, header.model, large=False))
        with gr.Column(elem_classes="studio-pictures", scale=1):
            instrument = LabComponent("mixture", tab=TAB, label="two pictures mixed at t")
            shared["t"] = TimeSlider(500, lab.info.num_train_timesteps, tab=TAB)
            with gr.Tabs(elem_classes="lab-panels", overflow_behavior="wrap"):
                with gr.Tab("One mixture", elem_id="mix-one"):
                    _mixture_panel(lab, tab)
                with gr.Tab("The grid", elem_id="mix-grid") as grid:
                    _grid_panel(lab, grid)
                with gr.Tab("Morph", elem_id="mix-morph") as morph:
                    _morph_panel(lab, morph)
    for name in ("mix", "rule"):
        share = f"({name}) => pleinAir.share('{TAB}', {{ {name} }})"
        shared[name].change(None, shared[name], None, js=share)
    follow_model(studio, header.model, shared)

    def material(choice: Choice, model: str, seed: float) -> Message:
        a, b = choice.sources
        first, second = studio.mix_lab.materials(model, (a, b), whole(seed))
        return PairMaterial(choice.key, ForwardMessage.of(first), ForwardMessage.of(second))

    lab.follow_choice(material, instrument, shared["seed"])
    lab.wire_restoring()
    return lab


def _mixture_panel(lab: LabTab, tab: gr.Tab) -> None:
    with gr.Row(elem_classes="lab-row"):
        variations = easel.control(Recipe, "pictures", value=3, label="variations", min_width=160)
        button = gr.Button("Mix", variant="primary", min_width=120, scale=0)
    lab.form(Mixing, pictures=variations)
    mix_lab = lab.studio.mix_lab
    lab.add_player(Mixing, mix_lab, mix_lab.films, tab, button, "mixed")


def _grid_panel(lab: LabTab, tab: gr.Tab) -> None:
    """Build the panel of the grid: rows of t, columns of lambda, filled in as they come."""
    note(
        "The paper's figure 9: $@t$ grows from row to row, $@l$ from A to B. Row $@t = 0$ "
        "mixes pixels without the network; *again* is what a picture becomes on its "
        "way there and back. A latent model's row $@t = 0$ mixes latents, and mixed pixels "
        "stand over it."
    )
    with gr.Row(elem_classes="lab-row"):
        rows = Slider(2, MAX_ROWS, value=ROWS, step=1, label="rows", min_width=120)
        between = easel.control(Grid, "between", min_width=120)
        share = easel.control(Grid, "share_noise", min_width=200)
        button = gr.Button("Paint the grid", variant="primary", min_width=120, scale=0)
    studio = lab.studio

    def shown(it: Grid, _: Choice) -> dict[str, Any]:
        return {"rows": shown_rows(it, studio) or gr.skip()}

    form = lab.form(Grid, shown, rows=rows, between=between, share_noise=share)

    def wish(*values: Any) -> Grid:
        it = form.read(values)
        total = studio.models.describe(it["model"]).num_train_timesteps
        return lab.made(Grid, it | {"rows": even_rows(total, it["rows"])})

    def save(result: GridResult, _: Mapping[str, Any]) -> Message:
        return Download.of(f"{result.name}.png", result.png())

    _add_runs(
        *(lab, tab, button, form, wish, studio.mix_lab.grids),
        name="grid",
        label="grid of mixtures",
        slower=(rows, between),
        kept=(grid_of, "grid.png"),
        first=partial(grid_start, STORED),
        save=save,
    )


WAYS: Final = ("from A to B", "between two seeds")
"""The page's names for a Morph and a SeedMorph."""


def _morph_panel(lab: LabTab, tab: gr.Tab) -> None:
    """Build the panel of the morph: over lambda at the slider's t, or the arc between two x_T."""
    note(
        "An animation from A to B over $@l$ at the $@t$ above; or between two seeds, along "
        "the arc (slerp) from one $x_T$ to another, each painted from pure noise: with a sampler "
        "that draws none, its ends are the two seeds' paintings."
    )
    with gr.Row(elem_classes="lab-row"):
        way = gr.Radio(
            list(WAYS),
            value=WAYS[0],
            label="morph",
            min_width=260,
            elem_classes="studio-segments",
        )
        second = easel.control(SeedMorph, "second", value=7, label="second seed", min_width=100)
        frames = easel.control(Morph, "frames", min_width=120)
        share = easel.control(Morph, "share_noise", min_width=200)
        button = gr.Button("Paint the morph", variant="primary", min_width=120, scale=0)
    own = {"way": way, "frames": frames}
    form = Controls(
        lab.form(Morph, lambda *_: {"way": WAYS[0]}, share_noise=share, **own)
        | lab.form(SeedMorph, lambda *_: {"way": WAYS[1]}, second=second, **own)
    )

    def wish(*values: Any) -> Morph | SeedMorph:
        it = form.read(values)
        return lab.made(Morph, it) if it["way"] == WAYS[0] else lab.made(SeedMorph, it)

    def save(result: MorphResult, asked: Mapping[str, Any]) -> Message:
        match asked:
            case {"ask": "gif" | "webp" as form}:
                return Download.of(f"{result.name}.{form}", result.animation(form))
            case _:
                return Download.of(f"{result.name}-strip.png", result.strip())

    _add_runs(
        *(lab, tab, button, form, wish, lab.studio.mix_lab.morphs),
        name="morph",
        label="morph",
        slower=(way, frames),
        kept=(morph_of, "morph.png"),
        first=lambda kept, more: morph_start(STORED, kept.experiment, more, kept=kept.frames),
        save=save,
    )


def _add_runs(
    lab: LabTab,
    opened: gr.Tab,
    button: gr.Button,
    form: Controls,
    wish: Callable[..., Asked],
    runs: Runs[Asked, MixItem | Whole, Whole],
    *,
    name: str,
    label: str,
    slower: Sequence[gr.components.Component],
    first: Callable[[Whole, bool], Message],
    **result: Any,
) -> None:
    """Add a panel's instrument, and say how long a run takes; `slower` are what that hangs on."""
    mix_lab = lab.studio.mix_lab
    words = gr.HTML("&nbsp;", elem_classes="lab-estimate")
    instrument = LabComponent(name, tab=TAB, label=label)
    enlarges, brushwork = partial(can_enlarge, lab.studio), form.brushwork

    def estimate(*values: Any) -> str:
        return estimate_words(mix_lab, mix_lab.complete(wish(*values)))

    def told(*values: Any) -> Iterator[Told[Whole]]:
        return tell_mix(mix_lab, runs, partial(wish, *values), enlarges)

    def enlarge(done: Whole, *values: Any) -> Iterator[Told[Whole]]:
        def again() -> Any:
            return mix_lab.enlargement(done.experiment, brushwork.read(values))

        return tell_mix(mix_lab, runs, again, enlarges)

    def opening(kept: Whole) -> Message:
        return first(kept, enlarges(lab.studio.models.describe(kept.experiment.run.model)))

    # One event for all triggers, or the answer to an earlier one could come last. The morph's
    # instrument tells when the slider over t has come to rest while the panel is seen.
    costly = ("steps", "sampler", "size", "stage_steps", *GUIDANCE_FIELDS)
    controls: list[Any] = [form[name] for name in costly]
    how = streaming() | {"trigger_mode": "always_last"}
    triggers = [opened.select, instrument.input, *(it.change for it in (*slower, *controls))]
    gr.on(triggers, errors_to_page(estimate), form.all, words, **how)
    # These stand over all tabs: nobody may be looking, and then the network needn't run.
    for over in (form["model"], form["precision"]):
        over.change(lambda: "&nbsp;", outputs=words, **quiet())
    wire_instrument(
        *(opened, button, form.all, instrument),
        first=opening,
        tell=told,
        enlarge=enlarge,
        brushwork=brushwork.all,
        missing=(f"There is no {name} yet.", "Paint one first."),
        **result,
    )
