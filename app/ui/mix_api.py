"""The public API of the laboratory Mix."""

from typing import Any

import gradio as gr

from app.diffusion.mixing import DEFAULT_RULE
from app.service.laboratory.experiments import Grid, Mixing, Morph, SeedMorph, even_rows
from app.service.studio import Studio
from app.ui import arguments as arg
from app.ui.arguments import Json
from app.ui.endpoint import expose
from app.ui.files import saved_file
from app.ui.lab_api import ETA, described, films, plain, run_of, source_of


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
        first: arg.First,
        second: arg.Second,
        t: arg.FreeT = 500,
        mix: arg.Mix = 0.5,
        rule: arg.Rule = DEFAULT_RULE,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        sampler: arg.Sampler = "ddpm",
        steps: arg.ShareOfSteps = 200,
        eta: arg.Eta = ETA,
        seed: arg.Seed = 0,
        variations: arg.Count = 1,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
    ) -> tuple[list[gr.FileData], list[Json]]:
        """Mix two pictures at x_t, and decode the mixture.

        Returns:
            files: The PNG files, each with its experiment inside.
            experiments: All it takes to do each again.
        """
        run = (model, sampler, steps, eta, seed, variations, precision, label)
        wish = pair(first, second, rule, run, fit) | {"t": t, "mix": float(mix)}
        return films(lab.results(lab.complete(Mixing.checked(wish))))

    def mix_variances(
        first: arg.First,
        second: arg.Second,
        t: arg.FreeT = 500,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        seed: arg.Seed = 0,
    ) -> list[Json]:
        """Tell what every mixing rule does to the variance of x_t and of its noise.

        Returns:
            rules: Of each its mixes (lambda), noise_variance and x_t_variance at each.
        """
        run = (model, "ddpm", 1, ETA, seed, 1, "exact", _first_label(studio, model))
        wish = pair(first, second, "linear", run, fit) | {"t": t}
        return [plain(found) for found in lab.variances(Mixing.checked(wish))]

    def mix_grid(
        first: arg.First,
        second: arg.Second,
        rows: arg.Rows = None,
        between: arg.Between = 5,
        rule: arg.Rule = DEFAULT_RULE,
        share_noise: arg.ShareNoise = True,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        sampler: arg.Sampler = "ddpm",
        steps: arg.ShareOfSteps = 200,
        eta: arg.Eta = ETA,
        seed: arg.Seed = 0,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
    ) -> tuple[gr.FileData, Json]:
        """Paint the grid of mixtures: t from row to row, lambda from column to column.

        Returns:
            sheet: The labelled grid as a PNG, its experiment inside.
            experiment: All it takes to do it again.
        """
        run = (model, sampler, steps, eta, seed, 1, precision, label)
        wish = pair(first, second, rule, run, fit) | {
            "rows": _rows(studio, model, rows),
            "between": between,
            "share_noise": share_noise,
        }
        grid = lab.complete(Grid.checked(wish))
        result = lab.grid_result(grid)
        return saved_file(f"{result.name}.png", result.png()), described(grid)

    def mix_grid_time(
        first: arg.First,
        second: arg.Second,
        rows: arg.Rows = None,
        between: arg.Between = 5,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        sampler: arg.Sampler = "ddpm",
        steps: arg.ShareOfSteps = 200,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
    ) -> Json:
        """Tell how long a grid will take here, from a network step measured just now.

        Returns:
            time: network_steps, seconds_per_step and seconds.
        """
        run = (model, sampler, steps, ETA, 0, 1, precision, label)
        wish = pair(first, second, "linear", run, fit)
        wish |= {"rows": _rows(studio, model, rows), "between": between}
        return dict(plain(lab.estimate(Grid.checked(wish))))

    def mix_morph(
        first: arg.First,
        second: arg.Second,
        t: arg.FreeT = 500,
        frames: arg.Frames = 16,
        rule: arg.Rule = DEFAULT_RULE,
        model: arg.Model = default,
        fit: arg.Fit = "crop",
        sampler: arg.Sampler = "ddpm",
        steps: arg.ShareOfSteps = 200,
        eta: arg.Eta = ETA,
        seed: arg.Seed = 0,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
        share_noise: arg.ShareNoise = True,
    ) -> tuple[gr.FileData, gr.FileData, Json]:
        """Morph one picture into another, over lambda.

        Returns:
            animation: A GIF.
            strip: Its frames in a row as a PNG, the experiment inside.
            experiment: All it takes to do it again.
        """
        run = (model, sampler, steps, eta, seed, 1, precision, label)
        how = {"t": t, "frames": frames, "share_noise": share_noise}
        return morphed(Morph.checked(pair(first, second, rule, run, fit) | how))

    def seed_morph(
        first_seed: arg.Seed,
        second_seed: arg.Seed,
        frames: arg.Frames = 16,
        model: arg.Model = default,
        sampler: arg.Sampler = "ddpm",
        steps: arg.ShareOfSteps = 200,
        eta: arg.Eta = ETA,
        precision: arg.Precision = "exact",
        label: arg.Label = None,
    ) -> tuple[gr.FileData, gr.FileData, Json]:
        """Morph along the arc between the x_T of two seeds.

        Returns:
            animation: A GIF.
            strip: Its frames in a row as a PNG, the experiment inside.
            experiment: All it takes to do it again.
        """
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

    for endpoint in (mix, mix_variances, mix_grid, mix_grid_time, mix_morph, seed_morph):
        expose(endpoint, concurrency_id=network)


def _rows(studio: Studio, model: str, rows: list[int] | None) -> tuple[int, ...]:
    if rows is None:
        return even_rows(studio.models.describe(model).num_train_timesteps)
    return tuple(rows)


def _first_label(studio: Studio, model: str) -> int | None:
    return 0 if studio.models.describe(model).labels else None
