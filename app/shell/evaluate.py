"""`python -m app evaluate`: judge a model's samples, beside real paintings."""

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from app.errors import StudioError


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
    style: Annotated[
        bool, typer.Option("--style/--no-style", help="Judge with the style network too.")
    ] = True,
) -> None:
    """Print a table, sampler by sampler: MMD, patches, spectrum, precision, recall, novelty."""
    from app.service.evaluation import LEAST, Evaluation, Evaluator, parse_plan, recipes
    from app.service.evaluation_report import to_json, to_markdown
    from app.service.studio import Studio
    from app.settings import Settings
    from app.training.evaluation import loss_batches
    from app.training.features import require_style_network
    from app.training.reference import load_pictures, picture_files

    painter = Studio(Settings.from_environment()).painter
    plans = [parse_plan(text, count) for text in sampler or ["ddim:50"]]
    info = painter.models.describe(model)
    runs = [
        recipes(painter, model, plan, seed=seed, spacing=spacing, precision=precision)
        for plan in plans
    ]
    if style:
        require_style_network()
    for folder in (data, train) if train else (data,):
        picture_files(folder, LEAST)
    if out and not out.parent.is_dir():
        raise StudioError(f"There is no folder {out.parent}.", "Create it, or change --out.")

    typer.echo("reading pictures", err=True)
    size, channels = info.size, info.channels
    reference = load_pictures(data, size, channels, LEAST)
    training = load_pictures(train, size, channels, LEAST) if train else None
    typer.echo("measuring the reference", err=True)
    evaluator = Evaluator(painter, model, reference, training, style=style, seed=seed)
    batches = loss_batches(len(reference.pixels)) * (2 if training else 1)
    with tqdm(total=batches, unit="batch", desc="held-out loss") as bar:
        loss = evaluator.loss(bar.update)
        training_loss = evaluator.training_loss(bar.update)
    said, rows = evaluator.provenance(precision), []
    for plan, batch in zip(plans, runs, strict=True):
        moments = len(batch) * (plan.steps + 1)
        with tqdm(total=moments, unit="step", desc=f"{plan.sampler} {plan.steps}") as bar:
            rows.append(evaluator.row(plan, batch, bar.update))
        evaluation = Evaluation(said, loss, training_loss, evaluator.control(), tuple(rows))
        if out:  # after each row: the next one may take hours
            unfinished = out.with_name(out.name + ".tmp")
            unfinished.write_text(to_json(evaluation), encoding="utf-8")
            unfinished.replace(out)
    typer.echo(to_markdown(evaluation))
