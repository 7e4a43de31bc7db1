"""`python -m app jobs`: the training jobs, for whoever runs the studio: everybody's."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.errors import StudioError

if TYPE_CHECKING:
    from app.service.jobs.job import Job
    from app.service.jobs.service import Jobs
    from app.service.sets.store import Sets

Action = Literal["list", "show", "start", "stop", "resume", "keep", "unkeep", "rm"]


def command(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    job: Annotated[str, typer.Argument(help="A job's id; for start, its name.")] = "",
    data: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="start: a picture or a zip; repeatable."),
    ] = None,
    init: Annotated[str | None, typer.Option(help="start: the base model's id.")] = None,
    preset: Annotated[str, typer.Option(help="start: taste, evening or long.")] = "taste",
    fit: Annotated[Literal["crop", "squash"], typer.Option(help="start: to a square.")] = "crop",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="start: not as the preset has it, as steps=500; repeatable."),
    ] = None,
) -> None:
    """List, show, start, stop, resume, keep or remove training jobs; a worker carries them out.

    A job that is kept is never offered for deletion on the page.
    """
    from dataclasses import replace

    from app.service.jobs.service import Jobs
    from app.service.own_models import OwnModels
    from app.service.owners import ALONE
    from app.service.sets.store import Sets
    from app.settings import Settings

    studio = Settings.from_environment()
    sets = Sets(studio)
    jobs = Jobs(studio, OwnModels(replace(studio, device="cpu")), sets, administrator=True)
    try:
        match action:
            case "list":
                for each in jobs.list(ALONE):
                    typer.echo(_line(each))
            case "show":
                shown = jobs.show(ALONE, job)
                typer.echo(_line(shown))
                if shown.model_steps:
                    typer.echo(f"models: {' '.join(f'{job}-{at}' for at in shown.model_steps)}")
                typer.echo(jobs.log(ALONE, job), nl=False)
            case "start":
                changes = _changes(settings or [])
                _start(jobs, sets, job, data, init or studio.default_model, preset, fit, changes)
            case "stop":
                typer.echo(_line(jobs.stop(ALONE, job)))
            case "resume":
                typer.echo(_line(jobs.resume(ALONE, job)))
            case "keep" | "unkeep":
                typer.echo(_line(jobs.keep(ALONE, job, kept=action == "keep")))
            case "rm":
                jobs.delete(ALONE, job)
    finally:
        jobs.close()


def _start(
    jobs: "Jobs",
    sets: "Sets",
    name: str,
    data: list[Path] | None,
    init: str,
    preset: str,
    fit: Literal["crop", "squash"],
    changes: dict[str, object],
) -> None:
    from app.service.jobs.plan import Plan
    from app.service.owners import ALONE
    from app.service.sets.store import Upload

    if not data:
        raise StudioError("There are no pictures to train on.", "Name files with --data.")
    pictures = sets.add(
        ALONE, [Upload(path, path.name) for path in data], fit, labels=changes.get("labels") is True
    )
    for left_out, reason in pictures.skipped:
        typer.echo(f"left out {left_out}: {reason}", err=True)
    plan = Plan.preset(preset, len(pictures)).changed(changes)
    typer.echo(_line(jobs.start(ALONE, init, pictures.id, plan, name or pictures.id[:8])))
    jobs.tend()


def _changes(given: list[str]) -> dict[str, object]:
    """The settings that `--set` names, each with its value, JSON or a word."""
    changes: dict[str, object] = {}
    for name, _, value in (each.partition("=") for each in given):
        try:
            changes[name.strip()] = json.loads(value)
        except ValueError:
            changes[name.strip()] = value
    return changes


def _line(job: "Job") -> str:
    left = "" if job.seconds_left is None else f"  {job.seconds_left / 60:.0f} min left"
    fault = f"  {job.message} {job.hint}" if job.message else ""
    kept = "  kept" if job.kept else ""
    return f"{job.id}  {job.state:<11}  {job.step}/{job.total_steps}  {job.name}{kept}{left}{fault}"
