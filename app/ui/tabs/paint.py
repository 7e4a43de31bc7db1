"""Paint: the easel. Controls on the left, the player and its examples on the right."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr

from app.diffusion.noise import MAX_SEED
from app.service.models import ModelInfo
from app.service.painting import SAMPLER_KINDS
from app.service.pictures import read_recipe
from app.service.recipe import Recipe
from app.service.showcase import Example, load_examples
from app.service.studio import Studio
from app.settings import ASSETS
from app.ui import controls as easel
from app.ui.controls import Controls
from app.ui.faults import said
from app.ui.hub_panel import chosen_model
from app.ui.latest import LatestRun
from app.ui.player import Message, Player, PlayerEvent
from app.ui.restore import experiment_in
from app.ui.run_controls import follow_label
from app.ui.stream import failure, file_messages, film_message, paint_messages, recipe_of

NETWORK: Final = "network"
"""The concurrency group of all events that paint."""

MAX_PAINTERS: Final = 16

RESTARTED: Final[dict[str, Any]] = {"trigger_mode": "multiple"}
"""Else Gradio ignores a click until it has heard that the run before is over; see LatestRun."""


def paint_tab(
    studio: Studio, model: gr.Dropdown, precision: gr.Radio, page: gr.Blocks
) -> gr.UploadButton:
    """Build the tab; `model` and `precision` stand in the page's header.

    Returns where saved PNGs are dropped.
    """
    info = studio.models.describe(studio.settings.default_model)
    examples = load_examples(ASSETS / "showcase")
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            tab = _controls(info, model, precision)
        with gr.Column(elem_classes="studio-pictures", scale=1):
            player = Player(film_message(examples[0]) if examples else None, label="painting")
            if examples:
                _example_row(examples, player)
    _wire_controls(studio, tab.fields)
    runs = LatestRun()
    _wire_painting(studio, tab, player, runs)
    _wire_recipes(studio, tab, player, page, runs)
    return tab.recipe_file


@dataclass(frozen=True, eq=False)
class _Easel:
    """The tab's controls; beside the recipe's `fields` those that are the page's own."""

    fields: Controls
    variations: gr.Slider
    paint: gr.Button
    recipe_file: gr.UploadButton


def _controls(info: ModelInfo, model: gr.Dropdown, precision: gr.Radio) -> _Easel:
    with gr.Row(elem_classes="studio-presets"):
        presets = {name: gr.Button(name, size="sm", min_width=60) for name in easel.PRESETS}
    sampler = easel.sampler_control(info)
    steps, eta = easel.steps_control(), easel.eta_control()
    with gr.Row(elem_classes="studio-seed"):
        seed = easel.seed_control()
        dice = gr.Button("⟳", elem_classes="studio-dice", min_width=44, scale=0)
    pictures = easel.pictures_control()
    label, guidance_scale = easel.label_control(info), easel.guidance_control(info)
    with gr.Accordion("more", open=False):
        spacing, clip = easel.spacing_control(), easel.clip_control()
        variations = gr.Slider(
            1, 8, value=4, step=1, label="variations", info="of a branch painted from the slider"
        )
    paint = gr.Button("Paint", variant="primary", elem_classes="studio-paint")
    with gr.Row(elem_id="recipe-drop"):
        # Not inside "more": what is folded away is not on the page, and couldn't take a drop.
        recipe_file = gr.UploadButton(
            "Open a saved PNG, or drop it anywhere", file_types=[".png"], type="binary", size="sm"
        )
    fields = Controls(
        model, precision, sampler, steps, eta, seed, pictures, label, guidance_scale, spacing, clip
    )
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    dice.click(lambda: secrets.randbelow(MAX_SEED + 1), outputs=seed, queue=False, **private)
    for name, button in presets.items():
        choice = partial(_preset_values, easel.PRESETS[name])
        button.click(choice, outputs=[sampler, steps, eta], queue=False, **private)
    return _Easel(fields, variations, paint, recipe_file)


def _preset_values(preset: easel.Preset) -> tuple[str, int, float]:
    return preset.sampler, preset.steps, preset.eta


def _example_row(examples: tuple[Example, ...], player: Player) -> None:
    gallery = gr.Gallery(
        [(str(e.folder / f"{e.name}.png"), f"seed {e.recipe.seed}") for e in examples],
        label="painted by this model",
        columns=len(examples),
        allow_preview=False,
        show_label=True,
        interactive=False,
        height="auto",
        elem_classes="studio-examples",
    )

    def open_example(event: gr.SelectData) -> Message:
        return film_message(examples[int(event.index)])

    gallery.select(
        open_example, outputs=player, queue=False, show_progress="hidden", api_visibility="private"
    )


def _wire_controls(studio: Studio, fields: Controls) -> None:
    # Through the queue, though they are quick: only there does Gradio show a message.
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    def sampler_changed(sampler: str) -> tuple[Any, Any]:
        kind = SAMPLER_KINDS[sampler]
        return gr.update(info=kind.about), gr.update(visible=kind.uses_eta)

    def model_changed(model: str, sampler: str, guidance_scale: float) -> list[Any]:
        info = studio.models.describe(model)
        guided = easel.visibility(sampler, info)["guidance_scale"]
        choices = easel.sampler_choices(info)
        known = sampler in {name for _, name in choices}
        return [
            gr.update(choices=choices, value=sampler if known else easel.DEFAULT.sampler),
            gr.update(maximum=easel.most_steps(info)),
            gr.update(value=guidance_scale if guided else 1, visible=guided),
        ]

    fields.sampler.change(
        said(sampler_changed), fields.sampler, [fields.sampler, fields.eta], **quiet
    )
    fields.model.change(
        said(model_changed),
        [fields.model, fields.sampler, fields.guidance_scale],
        [fields.sampler, fields.steps, fields.guidance_scale],
        **quiet,
    )
    follow_label(studio, fields.model, fields.label)


def _wire_painting(studio: Studio, tab: _Easel, player: Player, runs: LatestRun) -> None:
    def start(request: gr.Request, *values: Any) -> Iterator[Message]:
        run = paint_messages(studio, lambda: easel.recipe_from(values))
        yield from runs.follow(request, run)

    def asked(variations: float, event: gr.EventData, request: gr.Request) -> Iterator[Message]:
        try:
            wish = PlayerEvent.of(event)
            recipe = recipe_of(wish.run).about(wish.picture)
        except Exception as error:
            yield failure(error)
            return
        if wish.action != "branch":
            file = file_messages(studio, recipe, wish.file_type)
            # Of a run at hand two files may be made at once; one that is painted again is a run.
            at_hand = studio.painter.remembered(recipe) is not None
            yield from file if at_hand else runs.follow(request, file)
            return
        seed = secrets.randbelow(MAX_SEED + 1)
        branch = partial(studio.painter.branch, recipe, wish.frame, int(variations), seed)
        yield from runs.follow(request, paint_messages(studio, branch))

    streaming: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_id": NETWORK,
        "concurrency_limit": MAX_PAINTERS,
        **RESTARTED,
    }
    painting = tab.paint.click(start, tab.fields.all, player, **streaming)
    asking = player.select(asked, tab.variations, player, **streaming)
    player.stop(fn=None, cancels=[painting, asking], api_visibility="private")


def _wire_recipes(
    studio: Studio, tab: _Easel, player: Player, page: gr.Blocks, runs: LatestRun
) -> None:
    branch = gr.State("")
    nothing = [gr.skip()] * (len(tab.fields.all) + 1)

    def restore(recipe: Recipe) -> list[Any]:
        studio.painter.complete(recipe)
        if difference := studio.painter.differences(recipe):
            gr.Warning(difference)
        elif not recipe.parent:
            gr.Info("The recipe is restored: Paint makes the same picture again.")
        updates = easel.updates_for(recipe.root, studio.models.describe(recipe.model))
        updates[easel.FIELDS.index("model")] = chosen_model(studio, recipe.model)
        return [*updates, recipe.to_json() if recipe.parent else ""]

    def dropped(png: bytes) -> list[Any]:
        if experiment_in(png) is not None:
            return [*nothing[1:], ""]  # a laboratory's; its tab deals with it
        return restore(read_recipe(png))

    def opened(request: gr.Request) -> list[Any]:
        link = request.query_params.get("recipe")
        return restore(Recipe.from_link(link)) if link else nothing

    def paint_branch(recipe: str, request: gr.Request) -> Iterator[Message]:
        # The controls can't say where a branch began, so it is painted at once.
        if recipe:
            run = paint_messages(studio, partial(Recipe.from_json, recipe))
            yield from runs.follow(request, run)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    outputs = [*tab.fields.all, branch]
    network: dict[str, Any] = {"concurrency_id": NETWORK, "concurrency_limit": MAX_PAINTERS}
    streaming = quiet | network | RESTARTED
    for event in (
        tab.recipe_file.upload(said(dropped), tab.recipe_file, outputs, **quiet),
        page.load(said(opened), None, outputs, **quiet),
    ):
        painting = event.success(paint_branch, branch, player, **streaming)
        player.stop(fn=None, cancels=[painting], api_visibility="private")
