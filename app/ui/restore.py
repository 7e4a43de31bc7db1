"""A laboratory's PNG that is dropped on the page sets the controls that made it."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from app.errors import RecipeError
from app.service.laboratory.bounding import Bounding, Subject
from app.service.laboratory.experiment import Experiment, FromXt, Source
from app.service.laboratory.experiments import (
    AnyExperiment,
    Chain,
    Denoising,
    Grid,
    Inspection,
    Mixing,
    Morph,
    Noising,
    Pair,
    SeedMorph,
    even_rows,
    parse_experiment,
)
from app.service.laboratory.sources import decoded
from app.service.pictures import png_text
from app.service.recipe import Recipe
from app.service.studio import Studio
from app.ui.hub_panel import chosen_model
from app.ui.instrument import time_value
from app.ui.mix_messages import WAYS
from app.ui.picker import MAX_CHOSEN, Choice

NOISE_KINDS = (Noising, Chain, Inspection, Denoising)
MIX_KINDS = (Mixing, Grid, Morph, SeedMorph)


def experiment_in(png: bytes) -> AnyExperiment | None:
    """The experiment in a PNG's text; None where there is none.

    Raises:
        RecipeError: If there is one that can't be used.
    """
    try:
        text = png_text(png, Experiment.png_key)
    except RecipeError:
        return None
    return parse_experiment(text)


def noise_values(it: AnyExperiment, choice: Choice, studio: Studio) -> list[Any] | None:
    """Picker, model, precision, t, seed, label, the panels', the run's; None if not Noise's."""
    if not isinstance(it, NOISE_KINDS):
        return None
    run = it.run if isinstance(it, Denoising) else None
    model = it.run.model if isinstance(it, Denoising) else it.model
    total = studio.models.describe(model).num_train_timesteps
    chosen = choice.restored([_image(studio, model, it.source)])
    sampled = run or (it if isinstance(it, Inspection) else None)
    label = sampled.label if sampled else None
    strip = (it.moments, it.fresh) if isinstance(it, Noising) else (gr.skip(), gr.skip())
    return [
        *(chosen, chosen.message(), chosen_model(studio, model)),
        sampled.precision if sampled else gr.skip(),
        gr.skip() if isinstance(it, Noising) else time_value(it.t, total),
        it.seed,
        gr.skip() if label is None else label,
        *strip,
        run.pictures if run else gr.skip(),
        *_run_values(run),
    ]


def mix_values(it: AnyExperiment, choice: Choice, studio: Studio) -> list[Any] | None:
    """Picker, model, precision, seed, label, t, lambda, rule, the panels', the run's.

    None if it isn't Mix's.
    """
    if not isinstance(it, MIX_KINDS):
        return None
    pair = None if isinstance(it, SeedMorph) else it
    grid = it if isinstance(it, Grid) else None
    morph = it if isinstance(it, Morph | SeedMorph) else None
    total = studio.models.describe(it.run.model).num_train_timesteps
    chosen = choice
    if pair is not None:
        images = [_image(studio, it.run.model, source) for source in (pair.first, pair.second)]
        chosen = choice.restored(images)
    values: dict[str, Any] = {
        "precision": it.run.precision,
        "seed": pair.seed if pair else it.run.seed,
        "label": gr.skip() if it.run.label is None else it.run.label,
        "t": time_value(it.t, total) if isinstance(it, Mixing | Morph) else gr.skip(),
        "mix": it.mix if isinstance(it, Mixing) else gr.skip(),
        "rule": pair.rule if pair else gr.skip(),
        "variations": it.run.pictures if isinstance(it, Mixing) else gr.skip(),
        "rows": len(grid.rows) if grid and _are_even(grid.rows, total) else gr.skip(),
        "between": grid.between if grid else gr.skip(),
        "share": grid.share_noise if grid else gr.skip(),
        "way": WAYS[isinstance(it, SeedMorph)] if morph else gr.skip(),
        "frames": morph.frames if morph else gr.skip(),
        "second": it.second if isinstance(it, SeedMorph) else gr.skip(),
    }
    return [
        *(chosen, chosen.message(), chosen_model(studio, it.run.model)),
        *values.values(),
        *_run_values(it.run),
    ]


def bound_values(it: AnyExperiment, choice: Choice, studio: Studio) -> list[Any] | None:
    """Picker, model, others, shuffled, noise, terms, draws, ..., label; None if not Bound's."""
    if not isinstance(it, Bounding):
        return None
    shown = _pictures(it)
    kinds = {subject.kind for subject in it.subjects}
    images = [_image(studio, it.model, s.source) for s in shown if s.source]
    chosen = choice.restored(images, [subject.name for subject in shown])
    total = studio.models.describe(it.model).num_train_timesteps
    learned = any(each.variance == "learned" for each in it.each)
    return [
        *(chosen, chosen.message(), chosen_model(studio, it.model)),
        gr.update(choices=other_models(studio, it.model), value=[c.model for c in it.compared]),
        *("shuffled" in kinds, "noise" in kinds, total if it.terms is None else it.terms),
        *(it.draws, "learned" if learned else it.variance, it.clip, it.seed),
        gr.skip() if it.label is None else it.label,
    ]


def not_restored(it: AnyExperiment, studio: Studio) -> list[str]:
    """What of an experiment has no control on the page, or another value than the page's."""
    lost: dict[str, bool] = {}
    if isinstance(it, Noising | Chain):
        lost["schedule"] = it.schedule is not None
    if isinstance(it, Inspection):
        lost["clipping"] = not it.clip
    if isinstance(it, FromXt):
        total = studio.models.describe(it.run.model).num_train_timesteps
        lost["clipping"] = not it.run.clip
        lost["guidance"] = it.run.guidance_scale != 1
        lost["spacing"] = it.run.spacing != "trailing"
        lost["second seed"] = isinstance(it, Denoising | Pair) and it.seed != it.run.seed
        lost["rows"] = isinstance(it, Grid) and not _are_even(it.rows, total)
        lost["separate noises"] = isinstance(it, Morph) and not it.share_noise
        lost["weights"] = bool(studio.painter.differences(it.run))
    if isinstance(it, Bounding):
        others = {subject.kind for subject in it.subjects} - {"picture"}
        lost["pictures"] = len(_pictures(it)) + len(others) < len(it.subjects)
        lost["precision"] = it.precision != "exact"
    return [name for name, is_lost in lost.items() if is_lost]


def other_models(studio: Studio, model: str) -> list[tuple[str, str]]:
    """What `model` can be compared with: what it is called and its id."""
    return [(info.summary, info.id) for info in studio.models.list() if info.id != model]


def restorer(
    kind: str,
    values: Callable[[AnyExperiment, Choice, Studio], list[Any] | None],
    outputs: Sequence[Any],
    studio: Studio,
) -> Callable[[Choice, bytes], list[Any]]:
    """What deals with a dropped PNG in one laboratory; the page's tabs are the last output."""

    def dropped(choice: Choice, png: bytes) -> list[Any]:
        it = experiment_in(png)
        found = None if it is None else values(it, choice, studio)
        if it is None or found is None:
            return [gr.skip()] * len(outputs)
        name = "bound" if isinstance(it, Bounding) else it.experiment.replace("_", " ")
        if lost := not_restored(it, studio):
            gr.Warning(
                f"The settings of this {name} are restored, but for its {' and '.join(lost)}, "
                "for which the page has no control."
            )
        else:
            gr.Info(f"The settings of this {name} are restored: it can be done again.")
        return [*found, gr.Tabs(selected=kind)]

    return dropped


def _run_values(run: Recipe | None) -> list[Any]:
    return [gr.skip()] * 3 if run is None else [run.sampler, run.steps, run.eta]


def _are_even(rows: tuple[int, ...], total: int) -> bool:
    return len(rows) > 1 and rows == even_rows(total, len(rows))


def _pictures(it: Bounding) -> list[Subject]:
    """Those that the page has room for."""
    return [s for s in it.subjects if s.kind == "picture" and s.source][:MAX_CHOSEN]


def _image(studio: Studio, model: str, source: Source) -> Image.Image:
    """A source itself, not only as one model sees it; what was painted is painted again."""
    if source.pixels is not None:
        return decoded(source.pixels)
    return Image.fromarray(np.asarray(studio.noise_lab.picture(model, source)))
