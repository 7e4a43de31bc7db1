"""`python -m app evaluate`: judge a model's samples, beside real paintings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from tqdm import tqdm

from app.errors import StudioError

if TYPE_CHECKING:
    from app.service.evaluation import Evaluation, Evaluator
    from app.service.plans import Plan
    from app.service.recipe import Recipe
    from app.training.processes import Processes


def command(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    data: Annotated[Path, typer.Option(help="A folder of pictures it was never trained on.")],
    sampler: Annotated[
        list[str] | None,
        typer.Option(help="sampler:steps or sampler:steps:count; may be given several times."),
    ] = None,
    count: Annotated[int, typer.Option(help="Samples, where --sampler doesn't say.")] = 1000,
    train: Annotated[
        Path | None, typer.Option(help="The folder it was trained on: for the floor and novelty.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for all figures.")] = None,
    seed: Annotated[int, typer.Option(help="Picture i draws from seed + i.")] = 0,
    spacing: Annotated[str, typer.Option(help="trailing, leading or linspace.")] = "trailing",
    precision: Annotated[str, typer.Option(help="exact or fast; of the samples.")] = "fast",
    fit: Annotated[
        Literal["crop", "squash"], typer.Option(help="How training made its pictures square.")
    ] = "squash",
    style: Annotated[
        bool, typer.Option("--style/--no-style", help="Judge with the style network too.")
    ] = True,
) -> None:
    """Print a table, sampler by sampler: MMD, patches, spectrum, precision, recall, novelty.

    Processes that torchrun started paint together.
    """
    from app.engine.devices import choose_device
    from app.service.evaluation import Evaluator
    from app.service.evaluation_report import to_markdown
    from app.service.plans import LEAST, paint_all, parse_plan, recipes, require_judgeable
    from app.service.studio import Studio
    from app.settings import Settings
    from app.training.novelty_files import load_index
    from app.training.processes import Processes
    from app.training.reference import load_pictures, picture_files

    settings = Settings.from_environment()
    processes = Processes.join(choose_device(settings.device))
    painter = Studio(settings).painter
    plans = [parse_plan(text, count) for text in sampler or ["dpm-solver-sde:50"]]
    info = painter.models.describe(model)
    require_judgeable(info, style=style)
    runs = [
        recipes(painter, model, plan, seed=seed, spacing=spacing, precision=precision)
        for plan in plans
    ]
    for folder in (data, train) if train else (data,):
        picture_files(folder, LEAST)
    if out:
        _require_writable(out)
    loaded = painter.models.load(model)
    index = load_index(loaded.folder, loaded.weights)
    try:
        if processes.first:
            typer.echo("reading the pictures and measuring them", err=True)
            size, channels = info.size, info.channels
            evaluator = Evaluator(
                painter,
                model,
                load_pictures(data, size, channels, LEAST, fit=fit),
                load_pictures(train, size, channels, LEAST, fit=fit) if train else None,
                index,
                style=style,
                seed=seed,
                processes=processes,
            )
            typer.echo(to_markdown(_measure(evaluator, plans, runs, processes, out)))
        else:
            for batches in runs:
                paint_all(painter, batches, lambda: None, processes)
    finally:
        processes.leave()


def _measure(
    evaluator: "Evaluator",
    plans: "Sequence[Plan]",
    runs: "Sequence[Sequence[Recipe]]",
    processes: "Processes",
    out: Path | None,
) -> "Evaluation":
    """Measure all of it, with a bar for each part, and write `out` after each row."""
    from app.service.evaluation import Evaluation
    from app.service.evaluation_report import to_json

    with tqdm(total=evaluator.loss_steps, unit="batch", desc="held-out loss") as bar:
        loss = evaluator.loss(bar.update)
        training_loss = evaluator.training_loss(bar.update)
    rows = []
    for plan, batches in zip(plans, runs, strict=True):
        moments = len(batches[:: processes.count]) * (plan.steps + 1)
        with tqdm(total=moments, unit="step", desc=f"{plan.sampler} {plan.steps}") as bar:
            rows.append(evaluator.row(plan, batches, bar.update))
        evaluation = Evaluation(
            evaluator.provenance(runs[0][0].precision),
            loss,
            training_loss,
            evaluator.control(),
            tuple(rows),
        )
        if out:  # The next row may take hours.
            unfinished = out.with_name(out.name + ".tmp")
            unfinished.write_text(to_json(evaluation), encoding="utf-8")
            unfinished.replace(out)
    return evaluation


def _require_writable(out: Path) -> None:
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise StudioError(f"{out} can't be written.", "Name a file in a folder of yours.")
