"""Noise: the forward process of one picture, its posterior, and the way back from any x_t."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import gradio as gr

from app.service.laboratory.experiments import Denoising, Noising
from app.service.studio import Studio
from app.ui import controls as easel
from app.ui.faults import said
from app.ui.film_stream import answer, tell
from app.ui.instrument import LabInstrument, TimeSlider
from app.ui.keepsakes import stored, stored_experiment
from app.ui.lab_messages import Material
from app.ui.latest import LatestRun
from app.ui.messages import Download, Message
from app.ui.picker import Choice, Picker
from app.ui.player import Player, PlayerEvent
from app.ui.restore import noise_values, restorer
from app.ui.run_controls import (
    RunControls,
    follow_label,
    follow_model,
    run_controls,
    run_recipe,
    whole,
)
from app.ui.sheets import data_uri
from app.ui.tabs.lab_parts import (
    Header,
    intro,
    keeping,
    light,
    note,
    open_with,
    restarted,
    streaming,
    wire_dice,
)
from app.ui.tabs.noise_panels import TAB, Bench, chain_panel, posterior_panel, schedules_panel

FIRST_T: Final = 300

INTRO: Final = r"""
The forward process mixes a picture $x_0$ with noise, a little more at every step; in closed form
$\;x_{@t} = \sqrt{\bar\alpha_{@t}}\,x_0 +
\sqrt{1-\bar\alpha_{@t}}\,\epsilon,\;\; \epsilon\sim\mathcal N(0, I)\;$ (eq. 4).
Move $@t$: at $0$ stands the picture, at $T$ nothing is left of it but noise.
"""


def noise_tab(studio: Studio, header: Header) -> gr.Tabs:
    """Build the tab, and return its panels."""
    info = studio.models.describe(studio.settings.default_model)
    intro(INTRO)
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            picker = Picker(studio, TAB, "one", streaming())
            with gr.Row(elem_classes="studio-seed"):
                seed = easel.seed_control()
                dice = gr.Button("⟳", elem_classes="studio-dice", min_width=44, scale=0)
            fresh = gr.Checkbox(
                False,
                label="fresh noise at every t",
                info="else one noise for all t, as drawn by the seed",
            )
            label = easel.label_control(info)
        with gr.Column(elem_classes="studio-pictures", scale=1):
            instrument = LabInstrument("noise", tab=TAB, label="the forward process")
            time = TimeSlider(FIRST_T, info.num_train_timesteps, tab=TAB)
            bench = Bench(studio, header, picker, time, seed, label)
            panels = gr.Tabs(elem_classes="lab-panels", overflow_behavior="wrap")
            with panels:
                with gr.Tab("Film strip"):
                    moments = _strip_panel(bench, fresh)
                with gr.Tab("Schedules"):
                    schedules_panel(bench)
                with gr.Tab("Chain or closed form") as chain:
                    chain_panel(bench, chain)
                with gr.Tab("Posterior", id="posterior") as posterior:
                    posterior_panel(bench, posterior)
                with gr.Tab("Denoise from here") as denoise:
                    _denoise_panel(bench, denoise, (moments, fresh))
    wire_dice(dice, seed)
    fresh.change(None, fresh, None, js=f"(fresh) => pleinAir.share('{TAB}', {{ fresh }})")
    follow_label(studio, header.model, label)
    _wire_material(bench, instrument)
    return panels


def _wire_material(bench: Bench, instrument: LabInstrument) -> None:
    def material(choice: Choice, model: str, seed: float) -> Message:
        noising = {"model": model, "source": choice.sources[0], "seed": whole(seed)}
        return Material.of(bench.studio.noise_lab.material(Noising.checked(noising)))

    inputs = [bench.picker.state, bench.header.model, bench.seed]
    bench.picker.changed(said(material), inputs, instrument, **light())
    bench.seed.change(said(material), inputs, instrument, **light())
    bench.header.page.load(said(material), inputs, instrument, **light())
    bench.header.model.change(said(material), inputs, instrument, **light())


def _strip_panel(bench: Bench, fresh: gr.Checkbox) -> gr.Slider:
    with gr.Row(elem_classes="lab-row"):
        count = gr.Slider(
            2,
            64,
            value=10,
            step=1,
            label="pictures",
            info="evenly spaced in t; drawn in the browser",
            min_width=200,
        )
    strip = LabInstrument("strip", tab=TAB, label="film strip of x_t")
    count.change(None, count, None, js=f"(moments) => pleinAir.share('{TAB}', {{ moments }})")

    def save(
        choice: Choice, model: str, seed: float, moments: float, fresh: bool, event: gr.EventData
    ) -> Message:
        wish = {"model": model, "source": choice.sources[0], "seed": whole(seed), "fresh": fresh}
        drawn = bench.studio.noise_lab.strip(Noising.checked(wish | {"moments": whole(moments)}))
        match event._data:
            case {"ask": "png"}:
                return Download(f"{drawn.name}.png", data_uri(drawn.png(), "image/png"))
            case {"ask": "gif" | "webp" as form}:
                uri = data_uri(drawn.animation(form), f"image/{form}")
                return Download(f"{drawn.name}.{form}", uri)
            case _:
                return Download("", "")

    inputs = [bench.picker.state, bench.header.model, bench.seed, count, fresh]
    strip.select(said(save), inputs, strip, **light())
    return count


def _denoise_panel(bench: Bench, tab: gr.Tab, strip: tuple[gr.Slider, gr.Checkbox]) -> None:
    info = bench.studio.models.describe(bench.studio.settings.default_model)
    note(
        "What the model makes of a half-destroyed picture: the reverse process, started from "
        "$x_{@t}$ with the seed's noise (fresh noise is only looked at). The more of the picture "
        "is left, the less it can change."
    )
    with gr.Row(elem_classes="lab-row"):
        controls = run_controls(
            info, bench.header.model, bench.header.precision, bench.seed, bench.label, 150
        )
        variations = gr.Slider(1, 16, value=4, step=1, label="variations", min_width=120)
        button = gr.Button("Denoise", variant="primary", min_width=120, scale=0)
    with gr.Column(elem_classes="lab-player"):
        player = Player(label="denoised")
    open_with(tab, player, partial(stored, "denoising"))
    last = gr.State(stored_experiment("denoising"))
    _wire_denoising(bench, controls, variations, button, player, last)
    follow_model(bench.studio, controls)
    _wire_restoring(bench, controls, (*strip, variations))


def _wire_denoising(
    bench: Bench,
    controls: RunControls,
    variations: gr.Slider,
    button: gr.Button,
    player: Player,
    last: gr.State,
) -> None:
    lab, runs = bench.studio.noise_lab, LatestRun()

    def start(
        request: gr.Request, choice: Choice, t: int, count: float, *run: Any
    ) -> Iterator[tuple[Message, Any]]:
        def wish() -> Denoising:
            recipe = run_recipe(run, pictures=whole(count))
            return Denoising.checked(
                {"run": recipe, "source": choice.sources[0], "t": t, "seed": recipe.seed}
            )

        yield from keeping(runs.follow(request, tell(bench.studio.models, lab, wish)))

    def asked(experiment: Denoising | None, event: gr.EventData) -> Message:
        return answer(lab, experiment, PlayerEvent.of(event))

    inputs = [bench.picker.state, bench.time, variations, *controls.inputs]
    running = button.click(start, inputs, [player, last], **restarted())
    player.select(said(asked), last, player, **streaming())
    player.stop(fn=None, cancels=[running], api_visibility="private")


def _wire_restoring(
    bench: Bench, controls: RunControls, panels: tuple[gr.components.Component, ...]
) -> None:
    header, picker = bench.header, bench.picker
    outputs = [
        *(picker.state, picker.instrument, header.model, header.precision),
        *(bench.time, bench.seed, bench.label, *panels),
        *(controls.sampler, controls.steps, controls.eta, header.tabs),
    ]
    dropped = header.drop.upload(
        said(restorer(TAB, noise_values, outputs, bench.studio)),
        [picker.state, header.drop],
        outputs,
        **streaming(),
    )
    picker.follow(dropped)
