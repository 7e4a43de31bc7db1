"""`python -m app jobs`: all training jobs, whoever owns them, for the administrator."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.errors import StudioError

if TYPE_CHECKING:
    from app.jobs.job import Job

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
    from app.datasets.uploads import Sets, Upload
    from app.jobs.jobs import Jobs
    from app.jobs.plan import TrainingPlan
    from app.owners import ALONE
    from app.settings import Settings
    from app.studio import OwnModels

    studio = Settings.from_environment()
    sets = Sets(studio)
    jobs = Jobs(
        studio, OwnModels(studio.model_copy(update={"device": "cpu"})), sets, administrator=True
    )
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
                if not data:
                    raise StudioError(
                        "There are no pictures to train on.", "Name files with --data."
                    )
                changes = _changes(settings or [])
                uploads = [Upload(path, path.name) for path in data]
                pictures = sets.add(ALONE, uploads, fit, labels=changes.get("labels") is True)
                for left_out, reason in pictures.skipped:
                    typer.echo(f"left out {left_out}: {reason}", err=True)
                plan = TrainingPlan.preset(preset, len(pictures)).changed(changes)
                base, name = init or studio.default_model, job or pictures.id[:8]
                typer.echo(_line(jobs.start(ALONE, base, pictures.id, plan, name)))
                jobs.tend()
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


def _changes(given: list[str]) -> dict[str, object]:
    """Parse the settings that `--set` names; each value is JSON or a plain word."""
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
    at = f"{job.kept_step}/{job.total_steps}"
    doing = f"  {job.doing}" if job.doing else ""
    return f"{job.id}  {job.state:<11}  {at}  {job.name}{kept}{doing}{left}{fault}"
