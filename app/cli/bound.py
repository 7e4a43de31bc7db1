"""`python -m app bound`: the evidence lower bound of pictures, term by term."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli.pictures import (
    PICTURE_HELP,
    ClassName,
    chosen_class,
    csv_bytes,
    save,
    source_named,
    watch,
)
from app.fields import Fields, Value
from app.laboratory.bound_results import BoundMoment, SubjectBound, Unit
from app.laboratory.experiments import BoundRequest, Subject
from app.painting.sources import PictureSource
from app.settings import Settings
from app.studio import Studio

COLUMNS: Final = (
    *("subject", "kind", "t", "weight", "bpd", "bpd_error", "eps_mse"),
    *("rate", "distortion", "total", "total_error"),
)


def command(
    pictures: Annotated[list[str], typer.Argument(help=PICTURE_HELP)],
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("laboratory"),
    model: Annotated[
        list[str] | None, typer.Option(help="A model's id; repeat it to compare models.")
    ] = None,
    shuffled: Annotated[
        bool, typer.Option(help="Also each picture with its pixels shuffled.")
    ] = False,
    noise: Annotated[bool, typer.Option(help="Also plain uniform noise.")] = False,
    fit: Annotated[str, typer.Option(help="crop or squash to a square.")] = "crop",
    class_name: ClassName = None,
    **how: Annotated[
        Value,
        Fields(
            BoundRequest,
            without=("model",),
            words={"terms": "How many of the steps are evaluated; 0 is all T."},
        ),
    ],
) -> None:
    """Compute L_T, every L_{t-1}, and L_0: a CSV of terms for each model, a figure of all."""
    studio = Studio(Settings.from_environment())
    lab = studio.bound_lab
    models = [studio.models.describe(name) for name in model or ["impressionist-64"]]
    label = chosen_class(how["label"], class_name)
    labels = [label if info.labels or len(models) == 1 else None for info in models]
    sources = [(Path(it).stem, source_named(it, models[0], fit, labels[0])) for it in pictures]
    how["subjects"] = _subjects(sources, shuffled=shuffled, noise=noise)
    how["terms"] = how["terms"] or None
    each = zip(models, labels, strict=True)
    wishes = [BoundRequest.checked(how | {"model": it.id, "label": its}) for it, its in each]
    run = lab.complete(BoundRequest.joined(wishes))
    watch(lab.bounds.stream(run), lab.network_steps(run.request), "bound")
    result = lab.bounds.result(run)
    for bounding, moments in zip(run.request.each, result.moments, strict=True):
        _report(bounding.model, result.unit, moments[-1].subjects)
        table = csv_bytes(COLUMNS, _terms(moments))
        save(out, f"{bounding.model}-bound-seed-{bounding.seed}.csv", table)
    save(out, f"{result.name}.png", result.png())


def _subjects(
    sources: Sequence[tuple[str, PictureSource]], *, shuffled: bool, noise: bool
) -> tuple[Subject, ...]:
    subjects = []
    for name, source in sources:
        subjects.append(Subject(source=source, name=name[:40]))
        if shuffled:
            subjects.append(Subject(kind="shuffled", source=source, name=f"{name[:40]} shuffled"))
    if noise:
        subjects.append(Subject(kind="noise", name="plain noise"))
    return tuple(subjects)


def _report(model: str, unit: Unit, subjects: Sequence[SubjectBound]) -> None:
    typer.echo(f"{model}, {unit}\n     L_T   L_1..T-1      L_0    total   +-")
    for s in subjects:
        error = "?" if s.total_error is None else f"{s.total_error:.3f}"
        decoder = "-" if s.decoder is None else f"{s.decoder:.4f}"
        typer.echo(f"{s.prior:8.2e} {s.vb:10.4f} {decoder:>8} {s.total:8.4f}   {error}   {s.name}")


def _terms(moments: Sequence[BoundMoment]) -> Iterator[tuple[object, ...]]:
    """Yield a row for every term of every subject, with running totals."""
    for m in moments:
        for s in m.subjects:
            numbers = (s.bpd, s.bpd_error, s.eps_mse, s.rate, s.distortion, s.total, s.total_error)
            yield s.name, m.kind, m.t, m.weight, *numbers
