"""Mix: two pictures mixed at a chosen x_t; one mixture, the grid of figure 9, morphs."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import gradio as gr

from app.diffusion.mixing import DEFAULT_RULE
from app.service.laboratory.experiments import Mixing
from app.service.studio import Studio
from app.ui import controls as easel
from app.ui.faults import said
from app.ui.film_stream import answer, tell
from app.ui.instrument import LabInstrument, TimeSlider
from app.ui.keepsakes import stored, stored_experiment
from app.ui.lab_messages import Material
from app.ui.latest import LatestRun
from app.ui.messages import Message
from app.ui.mix_messages import PairMaterial
from app.ui.picker import Choice, Picker
from app.ui.player import Player, PlayerEvent
from app.ui.restore import mix_values, restorer
from app.ui.run_controls import follow_label, follow_model, run_controls, whole
from app.ui.tabs.lab_parts import (
    Header,
    intro,
    keeping,
    light,
    open_with,
    restarted,
    streaming,
    wire_dice,
)
from app.ui.tabs.mix_panels import TAB, Blend, grid_panel, mixing_fields, morph_panel

FIRST_T: Final = 500

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


def mix_tab(studio: Studio, header: Header, tab: gr.Tab) -> None:
    """Build the tab."""
    info = studio.models.describe(studio.settings.default_model)
    intro(INTRO)
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            picker = Picker(studio, TAB, "pair", streaming())
            mix = gr.Slider(
                0, 1, value=0.5, step=0.01, label="λ", info="0 is A, 1 is B",
                elem_classes="lab-lambda",
            )  # fmt: skip
            rule = gr.Dropdown(
                list(RULES), value=DEFAULT_RULE, label="mixing rule",
                info="two noises: the paper's code; one for both: its poster",
            )  # fmt: skip
            with gr.Row(elem_classes="studio-seed"):
                seed = easel.seed_control()
                dice = gr.Button("⟳", elem_classes="studio-dice", min_width=44, scale=0)
            label = easel.label_control(info)
            with gr.Accordion("the way back", open=False):
                controls = run_controls(info, header.model, header.precision, seed, label, 200)
        with gr.Column(elem_classes="studio-pictures", scale=1):
            instrument = LabInstrument("mixture", tab=TAB, label="two pictures mixed at t")
            time = TimeSlider(FIRST_T, info.num_train_timesteps, tab=TAB)
            blend = Blend(studio, picker, time, mix, rule, controls)
            with gr.Tabs(elem_classes="lab-panels", overflow_behavior="wrap"):
                with gr.Tab("One mixture"):
                    variations = _mixture_panel(blend, tab)
                with gr.Tab("The grid") as grid:
                    grid_settings = grid_panel(blend, grid)
                with gr.Tab("Morph") as morph:
                    morph_settings = morph_panel(blend, morph)
    wire_dice(dice, seed)
    mix.change(None, mix, None, js=f"(mix) => pleinAir.share('{TAB}', {{ mix }})")
    rule.change(None, rule, None, js=f"(rule) => pleinAir.share('{TAB}', {{ rule }})")
    follow_label(studio, header.model, label)
    follow_model(studio, controls)
    _wire_material(blend, header, instrument)
    _wire_restoring(blend, header, label, (variations, *grid_settings, *morph_settings))


def _wire_material(blend: Blend, header: Header, instrument: LabInstrument) -> None:
    lab = blend.studio.mix_lab

    def material(choice: Choice, model: str, seed: float) -> Message:
        a, b = choice.sources
        first, second = lab.materials(model, (a, b), whole(seed))
        return PairMaterial(choice.key, Material.of(first), Material.of(second))

    inputs = [blend.picker.state, header.model, blend.controls.seed]
    blend.picker.changed(said(material), inputs, instrument, **light())
    blend.controls.seed.change(said(material), inputs, instrument, **light())
    header.page.load(said(material), inputs, instrument, **light())
    header.model.change(said(material), inputs, instrument, **light())


def _mixture_panel(blend: Blend, tab: gr.Tab) -> gr.Slider:
    with gr.Row(elem_classes="lab-row"):
        variations = gr.Slider(1, 16, value=3, step=1, label="variations", min_width=160)
        button = gr.Button("Mix", variant="primary", min_width=120, scale=0)
    with gr.Column(elem_classes="lab-player"):
        player = Player(label="mixed")
    open_with(tab, player, partial(stored, "mixing"))
    last = gr.State(stored_experiment("mixing"))
    lab, runs = blend.studio.mix_lab, LatestRun()

    def start(
        request: gr.Request, choice: Choice, t: int, mix: float, rule: str, count: float, *run: Any
    ) -> Iterator[tuple[Message, Any]]:
        def wish() -> Mixing:
            fields = mixing_fields(choice, rule, run, pictures=whole(count))
            return Mixing.checked(fields | {"t": t, "mix": float(mix)})

        yield from keeping(runs.follow(request, tell(blend.studio.models, lab, wish)))

    def asked(experiment: Mixing | None, event: gr.EventData) -> Message:
        return answer(lab, experiment, PlayerEvent.of(event))

    inputs = [*blend.pair, variations, *blend.controls.inputs]
    running = button.click(start, inputs, [player, last], **restarted())
    player.select(said(asked), last, player, **streaming())
    player.stop(fn=None, cancels=[running], api_visibility="private")
    return variations


def _wire_restoring(
    blend: Blend, header: Header, label: gr.Dropdown, panels: tuple[gr.components.Component, ...]
) -> None:
    picker, controls = blend.picker, blend.controls
    outputs = [
        *(picker.state, picker.instrument, header.model, header.precision, controls.seed, label),
        *(blend.time, blend.mix, blend.rule, *panels),
        *(controls.sampler, controls.steps, controls.eta, header.tabs),
    ]
    dropped = header.drop.upload(
        said(restorer(TAB, mix_values, outputs, blend.studio)),
        [picker.state, header.drop],
        outputs,
        **streaming(),
    )
    picker.follow(dropped)
