"""An evaluation as Markdown tables and as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Final

from app.evaluation.bootstrap import Interval
from app.evaluation.evaluator import Evaluation, Row
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
    parts = [head, _distances(evaluation.rows), _manifolds(evaluation.rows)]
    if evaluation.novelty:
        parts.append(_novelty(evaluation.novelty, evaluation.rows))
    if evaluation.loss:
        parts.append(_losses(evaluation.loss, evaluation.training_loss))
    return "\n\n".join(parts) + "\n"


def _distances(rows: Sequence[Row]) -> str:
    spaces = [space.space for space in rows[0].comparison.spaces]
    head = ["sampler", "steps", "N / M", *(f"{name} MMD^2 x 1000" for name in spaces)]
    head += ["patches SWD x 1000", "spectrum dB", "s a picture"]

    def cells(c: Comparison) -> list[str]:
        return [
            f"{c.samples} / {c.reference}",
            *(_shown(space.squared_mmd, 1000) for space in c.spaces),
            _shown(c.patches.mean, 1000),
            _shown(c.spectrum.error),
        ]

    body = [
        [r.plan.sampler, str(r.plan.steps), *cells(r.comparison), f"{r.seconds / r.plan.count:.2f}"]
        for r in rows
    ]
    return _table(head, body + [["floor", "", *cells(c), ""] for c in _floors(rows)])


def _manifolds(rows: Sequence[Row]) -> str:
    spaces = [space.space for space in rows[0].comparison.spaces]
    head = ["sampler", "steps", "N / M"]
    head += [f"{name} {what}" for name in spaces for what in ("precision", "recall")]

    def cells(c: Comparison) -> list[str]:
        figures = [f for space in c.spaces for f in (space.precision, space.recall)]
        return [f"{c.samples} / {c.reference}", *(_shown(figure) for figure in figures)]

    body = [[r.plan.sampler, str(r.plan.steps), *cells(r.comparison)] for r in rows]
    return _table(head, body + [["floor", "", *cells(c)] for c in _floors(rows)])


def _novelty(control: NoveltyFigures, rows: Sequence[Row]) -> str:
    head = ["nearest training picture of", "N", "distance", "nearest / second"]
    head += ["nearer than 5% of held-out", "copies"]

    def cells(n: NoveltyFigures) -> list[str]:
        figures = (_shown(n.distance), _shown(n.ratio), _shown(n.near))
        return [str(n.pictures), *figures, str(n.copies)]

    body = [[f"{r.plan.sampler} {r.plan.steps}", *cells(r.novelty)] for r in rows if r.novelty]
    return _table(head, [*body, ["held-out pictures", *cells(control)]])


def _losses(held_out: LossFigures, training: LossFigures | None) -> str:
    head = ["L_simple on", "N", "all t", *(f"quarter {i} of t" for i in range(1, 5))]

    def cells(loss: LossFigures) -> list[str]:
        figures = (_shown(figure, digits=5) for figure in (loss.mean, *loss.quarters))
        return [str(loss.pictures), *figures]

    body = [["held-out pictures", *cells(held_out)]]
    body += [["training pictures", *cells(training)]] if training else []
    return _table(head, body)


def _floors(rows: Sequence[Row]) -> list[Comparison]:
    """List each floor once, in the rows' order."""
    return list({row.floor.samples: row.floor for row in rows}.values())


def _shown(interval: Interval, factor: float = 1, digits: int = 2) -> str:
    value, low, high = (
        f"{x * factor:.{digits}f}" for x in (interval.value, interval.low, interval.high)
    )
    return f"{value} [{low}, {high}]"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
