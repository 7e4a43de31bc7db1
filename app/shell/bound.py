"""`python -m app bound`: the evidence lower bound of pictures, in bits per dimension."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.shell.laboratory import PICTURE_HELP, save, source_named, watched

if TYPE_CHECKING:
    from app.service.laboratory.bounding import Subject
    from app.service.laboratory.bounds import BoundMoment, SubjectBound
    from app.service.laboratory.experiment import Source

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
    terms: Annotated[int, typer.Option(help="Steps that are evaluated; 0 for all T.")] = 50,
    draws: Annotated[int, typer.Option(help="Noise draws a step; two or more give an error.")] = 2,
    variance: Annotated[
        str, typer.Option(help="fixed_small, fixed_large or learned.")
    ] = "fixed_small",
    clip: Annotated[bool, typer.Option(help="Keep x_0_hat in [-1, 1].")] = True,
    fit: Annotated[str, typer.Option(help="crop or squash to a square.")] = "crop",
    seed: Annotated[int, typer.Option(help="Of the draws and the choice of steps.")] = 0,
    precision: Annotated[str, typer.Option(help="exact or fast.")] = "exact",
    label: Annotated[
        int | None, typer.Option(help="The class, for those of the models that have any.")
    ] = None,
) -> None:
    """Compute L_T, every L_{t-1}, and L_0: a CSV of terms for each model, a figure of all."""
    from app.service.laboratory.bounding import Bounding
    from app.service.laboratory.bounds import BoundMoment
    from app.service.studio import Studio
    from app.settings import Settings

    studio = Studio(Settings.from_environment())
    lab = studio.bound_lab
    settings = {"draws": draws, "clip": clip, "seed": seed, "variance": variance}
    settings |= {"precision": precision, "terms": terms or None}
    wishes = []
    models = [studio.models.describe(name) for name in model or ["impressionist-64"]]
    for info in models:
        its = label if info.labels or len(models) == 1 else None
        sources = [(Path(word).stem, source_named(word, info, fit, its)) for word in pictures]
        subjects = _subjects(sources, shuffled=shuffled, noise=noise)
        wish = {"model": info.id, "subjects": subjects, "label": its} | settings
        wishes.append(lab.complete(Bounding.checked(wish)))
    result = lab.started(Bounding.joined(wishes))
    for bounding in wishes:
        steps = lab.network_steps(bounding) + 1
        stream = watched(lab.bound(bounding), steps, bounding.model)
        moments = [moment for moment in stream if isinstance(moment, BoundMoment)]
        _report(bounding.model, moments[-1].subjects)
        save(out, f"{bounding.model}-bound-seed-{seed}.csv", terms_csv(moments).encode())
        result = replace(result, moments=(*result.moments, tuple(moments)))
    save(out, f"{result.name}.png", result.png())


def _subjects(
    sources: "Sequence[tuple[str, Source]]", *, shuffled: bool, noise: bool
) -> "tuple[Subject, ...]":
    from app.service.laboratory.bounding import Subject

    subjects = []
    for name, source in sources:
        subjects.append(Subject(source=source, name=name[:40]))
        if shuffled:
            subjects.append(Subject(kind="shuffled", source=source, name=f"{name[:40]} shuffled"))
    if noise:
        subjects.append(Subject(kind="noise", name="plain noise"))
    return tuple(subjects)


def _report(model: str, subjects: "Sequence[SubjectBound]") -> None:
    typer.echo(f"{model}, bits/dim\n     L_T   L_1..T-1      L_0    total   +-")
    for s in subjects:
        error = "?" if s.total_error is None else f"{s.total_error:.3f}"
        typer.echo(
            f"{s.prior:8.2e} {s.vb:10.4f} {s.decoder or 0:8.4f} {s.total:8.4f}   {error}   {s.name}"
        )


def terms_csv(moments: "Sequence[BoundMoment]") -> str:
    """A line for every term of every subject, with the running totals."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for m in moments:
        for s in m.subjects:
            numbers = (s.bpd, s.bpd_error, s.eps_mse, s.rate, s.distortion, s.total, s.total_error)
            table.writerow((s.name, m.kind, m.t, m.weight, *numbers))
    return text.getvalue()
