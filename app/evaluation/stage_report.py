"""A second stage's evaluation as Markdown tables and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Final

from app.diffusion.cascade import CHROMA_BANDS, LUMA_BANDS, RATIO
from app.evaluation.bootstrap import Interval
from app.evaluation.report import (
    distance_cells,
    distance_heads,
    loss_table,
    manifold_cells,
    manifold_heads,
    shown,
    table,
)
from app.evaluation.stage_evaluator import Copying, NearestCrops, Outputs, StageEvaluation, StageRow

FORMAT: Final = "plein-air-stage-evaluation/1"

BAND_NAMES: Final = tuple(
    f"{plane} {i // side}{i % side}"
    for plane, side in (("Y", RATIO), ("Cb", RATIO // 2), ("Cr", RATIO // 2))
    for i in range(side**2)
)
"""The vertical and the horizontal frequency of each band."""

PARTS: Final = {
    "luma": slice(LUMA_BANDS),
    "blue": slice(LUMA_BANDS, LUMA_BANDS + CHROMA_BANDS),
    "red": slice(LUMA_BANDS + CHROMA_BANDS, None),
}


def to_json(evaluation: StageEvaluation) -> str:
    """Return everything that was measured as JSON, in full precision."""
    return json.dumps({"format": FORMAT} | asdict(evaluation), indent=1, ensure_ascii=False) + "\n"


def to_markdown(it: StageEvaluation) -> str:
    """Lay out the tables that a person reads; docs/evaluation.md says what each figure means."""
    said = it.provenance
    head = (
        f"{said.model}, weights {said.weights[:12]}, after {it.first_stage[0]}, precision "
        f"{said.precision}. Steps are trailing, and outputs back-projected, unless a row says "
        "otherwise. "
        f"Brackets: 95% bootstrap interval. Floor: {said.floor}."
    )
    step = f"One step is {shown(it.one_step)} dB above bicubic enlargement."
    parts = [head, _distances(it), _manifolds(it), _outputs(it), _likeness(it), _bands(it)]
    copying = [_copying(it.copying)] if it.copying else []
    return "\n\n".join([*parts, *copying, loss_table(it.loss, None, "v loss"), step]) + "\n"


def _inputs(it: StageEvaluation) -> list[tuple[list[str], Outputs]]:
    """List the rows of either input, each with the words that it begins with."""
    real = [(["paintings", _name(row)], row.real) for row in it.rows]
    return real + [([it.first_stage[0], _name(row)], row.samples) for row in it.rows]


HEADS: Final = ("small pictures of", "enlarged by")


def _distances(it: StageEvaluation) -> str:
    heads = [*HEADS, *distance_heads(it.floor), "SWD / floor's", "s a picture"]
    body = []
    for words, o in _inputs(it):
        ratio = o.comparison.patches.mean.value / it.floor.patches.mean.value
        body.append([*words, *distance_cells(o.comparison), f"{ratio:.2f}", f"{o.seconds:.2f}"])
    return table(heads, [*body, ["floor", "", *distance_cells(it.floor), "", ""]])


def _manifolds(it: StageEvaluation) -> str:
    body = [[*words, *manifold_cells(o.comparison)] for words, o in _inputs(it)]
    floor = ["floor", "", *manifold_cells(it.floor)]
    return table([*HEADS, *manifold_heads(it.floor)], [*body, floor])


def _outputs(it: StageEvaluation) -> str:
    heads = [*HEADS, "reduced, PSNR dB", "back-projected, PSNR dB", "colour off, levels"]
    heads += ["peak at 4 px", "peak of a JPEG's blocks"]
    body = [
        [*words, *map(shown, (o.as_painted, o.projected, o.colour, o.grid, o.jpeg))]
        for words, o in _inputs(it)
    ]
    floor = ["the originals", "", "", "", "", shown(it.floor_grid), shown(it.floor_jpeg)]
    return table(heads, [*body, floor])


def _likeness(it: StageEvaluation) -> str:
    """Lay out octaves, and the bands' mean, least and most of luma and of either chroma."""
    octaves = (f"{it.size / a:.0f} to {it.size / b:.0f} px" for a, b in pairwise(it.edges))
    heads = ["enlarged by", *octaves, *PARTS, *(f"{part} over seeds" for part in PARTS)]
    body = []
    for row in it.rows:
        bands, spread = row.likeness.bands, row.likeness.spread
        cells = [*(_spanned(bands[part]) for part in PARTS.values())] if bands else [""] * 3
        cells += [*(_spanned(spread[part]) for part in PARTS.values())] if spread else [""] * 3
        body.append([_name(row), *map(shown, row.likeness.octaves), *cells])
    one = [*(_spanned(it.one_step_error[part]) for part in PARTS.values())]
    error = ["one step's error", *[""] * (len(it.edges) - 1 + len(PARTS)), *one]
    return table(heads, [*body, error])


def _bands(it: StageEvaluation) -> str:
    """Lay out each band's loss, and its power and deviation over seeds for each plan."""
    rows = [row for row in it.rows if row.plan]
    heads = ["band", "v loss", "one step's error"]
    heads += [f"{_name(row)} {what}" for row in rows for what in ("dB", "over seeds")]
    figures = [it.loss_by_band, it.one_step_error]
    figures += [which for row in rows for which in (row.likeness.bands, row.likeness.spread)]
    body = [
        [name, *(f"{figure.value:.2f}" for figure in of)]
        for name, *of in zip(BAND_NAMES, *figures, strict=True)
    ]
    return table(heads, body)


def _copying(it: Copying) -> str:
    crops = f"{it.crops} crops of {it.side} px in {it.pictures:,} training pictures"
    sets = {"paintings": it.real, "samples": it.samples}
    body = [[f"{it.plan}, {of}", *_found(found)] for of, found in sets.items()]
    return table([crops, "correlation", "most"], [*body, ["floor", *_found(it.floor)]])


def _found(it: NearestCrops) -> list[str]:
    return [shown(it.mean), f"{it.most:.2f}"]


def _name(row: StageRow) -> str:
    return str(row.plan) if row.plan else "bicubic"


def _spanned(figures: Sequence[Interval]) -> str:
    """Write the mean of `figures`, their least and their most."""
    values = [figure.value for figure in figures]
    return f"{sum(values) / len(values):.2f} ({min(values):.2f} to {max(values):.2f})"
