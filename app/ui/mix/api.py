"""The public API of the laboratory Mix."""

from dataclasses import replace
from typing import Annotated, Any

import gradio as gr

from app.fields import Fields
from app.laboratory import experiments as exp
from app.painting.recipe import Recipe, Seed
from app.studio import Studio
from app.ui.callers import Steps
from app.ui.endpoints import arguments as arg
from app.ui.endpoints.arguments import Json
from app.ui.endpoints.endpoint import expose
from app.ui.endpoints.experiments import ETA, asked, described, films, plain, shown, way_back
from app.ui.endpoints.files import saved_file


def add_mix_api(studio: Studio, network: str) -> None:
    """Add the endpoints of the Mix laboratory; all of them run the network."""
    lab, seen = studio.mix_lab, shown(studio)

    def mix(
        first: arg.First,
        second: arg.Second,
        **how: Annotated[
            Any,
            Fields(exp.Mixing, ("t", "mix", "rule")),
            seen,
            way_back(),
            Fields(exp.Mixing),
        ],
    ) -> Steps[tuple[list[gr.FileData], list[Json]]]:
        """Mix two pictures at x_t, and decode the mixture.

        Returns:
            files: The PNG files, each with its experiment inside.
            experiments: All it takes to do each again.
        """
        wish = asked(studio, exp.Mixing, how, first, second)
        return films((yield from lab.films.picture_steps(lab.complete(wish))))

    def mix_variances(
        first: arg.First,
        second: arg.Second,
        **how: Annotated[Any, Fields(exp.Mixing, ("t",)), seen, Fields(Recipe, ("seed",))],
    ) -> list[Json]:
        """Tell what every mixing rule does to the variance of x_t and of its noise.

        Returns:
            rules: Of each its mixes (lambda), noise_variance and x_t_variance at each.
        """
        label = studio.models.describe(how["model"]).some_label
        how |= {"sampler": "ddpm", "steps": 1, "label": label}
        wish = asked(studio, exp.Mixing, how, first, second)
        return [plain(found) for found in lab.variances(lab.complete(wish))]

    def mix_grid(
        first: arg.First,
        second: arg.Second,
        rows: arg.Rows = None,
        **how: Annotated[
            Any,
            Fields(exp.Grid, ("between", "rule", "share_noise")),
            seen,
            way_back("pictures"),
            Fields(exp.Grid),
        ],
    ) -> Steps[tuple[gr.FileData, Json]]:
        """Paint the grid of mixtures: t from row to row, lambda from column to column.

        Returns:
            sheet: The labelled grid as a PNG, its experiment inside.
            experiment: All it takes to do it again.
        """
        how["rows"] = _rows(studio, how["model"], rows)
        grid = lab.complete(asked(studio, exp.Grid, how, first, second))
        result = yield from lab.grids.steps(grid)
        return saved_file(f"{result.name}.png", result.png()), described(grid.request)

    def mix_grid_time(
        first: arg.First,
        second: arg.Second,
        rows: arg.Rows = None,
        **how: Annotated[
            Any,
            Fields(exp.Grid, ("between",)),
            seen,
            way_back("eta", "seed", "pictures", "stage_seed"),
        ],
    ) -> Json:
        """Tell how long a grid will take here, from a network step measured just now.

        Returns:
            time: network_steps, seconds_per_step and seconds.
        """
        how |= {"eta": ETA, "rows": _rows(studio, how["model"], rows)}
        wish = asked(studio, exp.Grid, how, first, second)
        return dict(plain(lab.estimate(lab.complete(wish))))

    def mix_morph(
        first: arg.First,
        second: arg.Second,
        **how: Annotated[
            Any,
            Fields(exp.Morph, ("t", "frames", "rule")),
            seen,
            replace(way_back(), names=("sampler", "steps", "eta", "seed", "precision", "label")),
            Fields(exp.Morph, ("share_noise",)),
            way_back("pictures"),
            Fields(exp.Morph),
        ],
    ) -> Steps[tuple[gr.FileData, gr.FileData, Json]]:
        """Morph one picture into another, over lambda.

        Returns:
            animation: A GIF.
            strip: Its frames in a row as a PNG, the experiment inside.
            experiment: All it takes to do it again.
        """
        return (yield from morphed(asked(studio, exp.Morph, how, first, second)))

    def seed_morph(
        first_seed: Seed,
        second_seed: Seed,
        **how: Annotated[
            Any,
            Fields(exp.SeedMorph, ("frames",)),
            replace(seen, names=("model",)),
            way_back("seed", "pictures"),
            Fields(exp.SeedMorph, without=("second",)),
        ],
    ) -> Steps[tuple[gr.FileData, gr.FileData, Json]]:
        """Morph along the arc between the x_T of two seeds.

        Returns:
            animation: A GIF.
            strip: Its frames in a row as a PNG, the experiment inside.
            experiment: All it takes to do it again.
        """
        seeds = {"seed": first_seed, "second": second_seed}
        return (yield from morphed(asked(studio, exp.SeedMorph, how | seeds)))

    def morphed(wish: exp.Morph | exp.SeedMorph) -> Steps[tuple[gr.FileData, gr.FileData, Json]]:
        morph = lab.complete(wish)
        result = yield from lab.morphs.steps(morph)
        return (
            saved_file(f"{result.name}.gif", result.animation("gif")),
            saved_file(f"{result.name}-strip.png", result.strip()),
            described(morph.request),
        )

    for endpoint in (mix, mix_variances, mix_grid, mix_grid_time, mix_morph, seed_morph):
        expose(endpoint, concurrency_id=network)


def _rows(studio: Studio, model: str, rows: list[int] | None) -> tuple[int, ...]:
    if rows is None:
        return exp.even_rows(studio.models.describe(model).num_train_timesteps)
    return tuple(rows)
