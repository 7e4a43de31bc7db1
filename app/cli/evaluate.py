"""`python -m app evaluate`: judge a model's samples, beside real paintings."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from tqdm import tqdm

from app.errors import StudioError

if TYPE_CHECKING:
    from app.evaluation.class_figures import Asked
    from app.evaluation.evaluator import Evaluation, EvaluationPlan, Evaluator
    from app.images.reading import Fit
    from app.models.files import ModelInfo
    from app.painting.painter import Painter
    from app.painting.recipe import Recipe
    from app.training.distributed import Processes


def command(
    model: Annotated[str, typer.Argument(help="A model's id, or a second stage's.")],
    data: Annotated[Path, typer.Option(help="A folder of pictures it was never trained on.")],
    sampler: Annotated[
        list[str] | None,
        typer.Option(
            help="sampler:steps or sampler:steps:count; may be given several times. schedule:NAME "
            "takes the steps of that name in the model's schedules.json. Of a second stage: "
            "sde:steps or ode:steps, then, if wanted, :noise, :spacing, :raw."
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Samples, where --sampler doesn't say.")] = 1000,
    train: Annotated[
        Path | None, typer.Option(help="The folder it was trained on: for the floor and novelty.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for all figures.")] = None,
    seed: Annotated[int, typer.Option(help="Picture i draws from seed + i.")] = 0,
    spacing: Annotated[
        str | None,
        typer.Option(help="trailing, unless given; leading, even or linspace. Of a model."),
    ] = None,
    precision: Annotated[str, typer.Option(help="exact or fast; of the samples.")] = "fast",
    fit: Annotated[
        Literal["crop", "squash"], typer.Option(help="How training made its pictures square.")
    ] = "squash",
    style: Annotated[
        bool, typer.Option("--style/--no-style", help="Judge with the style network too.")
    ] = True,
    classes: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Of a model with classes: pooled (in proportion to their pictures, unless given), "
            "each (so many samples of each class), any, or a class's name.",
        ),
    ] = None,
    guidance: Annotated[
        list[float] | None,
        typer.Option(help="How hard the class pulls; may be given several times. 1 unless given."),
    ] = None,
    guidance_from: Annotated[int, typer.Option(help="The largest t with guidance.")] = 10_000,
    guidance_to: Annotated[int, typer.Option(help="The smallest t with guidance.")] = 0,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="The config.json of the run that trained it: whether samples show their class is "
            "judged by the classes of --train that its labels name."
        ),
    ] = None,
    first_stage: Annotated[
        str, typer.Option(help="The model whose samples a second stage enlarges.")
    ] = "impressionist-64",
    cascade: Annotated[
        str | None,
        typer.Option(
            help="A second stage: what it makes of the first stage's samples, reduced to the "
            "model's size, is judged beside."
        ),
    ] = None,
) -> None:
    """Print a table, sampler by sampler: MMD, patches, spectrum, precision, recall, novelty.

    Of a second stage, what it makes of small paintings and of samples. Processes that torchrun
    started paint a model's samples together.
    """
    from app.datasets.folder import find_pictures, load_reference
    from app.evaluation.class_figures import Asked, run_labels
    from app.evaluation.evaluator import (
        LEAST,
        Evaluator,
        cascade_recipes,
        model_plan,
        paint_all,
        recipes,
        require_judgeable,
    )
    from app.evaluation.report import to_json, to_markdown
    from app.networks.devices import choose_device
    from app.novelty.index import load_index
    from app.painting.recipe import STEPS
    from app.settings import Settings
    from app.studio import Studio
    from app.training.distributed import Processes

    settings = Settings.from_environment()
    processes = Processes.join(choose_device(settings.device))
    painter = Studio(settings).painter
    if any(stage.id == model for stage in painter.models.stages()):
        if processes.count > 1:
            raise StudioError("One process judges a second stage.", "Start it without torchrun.")
        if spacing:
            raise StudioError(
                "A second stage's spacing is a row's own.",
                f"Leave --spacing out, and write --sampler sde:12:{spacing}.",
            )
        fields = {"stage": model, "stage_seed": seed, "precision": precision, "model": first_stage}
        _judge_stage(painter, fields, sampler, (data, train), count, out, fit=fit, style=style)
        return
    info = painter.models.describe(model)
    steps = min(STEPS, info.num_train_timesteps)
    plans = [
        (
            model_plan(painter.models.find(model), text, count),
            Asked(classes, scale, guidance_from, guidance_to),
        )
        for text in sampler or [f"dpm-solver-sde:{steps}"]
        for scale in guidance or [1.0]
    ]
    source = run_labels(labels) if labels else None
    if source and not train:
        raise StudioError("Classes are recognised by real paintings of them.", "Give --train too.")
    require_judgeable(info, style=style)
    how: dict[str, Any] = {"seed": seed, "spacing": spacing or "trailing", "precision": precision}
    runs = [recipes(painter, model, plan, asked=asked, **how) for plan, asked in plans]
    large = cascade_recipes(painter, first_stage, cascade, plans[0][0], **how) if cascade else ()
    for folder in (data, train) if train else (data,):
        find_pictures(folder, LEAST)
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
                load_reference(data, size, channels, LEAST, fit=fit),
                load_reference(train, size, channels, LEAST, fit=fit) if train else None,
                index,
                style=style,
                labels=source,
                seed=seed,
                processes=processes,
            )
            evaluation = _measure(evaluator, plans, runs, processes, out)
            evaluation = _beside(evaluator, evaluation, info, large, processes)
            _write(out, to_json(evaluation))
            typer.echo(to_markdown(evaluation))
        else:
            for batches in (*runs, large) if large else runs:
                paint_all(painter, batches, lambda: None, processes)
    finally:
        processes.leave()


def _measure(
    evaluator: "Evaluator",
    plans: "Sequence[tuple[EvaluationPlan, Asked]]",
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
    for (plan, asked), batches in zip(plans, runs, strict=True):
        moments = len(batches[:: processes.count]) * (plan.steps + 1)
        with tqdm(total=moments, unit="step", desc=f"{plan.sampler} {plan.steps}") as bar:
            rows.append(evaluator.row(plan, batches, bar.update, asked))
        evaluation = Evaluation(
            evaluator.provenance(runs[0][0].precision),
            loss,
            training_loss,
            evaluator.control(),
            tuple(rows),
        )
        _write(out, to_json(evaluation))
    return evaluation


def _beside(
    evaluator: "Evaluator",
    evaluation: "Evaluation",
    info: "ModelInfo",
    large: "tuple[Recipe, ...]",
    processes: "Processes",
) -> "Evaluation":
    """Judge what the samples are held against: pictures through an autoencoder, a cascade's."""
    from dataclasses import replace

    beside = []
    if info.latent:
        beside.append(evaluator.decoded(max(row.plan.count for row in evaluation.rows)))
    if large:
        moments = sum(run.steps + run.stage_steps + 2 for run in large[:: processes.count])
        with tqdm(total=moments, unit="step", desc=large[0].stage) as bar:
            beside.append(evaluator.cascade(large, bar.update))
    return replace(evaluation, beside=tuple(beside))


def _judge_stage(
    painter: "Painter",
    fields: "dict[str, object]",
    sampler: list[str] | None,
    folders: tuple[Path, Path | None],
    count: int,
    out: Path | None,
    *,
    fit: "Fit",
    style: bool,
) -> None:
    """Print a second stage's tables, and write `out` after each row."""
    from dataclasses import replace

    from app.datasets.folder import find_pictures
    from app.evaluation.evaluator import (
        LEAST,
        paint_all,
        parse_plan,
        recipes,
        require_judgeable,
    )
    from app.evaluation.stage_evaluator import StageEvaluator, parse_stage_plan, stage_wish
    from app.evaluation.stage_pictures import StagePictures
    from app.evaluation.stage_report import to_json, to_markdown

    plans = [parse_stage_plan(text) for text in sampler or ["sde:12"]]
    wish = stage_wish(painter, plans, fields)
    first = painter.models.describe(wish.model)
    require_judgeable(first, style=style)
    _require_writable(out)
    samples = parse_plan(f"{wish.sampler}:{wish.steps}", count)
    seed, precision = wish.stage_seed, wish.precision
    runs = recipes(painter, first.id, samples, seed=seed, spacing="trailing", precision=precision)
    for folder in filter(None, folders):
        find_pictures(folder, LEAST if folders[1] else 2 * LEAST)
    typer.echo("reading the pictures", err=True)
    pictures = StagePictures.read(*folders, first.size, count, fit=fit, seed=seed)
    with tqdm(total=len(runs) * (samples.steps + 1), unit="step", desc=first.id) as bar:
        small = paint_all(painter, runs, bar.update)
    evaluator = StageEvaluator(painter, wish, pictures, small, style=style)
    with tqdm(total=evaluator.loss_steps, unit="batch", desc="held-out loss") as bar:
        evaluation = evaluator.evaluation(bar.update)
    for plan in plans:
        with tqdm(total=evaluator.steps(plan), unit="step", desc=str(plan)) as bar:
            row = evaluator.row(plan, bar.update)
        evaluation = replace(evaluation, rows=(*evaluation.rows, row))
        _write(out, to_json(evaluation))
    with tqdm(total=evaluator.copying_steps(plans[0]), unit="step", desc="copying") as bar:
        evaluation = replace(evaluation, copying=evaluator.copying(plans[0], bar.update))
    _write(out, to_json(evaluation))
    typer.echo(to_markdown(evaluation))


def _require_writable(out: Path | None) -> None:
    if out and (out.is_dir() or not os.access(out.parent, os.W_OK)):
        raise StudioError(f"{out} can't be written.", "Name a file in a folder of yours.")


def _write(out: Path | None, text: str) -> None:
    """Write `out`, where it is asked for, whole: the next row may take hours."""
    if out:
        unfinished = out.with_name(out.name + ".tmp")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(out)
