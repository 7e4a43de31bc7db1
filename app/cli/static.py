"""`python -m app static`: write a page without a server, which paints in the visitor's browser."""

from pathlib import Path
from typing import Annotated

import typer

from app.errors import StudioError
from app.settings import Settings


def command(
    out: Annotated[Path, typer.Argument(file_okay=False, help="The folder to write.")],
    model: Annotated[str, typer.Option(help="The model's id.")] = "impressionist-64",
    stage: Annotated[
        str | None,
        typer.Option(help="A second stage's id: it adds pictures of four times the side."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="onnxruntime-web's tarball, if it is here."),
    ] = None,
    code: Annotated[
        str, typer.Option(help="The address of the full studio's code, for a link to it.")
    ] = "",
) -> None:
    """Write a page without a server: the model paints in the visitor's own browser."""
    from app.static.runtime import runtime_archive
    from app.static.site import write_site
    from app.studio import Studio

    if code and not code.startswith("https://"):
        raise StudioError(f"{code!r} is no address of a page.", "Begin it with https://.")
    if out.exists() and any(out.iterdir()) and not (out / "card.json").exists():
        raise StudioError(f"{out} holds other files.", "Name a new folder.")
    # Whoever has the shell may use all jobs' models.
    studio = Studio(Settings.from_environment().model_copy(update={"single_user": True}))
    found = studio.models.find_stage(stage) if stage else None
    files, archive = studio.models.find(model), runtime_archive(runtime)
    typer.echo("exporting the network, which takes about a minute", err=True)
    if write_site(out, studio.painter, files, found, runtime=archive, code=code):
        typer.echo(
            "weights were rounded to 16 bits: pictures differ a little from those painted here",
            err=True,
        )
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    typer.echo(f"{out}: {size / 1e6:.0f} MB. Look at it: python {out / 'serve.py'}")
