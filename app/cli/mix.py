"""`python -m app mix`: mix two pictures at x_t; alone, in the paper's grid, or as a morph."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.pictures import (
    PICTURE_HELP,
    ClassName,
    chosen_class,
    save,
    save_films,
    say_estimate,
    source_named,
    watch,
    way_back,
)
from app.errors import RecipeError
from app.fields import Fields, Value, limited
from app.laboratory.experiment import DECODING_STEPS, FromXt
from app.laboratory.experiments import Grid, Mixing, Morph, SeedMorph, even_rows
from app.laboratory.mix import MixLab
from app.painting.runs import LoadedRun
from app.settings import Settings
from app.studio import Studio


def command(
    first: Annotated[str, typer.Argument(help=PICTURE_HELP)],
    second: Annotated[str, typer.Argument(help="The other picture, likewise.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("laboratory"),
    grid: Annotated[bool, typer.Option(help="Every t and lambda of the paper's figure 9.")] = False,
    rows: Annotated[
        int, typer.Option(help="Of the grid, evenly spaced in t, 2 to 17.", min=2, max=17)
    ] = 9,
    morph: Annotated[
        int | None, typer.Option(help="So many frames over lambda, as an animation.")
    ] = None,
    seed_morph: Annotated[
        int | None, typer.Option(help="So many frames over the arc between two seed:N's x_T.")
    ] = None,
    fit: Annotated[str, typer.Option(help="crop or squash to a square.")] = "crop",
    class_name: ClassName = None,
    **how: Annotated[
        Value,
        Fields(Mixing, ("t", "mix", "rule")),
        way_back(1),
        Fields(Mixing),
        Fields(Grid),
        Fields(Morph, without=("frames",)),
    ],
) -> None:
    """Mix two pictures; each PNG carries what it takes to mix it again."""
    studio = Studio(Settings.from_environment())
    lab, info = studio.mix_lab, studio.models.describe(how["model"])
    how["label"] = chosen_class(how["label"], class_name)
    sources = [source_named(word, info, fit, how["label"]) for word in (first, second)]
    how = limited(how, info.num_train_timesteps, Mixing, steps=DECODING_STEPS) | {"eta": 1.0}
    if grid:
        how["rows"] = even_rows(info.num_train_timesteps, rows)
        _grid(lab, Grid.of(how, sources), out)
    elif morph is not None:
        _morph(lab, Morph.of(how | {"frames": morph}, sources), out)
    elif seed_morph is not None:
        seeds = [it.painted.seed for it in sources if it.painted]
        if len(seeds) < len(sources):
            raise RecipeError("A seed morph runs between two seeds.", "Write both as seed:N.")
        how |= {"seed": seeds[0], "second": seeds[1], "frames": seed_morph}
        _morph(lab, SeedMorph.of(how), out)
    else:
        _mixture(lab, Mixing.of(how, sources), out)


def _say_estimate(lab: MixLab, run: LoadedRun[FromXt]) -> int:
    estimate = lab.estimate(run)
    say_estimate(estimate)
    return estimate.network_steps


def _grid(lab: MixLab, grid: Grid, out: Path) -> None:
    run = lab.complete(grid)
    watch(lab.grids.stream(run), _say_estimate(lab, run), "grid")
    result = lab.grids.result(run)
    save(out, f"{result.name}.png", result.png())


def _morph(lab: MixLab, morph: Morph | SeedMorph, out: Path) -> None:
    run = lab.complete(morph)
    watch(lab.morphs.stream(run), _say_estimate(lab, run), "morph")
    result = lab.morphs.result(run)
    save(out, f"{result.name}.gif", result.animation("gif"))
    save(out, f"{result.name}-strip.png", result.strip())


def _mixture(lab: MixLab, mixing: Mixing, out: Path) -> None:
    run = lab.complete(mixing)
    typer.echo("share of the noise's variance at lambda, and x_t's variance")
    for found in lab.variances(run):
        place = min(range(len(found.mixes)), key=lambda i: abs(found.mixes[i] - mixing.mix))
        typer.echo(
            f"{found.rule:14} lambda {found.mixes[place]:.2f}   "
            f"noise {found.noise_variance[place]:.3f}   x_t {found.x_t_variance[place]:.3f}"
        )
    save_films(lab.films, run, _say_estimate(lab, run), "mixing", out)
