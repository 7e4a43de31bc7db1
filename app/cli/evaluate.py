"""`python -m app evaluate`: judge a model's samples, beside real paintings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from tqdm import tqdm

from app.errors import StudioError

if TYPE_CHECKING:
    from app.evaluation.evaluator import Evaluation, EvaluationPlan, Evaluator
    from app.painting.recipe import Recipe
    from app.training.distributed import Processes


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
    from app.datasets.folder import find_pictures, load_reference
    from app.evaluation.evaluator import (
        LEAST,
        Evaluator,
        paint_all,
        parse_plan,
        recipes,
        require_judgeable,
    )
    from app.evaluation.report import to_markdown
    from app.networks.devices import choose_device
    from app.novelty.index import load_index
    from app.settings import Settings
    from app.studio import Studio
    from app.training.distributed import Processes

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
        find_pictures(folder, LEAST)
    if out and (out.is_dir() or not os.access(out.parent, os.W_OK)):
        raise StudioError(f"{out} can't be written.", "Name a file in a folder of yours.")
    loaded = painter.models.load(model)
    index = load_index(loaded.folder, loaded.weights)
    try:
        if processes.first:
            typer.echo("reading the pictures and measuring them", err=True)
            size, channels = info.size, info.channels
            evaluator = Evaluator(
                painter,
                model,
                load_reference(data, size, channels, LEAST, fit=fit),
                load_reference(train, size, channels, LEAST, fit=fit) if train else None,
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
    plans: "Sequence[EvaluationPlan]",
    runs: "Sequence[Sequence[Recipe]]",
    processes: "Processes",
    out: Path | None,
) -> "Evaluation":
    """Measure all rows, with a progress bar for each part, and write `out` after each row."""
    from app.evaluation.evaluator import Evaluation
    from app.evaluation.report import to_json

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
