"""The public API of the laboratories Mix and Bound."""

from typing import Any, Final

import gradio as gr
from gradio.events import api

from app.errors import RecipeError
from app.service.laboratory.bounds import BoundMoment
from app.service.laboratory.experiments import Bounding, Grid, Mixing, Morph, SeedMorph
from app.service.studio import Studio
from app.ui.faults import said
from app.ui.files import saved_file
from app.ui.lab_api import ETA, Json, described, films, plain, run_of, source_of

ROWS: Final = (0, 125, 250, 375, 500, 625, 750, 875, 1000)


def add_mix_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Mix laboratory; all of them run the network."""
    lab, default = studio.mix_lab, studio.settings.default_model

    def pair(
        first: gr.FileData, second: gr.FileData, rule: str, run: tuple[Any, ...], fit: str
    ) -> Json:
        recipe = run_of(*run)
        return {
            "run": recipe,
            "first": source_of(studio, first, recipe.model, fit),
            "second": source_of(studio, second, recipe.model, fit),
            "rule": rule,
            "seed": recipe.seed,
        }

    def mix(
        first: gr.FileData,
        second: gr.FileData,
        t: int = 500,
        mix: float = 0.5,
        rule: str = "linear",
        model: str = default,
        fit: str = "crop",
        sampler: str = "ddpm",
        steps: int = 200,
        eta: float = ETA,
        seed: int = 0,
        variations: int = 1,
        precision: str = "exact",
        label: int | None = None,
    ) -> tuple[list[gr.FileData], list[Json]]:
        """Mix two pictures at x_t and decode the mixture: PNG files and their experiments."""
        run = (model, sampler, steps, eta, seed, variations, precision, label)
        wish = pair(first, second, rule, run, fit) | {"t": t, "mix": float(mix)}
        return films(lab.results(lab.complete(Mixing.checked(wish))))

    def mix_variances(
        first: gr.FileData,
        second: gr.FileData,
        t: int = 500,
        model: str = default,
        fit: str = "crop",
        seed: int = 0,
    ) -> list[Json]:
        """What every mixing rule does to the variance of x_t and of its noise, over lambda."""
        run = (model, "ddpm", 1, ETA, seed, 1, "exact", _first_label(studio, model))
        wish = pair(first, second, "linear", run, fit) | {"t": t}
        return [plain(found) for found in lab.variances(Mixing.checked(wish))]

    def mix_grid(
        first: gr.FileData,
        second: gr.FileData,
        rows: list[int] | None = None,
        between: int = 5,
        rule: str = "linear",
        share_noise: bool = True,
        model: str = default,
        fit: str = "crop",
        sampler: str = "ddpm",
        steps: int = 200,
        eta: float = ETA,
        seed: int = 0,
        precision: str = "exact",
        label: int | None = None,
    ) -> tuple[gr.FileData, Json]:
        """Paint the grid of mixtures, t from row to row and lambda from column to column.

        Returns the labelled sheet as a PNG with its experiment inside, and the experiment.
        """
        run = (model, sampler, steps, eta, seed, 1, precision, label)
        wish = pair(first, second, rule, run, fit) | {
            "rows": tuple(ROWS if rows is None else rows),
            "between": between,
            "share_noise": share_noise,
        }
        grid = lab.complete(Grid.checked(wish))
        result = lab.grid_result(grid)
        return saved_file(f"{result.name}.png", result.png()), described(grid)

    def mix_morph(
        first: gr.FileData,
        second: gr.FileData,
        t: int = 500,
        frames: int = 16,
        rule: str = "linear",
        model: str = default,
        fit: str = "crop",
        sampler: str = "ddpm",
        steps: int = 200,
        eta: float = ETA,
        seed: int = 0,
        precision: str = "exact",
        label: int | None = None,
    ) -> tuple[gr.FileData, gr.FileData, Json]:
        """Morph one picture into another over lambda: a GIF, a strip, the experiment."""
        run = (model, sampler, steps, eta, seed, 1, precision, label)
        wish = pair(first, second, rule, run, fit) | {"t": t, "frames": frames}
        return morphed(Morph.checked(wish))

    def seed_morph(
        first_seed: int,
        second_seed: int,
        frames: int = 16,
        model: str = default,
        sampler: str = "ddpm",
        steps: int = 200,
        eta: float = ETA,
        precision: str = "exact",
        label: int | None = None,
    ) -> tuple[gr.FileData, gr.FileData, Json]:
        """Morph along the arc between two seeds' x_T: a GIF, a strip, the experiment."""
        run = run_of(model, sampler, steps, eta, first_seed, 1, precision, label)
        return morphed(SeedMorph.checked({"run": run, "second": second_seed, "frames": frames}))

    def morphed(wish: Morph | SeedMorph) -> tuple[gr.FileData, gr.FileData, Json]:
        morph = lab.complete(wish)
        result = lab.morph_result(morph)
        return (
            saved_file(f"{result.name}.gif", result.animation("gif")),
            saved_file(f"{result.name}-strip.png", result.strip()),
            described(morph),
        )

    for endpoint in (mix, mix_variances, mix_grid, mix_morph, seed_morph):
        api(said(endpoint), api_name=endpoint.__name__, concurrency_id=network)


def add_bound_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Bound laboratory."""
    lab, default = studio.bound_lab, studio.settings.default_model

    def bound(
        picture: gr.FileData,
        model: str = default,
        fit: str = "crop",
        kind: str = "picture",
        terms: int | None = 50,
        draws: int = 2,
        variance: str = "fixed_small",
        clip: bool = True,
        seed: int = 0,
        precision: str = "exact",
        label: int | None = None,
    ) -> tuple[list[Json], Json]:
        """Compute the evidence lower bound of a picture, in bits per dimension.

        Returns every term with its error and the totals so far, and the experiment. `kind` is
        picture, or shuffled for the same pixels in another order; `terms` null is all of them.
        """
        subject = {"kind": kind, "source": source_of(studio, picture, model, fit), "name": kind}
        wish = {"model": model, "subjects": (subject,), "terms": terms, "draws": draws}
        how = {"variance": variance, "clip": clip, "seed": seed}
        how |= {"precision": precision, "label": label}
        bounding = lab.complete(Bounding.checked(wish | how))
        moments = [item for item in lab.bound(bounding) if isinstance(item, BoundMoment)]
        return [_term(moment) for moment in moments], described(bounding)

    def bound_weights(model: str = default, variance: str = "fixed_small") -> Json:
        """The weight of each step's eps error in L_vlb, in bits/dim; in L_simple it is 1."""
        match variance:
            case "fixed_small" | "fixed_large":
                return dict(plain(lab.weights(model, variance)))
            case _:
                raise RecipeError(
                    f"There is no fixed variance {variance!r}.",
                    "Choose fixed_small or fixed_large.",
                )

    api(said(bound), api_name="bound", concurrency_id=network)
    api(said(bound_weights), api_name="bound_weights")


def _term(moment: BoundMoment) -> Json:
    about = {"kind": moment.kind, "t": moment.t, "weight": moment.weight}
    return about | dict(plain(moment.subjects[0]))


def _first_label(studio: Studio, model: str) -> int | None:
    return 0 if studio.models.describe(model).labels else None
