"""`python -m app preflight`: see that the repository is ready to be a Space."""

from pathlib import Path
from typing import Annotated

import typer

from app.service.preflight.finding import Finding


def command(
    folder: Annotated[
        Path | None, typer.Argument(help="The repository; by default this one.")
    ] = None,
    clean_imports: Annotated[
        bool, typer.Option(help="Import all in a new environment too, which takes minutes.")
    ] = True,
    torch: Annotated[
        str, typer.Option(help="The build of torch for it, in pip's words, as the Makefile says.")
    ] = "",
) -> None:
    """Look at front matter, requirements, file sizes and imports; each line says what to do."""
    from app.service.preflight.front_matter import check_front_matter
    from app.service.preflight.imports import check_imports
    from app.service.preflight.requirements import check_requirements
    from app.service.preflight.sizes import check_sizes
    from app.settings import ROOT

    folder, ready = folder or ROOT, True
    for check in (check_front_matter, check_requirements, check_sizes):
        for finding in check(folder):
            ready &= _tell(finding)
    if clean_imports:
        typer.echo("installing into a new environment", err=True)
        ready &= _tell(check_imports(folder, torch))
    if not ready:
        raise typer.Exit(1)


def _tell(finding: Finding) -> bool:
    typer.echo(f"{'ok  ' if finding.ok else 'no  '}{finding.check:14}{finding.said}")
    if finding.hint:
        typer.echo(f"{'':18}{finding.hint}")
    return finding.ok
