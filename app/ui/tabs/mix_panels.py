"""The Mix tab's panels that paint many pictures: the grid and the morphs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from app.diffusion.noise import MAX_SEED
from app.errors import RecipeError
from app.service.laboratory.experiments import (
    MAX_BETWEEN,
    MAX_ROWS,
    ROWS,
    Grid,
    Morph,
    SeedMorph,
    even_rows,
)
from app.service.laboratory.mixtures import GridResult, MorphResult
from app.service.studio import Studio
from app.ui.faults import said
from app.ui.instrument import LabInstrument, TimeSlider
from app.ui.keepsakes import first_grid, first_morph, stored_grid, stored_morph
from app.ui.latest import LatestRun
from app.ui.messages import Download, Message
from app.ui.mix_messages import WAYS
from app.ui.mix_stream import estimate_words, tell_grid, tell_morph
from app.ui.picker import Choice, Picker
from app.ui.run_controls import RunControls, run_recipe, whole
from app.ui.sheets import data_uri
from app.ui.tabs.lab_parts import keeping, light, note, open_with, quiet, restarted, streaming

TAB: Final = "mix"


@dataclass(frozen=True, eq=False)
class Blend:
    """What all panels of the tab share.

    Attributes:
        studio: What does the work.
        picker: Of A and B.
        time: The slider over t.
        mix: lambda.
        rule: How they are mixed.
        controls: Of the reverse process.
    """

    studio: Studio
    picker: Picker
    time: TimeSlider
    mix: gr.Slider
    rule: gr.Dropdown
    controls: RunControls

    @property
    def pair(self) -> list[gr.components.Component]:
        """What says which mixture is meant."""
        return [self.picker.state, self.time, self.mix, self.rule]


def mixing_fields(
    choice: Choice, rule: str, run: tuple[Any, ...], *, pictures: int = 1
) -> dict[str, object]:
    """What all experiments on a pair have in common."""
    recipe = run_recipe(run, pictures=pictures)
    first, second = choice.sources
    return {"run": recipe, "first": first, "second": second, "rule": rule, "seed": recipe.seed}


def grid_panel(blend: Blend, tab: gr.Tab) -> tuple[gr.Slider, gr.Slider, gr.Checkbox]:
    """Rows of t, columns of lambda, filled in as they come.

    Returns the number of rows, that of the lambdas between, and whether they share their noise.
    """
    note(
        "The paper's figure 9: $@t$ grows from row to row, $@l$ from A to B. Row $@t = 0$ "
        "mixes pixels without the network; *again* is what a picture becomes on its "
        "way there and back."
    )
    with gr.Row(elem_classes="lab-row"):
        rows = gr.Slider(2, MAX_ROWS, value=ROWS, step=1, label="rows", min_width=120)
        between = gr.Slider(
            1, MAX_BETWEEN, value=5, step=1, label="λ between A and B", min_width=120
        )
        share = gr.Checkbox(True, label="one noise on the way back for all cells", min_width=200)
        button = gr.Button("Paint the grid", variant="primary", min_width=120, scale=0)
    words = gr.HTML("&nbsp;", elem_classes="lab-estimate")
    instrument = LabInstrument("grid", tab=TAB, label="grid of mixtures")
    open_with(tab, instrument, first_grid)
    result = gr.State(None)
    lab, models, runs = blend.studio.mix_lab, blend.studio.models, LatestRun()

    def wish(
        choice: Choice, rule: str, rows: float, between: float, share: bool, *run: Any
    ) -> Grid:
        fields = mixing_fields(choice, rule, run)
        total = models.describe(str(run[0])).num_train_timesteps
        times = even_rows(total, whole(rows))
        return Grid.checked(
            fields | {"rows": times, "between": whole(between), "share_noise": share}
        )

    def estimate(*values: Any) -> str:
        grid = wish(*values)
        return estimate_words(lab.estimate(grid), len(grid.rows) * len(grid.mixes))

    def start(request: gr.Request, *values: Any) -> Iterator[tuple[Message, Any]]:
        yield from keeping(runs.follow(request, tell_grid(lab, lambda: wish(*values))))

    def save(result: GridResult | None) -> Message:
        shown = result or stored_grid()
        if shown is None:
            raise RecipeError("There is no grid yet.", "Paint one first.")
        return Download(f"{shown.name}.png", data_uri(shown.png(), "image/png"))

    inputs = [blend.picker.state, blend.rule, rows, between, share, *blend.controls.inputs]
    triggers = [tab.select, rows.change, between.change]
    _say_beforehand(triggers, blend.controls, estimate, inputs, words)
    running = button.click(start, inputs, [instrument, result], **restarted())
    instrument.select(said(save), result, instrument, **light())
    instrument.stop(fn=None, cancels=[running], api_visibility="private")
    return rows, between, share


def morph_panel(blend: Blend, tab: gr.Tab) -> tuple[gr.Radio, gr.Slider, gr.Number]:
    """An animation over lambda at the slider's t, or over the arc between two x_T.

    Returns which of both, the number of frames, and the second seed.
    """
    note(
        "An animation from A to B over $@l$ at the $@t$ above; or between two seeds, along "
        "the arc (slerp) from one $x_T$ to another, each painted from pure noise."
    )
    with gr.Row(elem_classes="lab-row"):
        way = gr.Radio(
            list(WAYS),
            value=WAYS[0],
            label="morph",
            min_width=260,
            elem_classes="studio-segments",
        )
        second = gr.Number(
            7, label="second seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=100
        )
        frames = gr.Slider(2, 64, value=16, step=1, label="frames", min_width=120)
        button = gr.Button("Paint the morph", variant="primary", min_width=120, scale=0)
    words = gr.HTML("&nbsp;", elem_classes="lab-estimate")
    instrument = LabInstrument("morph", tab=TAB, label="morph")
    open_with(tab, instrument, first_morph)
    result = gr.State(None)
    lab, runs = blend.studio.mix_lab, LatestRun()

    def wish(
        choice: Choice, t: int, rule: str, way: str, second: float, frames: float, *run: Any
    ) -> Morph | SeedMorph:
        if way != WAYS[0]:
            return SeedMorph.checked(
                {"run": run_recipe(run), "second": whole(second), "frames": whole(frames)}
            )
        return Morph.checked(mixing_fields(choice, rule, run) | {"t": t, "frames": whole(frames)})

    def estimate(*values: Any) -> str:
        morph = wish(*values)
        return estimate_words(lab.estimate(morph), morph.frames)

    def start(request: gr.Request, *values: Any) -> Iterator[tuple[Message, Any]]:
        yield from keeping(runs.follow(request, tell_morph(lab, lambda: wish(*values))))

    def save(result: MorphResult | None, event: gr.EventData) -> Message:
        shown = result or stored_morph()
        if shown is None:
            raise RecipeError("There is no morph yet.", "Paint one first.")
        match event._data:
            case {"ask": "gif" | "webp" as form}:
                uri = data_uri(shown.animation(form), f"image/{form}")
                return Download(f"{shown.name}.{form}", uri)
            case _:
                return Download(f"{shown.name}-strip.png", data_uri(shown.strip(), "image/png"))

    inputs = [
        *(blend.picker.state, blend.time, blend.rule, way, second, frames),
        *blend.controls.inputs,
    ]
    # The instrument tells when the slider over t has come to rest while the panel is seen.
    triggers = [tab.select, way.change, frames.change, instrument.input]
    _say_beforehand(triggers, blend.controls, estimate, inputs, words)
    running = button.click(start, inputs, [instrument, result], **restarted())
    instrument.select(said(save), result, instrument, **light())
    instrument.stop(fn=None, cancels=[running], api_visibility="private")
    return way, frames, second


def _say_beforehand(
    triggers: list[Any],
    controls: RunControls,
    estimate: Any,
    inputs: list[Any],
    words: gr.HTML,
) -> None:
    """Say how long it will take when the panel is opened and whenever that changes."""
    # One event for all of them, or an answer to an earlier one could come last.
    triggers = [*triggers, controls.steps.change, controls.sampler.change]
    gr.on(triggers, said(estimate), inputs, words, trigger_mode="always_last", **streaming())
    # These stand over all tabs: nobody may be looking, and the network isn't run for nobody.
    for over in (controls.model, controls.precision):
        over.change(lambda: "&nbsp;", outputs=words, **quiet())
