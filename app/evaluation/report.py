"""An evaluation as Markdown tables and as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Final

from app.diffusion.schedule import MAX_T
from app.evaluation.bootstrap import Interval
from app.evaluation.evaluator import Beside, Evaluation, Row
from app.evaluation.judge import Comparison, LossFigures, NoveltyFigures

FORMAT: Final = "plein-air-evaluation/1"


def to_json(evaluation: Evaluation) -> str:
    """Return everything that was measured as JSON, in full precision."""
    return json.dumps({"format": FORMAT} | asdict(evaluation), indent=1, ensure_ascii=False) + "\n"


def to_markdown(evaluation: Evaluation) -> str:
    """Lay out the tables that a person reads; docs/evaluation.md says what each figure means."""
    said = evaluation.provenance
    head = (
        f"{said.model}, weights {said.weights[:12]}, precision {said.precision}. "
        f"Brackets: 95% bootstrap interval. Floor: {said.floor}."
    )
    rows, beside = evaluation.rows, evaluation.beside
    parts = [head, _distances(rows, beside), _manifolds(rows, beside)]
    parts += [
        f"The held-out pictures' own PSNR through the autoencoder: {it.psnr_db:.2f} dB."
        for it in beside
        if it.psnr_db is not None
    ]
    parts += [_classes(row, said.probe) for row in evaluation.rows if row.classes]
    if evaluation.novelty:
        parts.append(_novelty(evaluation.novelty, evaluation.rows))
    if evaluation.loss:
        parts.append(loss_table(evaluation.loss, evaluation.training_loss))
    return "\n\n".join(parts) + "\n"


def distance_heads(comparison: Comparison) -> list[str]:
    """Name the columns of `distance_cells`."""
    names = (f"{space.space} MMD^2 x 1000" for space in comparison.spaces)
    return ["N / M", *names, "patches SWD x 1000", "spectrum dB"]


def distance_cells(c: Comparison) -> list[str]:
    """Write the distances of a row."""
    return [
        f"{c.samples} / {c.reference}",
        *(shown(space.squared_mmd, 1000) for space in c.spaces),
        shown(c.patches.mean, 1000),
        shown(c.spectrum.error),
    ]


def manifold_heads(comparison: Comparison) -> list[str]:
    """Name the columns of `manifold_cells`."""
    names = (space.space for space in comparison.spaces)
    return [f"{name} {what}" for name in names for what in ("precision", "recall")]


def manifold_cells(c: Comparison) -> list[str]:
    """Write the precision and recall of a row."""
    return [shown(figure) for space in c.spaces for figure in (space.precision, space.recall)]


def _distances(rows: Sequence[Row], beside: Sequence[Beside]) -> str:
    head = ["sampler", "steps", *distance_heads(rows[0].comparison), "s a picture"]
    said = [(_named(r), r.comparison, r.seconds / r.comparison.samples) for r in rows]
    body = [[*plan, *distance_cells(c), f"{seconds:.2f}"] for plan, c, seconds in said]
    for it in beside:
        pace = "" if it.seconds is None else f"{it.seconds / it.comparison.samples:.2f}"
        body.append([it.name, "", *distance_cells(it.comparison), pace])
    return table(head, body + [["floor", "", *distance_cells(c), ""] for c in _floors(rows)])


def _manifolds(rows: Sequence[Row], beside: Sequence[Beside]) -> str:
    head = ["sampler", "steps", "N / M", *manifold_heads(rows[0].comparison)]

    def cells(c: Comparison) -> list[str]:
        return [f"{c.samples} / {c.reference}", *manifold_cells(c)]

    body = [[*_named(r), *cells(r.comparison)] for r in rows]
    body += [[it.name, "", *cells(it.comparison)] for it in beside]
    return table(head, body + [["floor", "", *cells(c)] for c in _floors(rows)])


def _novelty(control: NoveltyFigures, rows: Sequence[Row]) -> str:
    head = ["nearest training picture of", "N", "distance", "nearest / second"]
    head += ["nearer than 5% of held-out", "copies"]

    def cells(n: NoveltyFigures) -> list[str]:
        figures = (shown(n.distance), shown(n.ratio), shown(n.near))
        return [str(n.pictures), *figures, str(n.copies)]

    body = [[" ".join(_named(r)), *cells(r.novelty)] for r in rows if r.novelty]
    return table(head, [*body, ["held-out pictures", *cells(control)]])


def _named(row: Row) -> list[str]:
    """Write what a row is of: its sampler with schedule, classes and guidance, and its steps."""
    asked = row.asked
    whole = asked.guidance_from >= MAX_T and asked.guidance_to == 0
    between = "" if whole else f" from t = {asked.guidance_from} to {asked.guidance_to}"
    guidance = "" if asked.guidance_scale == 1 else f", guidance {asked.guidance_scale:g}{between}"
    of = f", {asked.classes}" if asked.classes else ""
    plan = row.plan
    listed = f", schedule {plan.schedule.name}" if plan.schedule else ""
    return [f"{plan.sampler}{listed}{of}{guidance}", str(plan.steps)]


def _classes(row: Row, space: str) -> str:
    """Lay out a row's figures class by class."""
    head = [f"{' '.join(_named(row))}: class", "N"]
    if space:
        head += [f"recognised by {space}, real", "others", "samples", "samples / real"]
    near = any(it.novelty for it in row.classes)
    head += ["nearer than 5% of held-out", "copies"] if near else []
    body = []
    for it in row.classes:
        cells = [it.name, str(it.samples)]
        if it.probe:
            p = it.probe
            cells += map(shown, (p.real, p.others, p.samples, p.ratio))
        elif space:
            cells += ["too few"] * 4
        if it.novelty:
            cells += [shown(it.novelty.near), str(it.novelty.copies)]
        body.append(cells)
    return table(head, body)


def loss_table(held_out: LossFigures, training: LossFigures | None, name: str = "L_simple") -> str:
    """Lay out a loss by quarter of t."""
    head = [f"{name} on", "N", "all t", *(f"quarter {i} of t" for i in range(1, 5))]

    def cells(loss: LossFigures) -> list[str]:
        figures = (shown(figure, digits=5) for figure in (loss.mean, *loss.quarters))
        return [str(loss.pictures), *figures]

    body = [["held-out pictures", *cells(held_out)]]
    body += [["training pictures", *cells(training)]] if training else []
    return table(head, body)


def _floors(rows: Sequence[Row]) -> list[Comparison]:
    """List each floor once, in the rows' order."""
    return list({row.floor.samples: row.floor for row in rows}.values())


def shown(interval: Interval, factor: float = 1, digits: int = 2) -> str:
    """Write a figure with its interval in brackets."""
    value, low, high = (
        f"{x * factor:.{digits}f}" for x in (interval.value, interval.low, interval.high)
    )
    return f"{value} [{low}, {high}]"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
