"""`python -m app mix`: mix two pictures at x_t; alone, in the paper's grid, or as a morph."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import RecipeError
from app.shell.laboratory import LABEL_HELP, PICTURE_HELP, save, source_named, watched

if TYPE_CHECKING:
    from app.service.laboratory.experiment import Source
    from app.service.laboratory.experiments import Grid, Mixing, Morph, SeedMorph
    from app.service.laboratory.mix import MixLab
    from app.service.recipe import Recipe


def command(
    first: Annotated[str, typer.Argument(help=PICTURE_HELP)],
    second: Annotated[str, typer.Argument(help="The other picture, likewise.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("laboratory"),
    t: Annotated[int, typer.Option(help="Noise both to this t, 0 to T, and decode from it.")] = 500,
    mix: Annotated[float, typer.Option(help="lambda: 0 is the first picture, 1 the second.")] = 0.5,
    grid: Annotated[bool, typer.Option(help="Every t and lambda of the paper's figure 9.")] = False,
    rows: Annotated[
        int, typer.Option(help="Of the grid, evenly spaced in t, 2 to 17.", min=2, max=17)
    ] = 9,
    between: Annotated[int, typer.Option(help="How many lambda between 0 and 1, 1 to 14.")] = 5,
    morph: Annotated[
        int | None, typer.Option(help="So many frames over lambda, as an animation.")
    ] = None,
    seed_morph: Annotated[
        int | None, typer.Option(help="So many frames over the arc between two seed:N's x_T.")
    ] = None,
    rule: Annotated[
        str, typer.Option(help="linear, shared, variance_kept or slerp.")
    ] = "variance_kept",
    share_noise: Annotated[
        bool, typer.Option(help="One noise on the way back for all cells or frames.")
    ] = True,
    fit: Annotated[str, typer.Option(help="crop or squash to a square.")] = "crop",
    seed: Annotated[int, typer.Option(help="Of the noise on both ways.")] = 0,
    variations: Annotated[int, typer.Option(help="Of a single mixture, 1 to 16.")] = 1,
    model: Annotated[str, typer.Option(help="A model's id.")] = "impressionist-64",
    sampler: Annotated[str, typer.Option(help="As for paint.")] = "ddpm",
    steps: Annotated[int, typer.Option(help="Counted from T.")] = 200,
    precision: Annotated[str, typer.Option(help="exact or fast.")] = "exact",
    label: Annotated[int | None, typer.Option(help=LABEL_HELP)] = None,
) -> None:
    """Mix two pictures; each PNG carries what it takes to mix it again."""
    from app.service.laboratory.experiments import Grid, Mixing, Morph, even_rows
    from app.service.recipe import Recipe
    from app.service.studio import Studio
    from app.settings import Settings

    studio = Studio(Settings.from_environment())
    lab, info = studio.mix_lab, studio.models.describe(model)
    pair = source_named(first, info, fit, label), source_named(second, info, fit, label)
    run = Recipe.checked(
        {"model": model, "sampler": sampler, "steps": steps, "seed": seed, "eta": 1.0}
        | {"precision": precision, "pictures": variations, "label": label}
    )
    wish = {"run": run, "first": pair[0], "second": pair[1], "rule": rule, "seed": seed}
    if grid:
        table = {"rows": even_rows(info.num_train_timesteps, rows), "between": between}
        _grid(lab, Grid.checked(wish | table | {"share_noise": share_noise}), out)
    elif morph is not None:
        _morph(
            lab, Morph.checked(wish | {"t": t, "frames": morph, "share_noise": share_noise}), out
        )
    elif seed_morph is not None:
        _morph(lab, _between_seeds(run, pair, seed_morph), out)
    else:
        _mixture(lab, Mixing.checked(wish | {"t": t, "mix": mix}), out)


def _between_seeds(run: "Recipe", pair: "tuple[Source, Source]", frames: int) -> "SeedMorph":
    from app.service.laboratory.experiments import SeedMorph

    first, second = (source.painted for source in pair)
    if first is None or second is None:
        raise RecipeError("A seed morph runs between two seeds.", "Write both as seed:N.")
    return SeedMorph.checked(
        {
            "run": run.model_copy(update={"seed": first.seed}),
            "second": second.seed,
            "frames": frames,
        }
    )


def _say_estimate(lab: "MixLab", experiment: "Grid | Mixing | Morph | SeedMorph") -> int:
    estimate = lab.estimate(experiment)
    typer.echo(
        f"{estimate.network_steps} network steps, about {estimate.seconds:.0f} s "
        f"({estimate.seconds_per_step * 1000:.0f} ms a step)"
    )
    return estimate.network_steps


def _grid(lab: "MixLab", grid: "Grid", out: Path) -> None:
    grid = lab.complete(grid)
    steps = _say_estimate(lab, grid)
    for _ in watched(lab.paint_grid(grid), steps, "grid"):
        pass
    result = lab.grid_result(grid)
    save(out, f"{result.name}.png", result.png())


def _morph(lab: "MixLab", morph: "Morph | SeedMorph", out: Path) -> None:
    morph = lab.complete(morph)
    steps = _say_estimate(lab, morph)
    for _ in watched(lab.paint_morph(morph), steps, "morph"):
        pass
    result = lab.morph_result(morph)
    save(out, f"{result.name}.gif", result.animation("gif"))
    save(out, f"{result.name}-strip.png", result.strip())


def _mixture(lab: "MixLab", mixing: "Mixing", out: Path) -> None:
    mixing = lab.complete(mixing)
    typer.echo("share of the noise's variance at lambda, and x_t's variance")
    for found in lab.variances(mixing):
        place = min(range(len(found.mixes)), key=lambda i: abs(found.mixes[i] - mixing.mix))
        typer.echo(
            f"{found.rule:14} lambda {found.mixes[place]:.2f}   "
            f"noise {found.noise_variance[place]:.3f}   x_t {found.x_t_variance[place]:.3f}"
        )
    steps = _say_estimate(lab, mixing)
    for _ in watched(lab.mix(mixing), steps, "mixing"):
        pass
    for result in lab.results(mixing):
        save(out, f"{result.name}.png", result.png())
        save(out, f"{result.name}-strip.png", result.strip())
