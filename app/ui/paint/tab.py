"""Paint: the easel. Controls on the left, the player and its examples on the right."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from dataclasses import fields as dataclass_fields
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import gradio as gr

from app.diffusion.samplers.registry import SAMPLER_KINDS
from app.fields import whole
from app.images.encoding import jpeg_bytes
from app.images.reading import own_picture, square
from app.models.fields import GUIDANCE_FIELDS
from app.models.files import ModelInfo
from app.painting.examples import Example, load_examples
from app.painting.recipe import (
    SOURCE_FIELDS,
    STAGE_FIELDS,
    STEP_FIELDS,
    VARIATION_FIELDS,
    Recipe,
    read_recipe,
)
from app.settings import ASSETS
from app.studio import Studio
from app.ui.browser import OFFER
from app.ui.components import recipe_controls as easel
from app.ui.components.films import LatestRun, failure, recipe_of, run_key
from app.ui.components.instrument import LabComponent
from app.ui.components.laboratory import experiment_in
from app.ui.components.layout import Header, chosen_model, light, quiet, restarted
from app.ui.components.messages import ExampleRow, Message, Thumb
from app.ui.components.numbers import Slider
from app.ui.components.player import FILES, Opening, Player, PlayerEvent, Visit
from app.ui.components.recipe_controls import Controls, follow_model, following, in_pixels
from app.ui.errors import errors_to_page
from app.ui.paint.sheet import sheet_panel
from app.ui.paint.start import KeptStart, StartControls
from app.ui.paint.stream import file_messages, film_message, paint_messages, with_previews
from app.ui.served import served

DEFAULT_SEED: Final = 42

MAX_VARIATIONS: Final = 8

SHORT_SEEDS: Final = 1_000_000
"""The seeds that are drawn for branches and variations: short enough to be read out."""

THUMB_SIDE: Final = 160
"""The side of an example in the row, in pixels."""

FOLDED: Final = """() => (
    { __type__: "update", open: !window.matchMedia("(max-width: 960px)").matches }
)"""
"""Folds an accordion where the columns stand one under the other."""


def paint_tab(studio: Studio, header: Header, _: gr.Tab) -> None:
    """Build the tab, which has the header's `drop` among its controls."""
    examples = load_examples(ASSETS / "showcase")
    with gr.Row(elem_classes="studio-easel"):
        with gr.Column(elem_classes="studio-controls", scale=0, min_width=300):
            with gr.Accordion("settings", elem_classes="studio-fold") as folded:
                start = StartControls(studio, header)
                fields, keep, variations = _controls(studio, header, examples)
            start.add_ways_in(folded)
            paint = gr.Button("Paint", variant="primary", elem_classes="studio-paint")
            with gr.Row(elem_id="recipe-drop"):
                # Not inside "more": what is folded away is not on the page, and can't take a drop.
                header.drop.render()
            if studio.settings.static_dir:
                gr.HTML(OFFER)
        with gr.Column(elem_classes="studio-pictures", scale=1):
            first = examples[0] if examples else None
            opening = with_previews(film_message(studio, first), first) if first else None
            player = Player(opening, label="painting", keeps=True)
            LabComponent("shelf", tab="paint", label="the runs that this browser keeps")
            sheet_panel(studio, header, fields, partial(_followed, studio, fields))
            if examples:
                _example_row(studio, examples, fields, start, player)
    header.page.load(None, None, folded, js=FOLDED)
    follow_model(studio, header.model, fields)
    settings = Controls(fields, variations=variations, keep=keep)
    runs = LatestRun()
    _wire_painting(studio, fields, start, keep, variations, paint, player, runs)
    _wire_recipes(studio, fields, start, settings, player, header, runs)
    _keep_settings(settings)


def _controls(
    studio: Studio, header: Header, examples: Sequence[Example]
) -> tuple[Controls, gr.Checkbox, Slider]:
    """Build the controls of the recipe's fields, the seed's switch, and a branch's variations.

    The seed is that of the example which the player opens with, where the chosen model painted it.
    """
    info = studio.models.describe(studio.settings.default_model)
    with gr.Row(elem_classes="studio-presets"):
        presets = [gr.Button(**look, size="sm", min_width=60) for look in _preset_looks(info)]
    fields = Controls(model=header.model, precision=header.precision)
    kind = SAMPLER_KINDS[easel.DEFAULT.sampler]
    choices = easel.sampler_choices(info)
    fields["sampler"] = easel.control(Recipe, "sampler", choices=choices, info=kind.about)
    most = easel.most_steps(info)
    steps = {"maximum": most, "value": min(easel.DEFAULT.steps, most)}
    fields["steps"] = easel.control(Recipe, "steps", **steps)
    fields["eta"] = easel.control(Recipe, "eta", visible=kind.uses_eta)
    seeds = [each.recipe.seed for each in examples[:1] if each.recipe.model == info.id]
    fields["seed"], keep = easel.kept_seed_control(value=seeds[0] if seeds else DEFAULT_SEED)
    fields["pictures"] = easel.control(Recipe, "pictures", value=4)
    fields["label"] = easel.label_control(studio, header.model)
    scale, *interval = GUIDANCE_FIELDS
    fields |= easel.guidance_controls(info, scale)
    fields |= easel.stage_controls(studio, header.model, large=True)
    with gr.Accordion("more", open=False):
        fields |= easel.guidance_controls(info, *interval)
        # A picture's variations are asked for beside it: the form is that of its seed.
        easel.add_rest(fields, Recipe, without=(*SOURCE_FIELDS, *VARIATION_FIELDS))
        variations = Slider(
            1,
            MAX_VARIATIONS,
            value=4,
            step=1,
            label="variations",
            info="of a branch, or of a picture that is to be a little different",
        )
    _wire_presets(studio, header, fields, presets)
    return fields, keep, variations


def _preset_looks(info: ModelInfo) -> list[dict[str, Any]]:
    """Return what the presets' buttons are called for a model: COMMON, then its schedules'."""
    names = [*easel.presets(info)]
    names += [""] * (easel.COMMON + easel.MAX_OFFERED - len(names))
    return [{"value": name, "visible": bool(name)} for name in names]


def _wire_presets(
    studio: Studio, header: Header, fields: Controls, buttons: Sequence[gr.Button]
) -> None:
    """Let each button set its preset, as the chosen model has it, and be called so.

    A list of steps is forgotten as soon as a person sets what is in it, or another model; with
    another sampler or number of steps it isn't read (`Controls.read`).
    """

    def values(place: int, model: str) -> Any:
        preset = easel.preset(studio, model, place)
        return astuple(preset) if preset else gr.skip()

    def looks(model: str) -> list[Any]:
        return [gr.update(**look) for look in _preset_looks(studio.models.describe(model))]

    set_by_preset = [fields[each.name] for each in dataclass_fields(easel.Preset)]
    for place, button in enumerate(buttons):
        chosen = following(partial(values, place))
        button.click(chosen, header.model, set_by_preset, queue=False, **quiet())
    header.model.change(following(looks), header.model, [*buttons], **quiet())
    instead = [fields[name] for name in ("model", "spacing", "eta")]
    lists = [fields[name] for name in STEP_FIELDS]
    forgets = [control.input for control in instead]
    gr.on(forgets, lambda: [None] * len(lists), None, lists, queue=False, **quiet())


def _example_row(
    studio: Studio,
    examples: tuple[Example, ...],
    fields: Controls,
    start: StartControls,
    player: Player,
) -> None:
    thumbs = [jpeg_bytes(square(own_picture(e.path), THUMB_SIDE), 75) for e in examples]
    names = [f"seed {e.recipe.seed}" for e in examples]
    shown = (Thumb(served(data, "jpg"), name) for data, name in zip(thumbs, names, strict=True))
    # Gradio's gallery brings 170 KB for videos, which there are none of.
    gallery = LabComponent(
        "examples",
        ExampleRow(f"painted by {examples[0].recipe.model}", tuple(shown)),
        tab="paint",
        label="finished paintings",
        elem_classes="studio-examples",
    )

    def open_example(event: gr.SelectData) -> list[Any]:
        example = examples[int(event.index)]
        updates = _updates(studio, fields, example.recipe)
        return [film_message(studio, example), *updates, *start.updates(example.recipe)]

    gallery.select(None, None, None, js="() => pleinAir.showPlayer('paint')")
    outputs = [player, *fields.all, *start.outputs]
    gallery.select(open_example, outputs=outputs, queue=False, **quiet())


def _wire_painting(
    studio: Studio,
    fields: Controls,
    start: StartControls,
    keep: gr.Checkbox,
    variations: Slider,
    paint: gr.Button,
    player: Player,
    runs: LatestRun,
) -> None:
    def begin(request: gr.Request, *values: Any) -> Iterator[Message]:
        own, begun = values[: len(fields)], values[len(fields) :]

        def wish() -> Recipe:
            recipe = fields.recipe(studio, own)
            held = start.fields(dict(recipe), *begun)
            return Recipe.checked(recipe.model_dump() | held) if held else recipe

        run = paint_messages(studio, wish, source=start.run(*begun))
        yield from runs.follow(request, run)

    brushwork = fields.brushwork

    def asked(
        variations: float, event: gr.EventData, request: gr.Request, *values: Any
    ) -> Iterator[Message]:
        try:
            wish = PlayerEvent.of(event)
            recipe = recipe_of(wish.run, wish.recipe).for_picture(wish.picture)
        except Exception as error:
            yield failure(error)
            return
        if wish.action in FILES:
            file = file_messages(studio, recipe, wish)
            # Two files of a remembered run may be made at once; painting again is a run itself.
            at_hand = studio.painter.films.remembered(recipe) is not None
            yield from file if at_hand else runs.follow(request, file)
            return
        again: Callable[[], Recipe]
        if wish.action == "enlarge":
            again = partial(_enlargement, studio, recipe, wish.frame, brushwork.read(values))
        elif wish.action == "whole":
            again = partial(Recipe.for_picture, recipe, recipe.picture)
        else:
            new = int(variations), secrets.randbelow(SHORT_SEEDS)
            if wish.action == "branch":
                again = partial(studio.painter.branch, recipe, wish.frame, *new)
            else:
                again = partial(studio.painter.variations, recipe, *new, wish.strength)
        run = paint_messages(studio, again, source=run_key(wish.run))
        yield from runs.follow(request, run)

    seed = fields["seed"]
    paint.click(None, None, None, js="() => pleinAir.showPlayer('paint')")
    drawn = paint.click(None, [seed, keep], seed, js="pleinAir.nextSeed")
    painting = drawn.then(begin, [*fields.all, *start.inputs], player, **restarted())
    asking = player.select(asked, [variations, *brushwork.all], player, **restarted())
    player.stop(fn=None, cancels=[painting, asking], api_visibility="private")


def _updates(studio: Studio, fields: Controls, recipe: Recipe) -> list[Any]:
    """Return the updates that set the form to a recipe, or to the run that it branches from."""
    info = studio.models.describe(recipe.model)
    brushwork = {name: getattr(recipe, name) for name in STAGE_FIELDS}
    updates = fields.updates(recipe.root.model_copy(update=brushwork), info)
    updates["size"] = easel.size_update(studio, info, recipe.size)
    updates["model"] = chosen_model(studio, recipe.model)
    return [*updates.values()]


def _followed(studio: Studio, fields: Controls, recipe: Recipe) -> dict[Any, Any]:
    return dict(zip(fields.all, _updates(studio, fields, recipe), strict=True))


def _keep_settings(settings: Controls) -> None:
    """Let the browser keep the values of the form's `settings`, whenever one changes."""
    gr.on(
        [control.change for control in settings.values()],
        None,
        settings.all,
        js=f"(...values) => pleinAir.keepSettings({json.dumps([*settings])}, values)",
        **quiet(),
    )


def _enlargement(studio: Studio, recipe: Recipe, frame: int, how: Mapping[str, object]) -> Recipe:
    painter = studio.painter
    return painter.enlargement(recipe, how, painter.truncation(recipe, frame))


def _wire_recipes(
    studio: Studio,
    fields: Controls,
    start: StartControls,
    settings: Controls,
    player: Player,
    header: Header,
    runs: LatestRun,
) -> None:
    restored = gr.State(("", ""))  # a new token each time, and a recipe

    def restore(recipe: Recipe) -> dict[Any, Any]:
        studio.painter.complete(recipe)
        if difference := studio.painter.differences(recipe):
            gr.Warning(difference)
        elif not recipe.parent:
            gr.Info("The recipe is restored, and painted again.")
        return {
            **followed(recipe),
            settings["keep"]: True,
            restored: (uuid4().hex, recipe.to_json()),
        }

    def followed(recipe: Recipe) -> dict[Any, Any]:
        starts = zip(start.outputs, start.updates(recipe), strict=True)
        return _followed(studio, fields, recipe) | dict(starts)

    def dropped(png: Path) -> dict[Any, Any]:
        if experiment_in(png) is not None:
            return {restored: gr.skip()}  # a laboratory's PNG, with which its tab deals
        with png.open("rb") as file:
            return restore(read_recipe(file))

    def opened(told: str) -> dict[Any, Any]:
        opening = Opening.read(told)
        if opening.link:
            return restore(Recipe.from_link(opening.link))
        updates: dict[Any, Any] = {restored: gr.skip()}
        if opening.settings is not None:
            updates = set_to(opening.settings)
        if opening.start is not None:
            begun = start.restored(KeptStart.read(opening.start))
            updates |= zip(start.outputs, begun, strict=True)
        return updates

    def set_to(kept: Mapping[str, Any]) -> dict[Any, Any]:
        values = {name: whole(kept[name]) for name in fields if name in kept}
        updates = followed(Recipe.checked(in_pixels(studio, values)))
        if (number := whole(kept.get("variations"))) in range(1, MAX_VARIATIONS + 1):
            updates[settings["variations"]] = number
        updates[settings["keep"]] = kept.get("keep") is True
        return updates

    def visited(event: gr.EventData) -> list[Any]:
        visit = Visit.of(event)
        recipe = recipe_of(visit.run, visit.recipe)
        return [*_updates(studio, fields, recipe), *start.updates(recipe)]

    def paint_restored(restored: tuple[str, str], request: gr.Request) -> Iterator[Message]:
        # The controls can't say where a branch began, nor which picture is meant.
        run = paint_messages(studio, partial(Recipe.from_json, restored[1]))
        yield from runs.follow(request, run)

    told = gr.Textbox(visible=False, label="what the page opens with")
    outputs = [*settings.all, *start.outputs, restored]
    tell = "async () => [await pleinAir.openingWords()]"
    header.drop.upload(errors_to_page(dropped), header.drop, outputs, **quiet())
    header.page.load(errors_to_page(opened), told, outputs, js=tell, **quiet())
    # Only what changes it: a page that opens with no recipe needn't wait in the network's line.
    painting = restored.change(paint_restored, restored, player, **restarted())
    player.stop(fn=None, cancels=[painting], api_visibility="private")
    player.input(errors_to_page(visited), None, [*fields.all, *start.outputs], **light())
