"""`python -m app paint`: paint PNGs with their recipes inside."""

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm


def command(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("paintings"),
    model: Annotated[
        str, typer.Option(help="A model's id; JOB-STEP for a training job's.")
    ] = "impressionist-64",
    sampler: Annotated[
        str, typer.Option(help="ddpm, ddim, dpm-solver-sde, unipc, ...")
    ] = "dpm-solver-sde",
    steps: Annotated[int, typer.Option(help="1 to T.")] = 50,
    spacing: Annotated[str, typer.Option(help="trailing, leading or linspace.")] = "trailing",
    eta: Annotated[float, typer.Option(help="For ddim: 0 draws no noise, 1 is DDPM.")] = 0.0,
    clip: Annotated[bool, typer.Option(help="Keep x_0_hat in [-1, 1].")] = True,
    seed: Annotated[int, typer.Option(help="Picture i draws from seed + i.")] = 0,
    count: Annotated[int, typer.Option(help="Pictures, 1 to 16, painted in one batch.")] = 1,
    precision: Annotated[str, typer.Option(help="exact or fast.")] = "exact",
    label: Annotated[int | None, typer.Option(help="The class, where the model has any.")] = None,
    guidance_scale: Annotated[float, typer.Option(help="1 = none.")] = 1.0,
    recipe: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A PNG with a recipe: paint that again."),
    ] = None,
    animation: Annotated[bool, typer.Option(help="Also write a GIF of each run.")] = False,
    strip: Annotated[bool, typer.Option(help="Also write a film strip of each run.")] = False,
) -> None:
    """Paint pictures; each PNG carries the recipe that paints it again."""
    from dataclasses import replace

    from app.service.pictures import read_recipe
    from app.service.recipe import Recipe
    from app.service.results import results
    from app.service.studio import Studio
    from app.settings import Settings

    wish = (
        read_recipe(recipe.read_bytes())
        if recipe
        else Recipe.checked(
            {
                "model": model,
                "sampler": sampler,
                "steps": steps,
                "spacing": spacing,
                "eta": eta,
                "clip": clip,
                "seed": seed,
                "pictures": count,
                "precision": precision,
                "label": label,
                "guidance_scale": guidance_scale,
            }
        )
    )
    # Whoever has the shell has all jobs' models.
    painter = Studio(replace(Settings.from_environment(), single_user=True)).painter
    if difference := painter.differences(wish):
        typer.echo(difference, err=True)
    complete = painter.complete(wish)
    out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=painter.network_steps(complete) + 1, unit="step", desc="painting") as bar:
        for _ in painter.paint(complete):
            bar.update()
    for result in results(painter, complete):
        path = out / result.name
        files = {".png": result.png()}
        files |= {"-strip.png": result.strip()} if strip else {}
        files |= {".gif": result.animation("gif")} if animation else {}
        for ending, data in files.items():
            file = path.with_name(path.name + ending)
            file.write_bytes(data)
            typer.echo(file)
