"""A bound as far as it has come, as a figure that carries its experiment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from app.service.laboratory.bounding import Bounding
from app.service.laboratory.bounds import BoundMoment, StepWeights, SubjectBound
from app.service.laboratory.plots import (
    DASHES,
    HEIGHT,
    QUIET,
    RULE,
    SERIES,
    WIDTH,
    Axis,
    Paper,
    Plot,
    Series,
    draw_plot,
)
from app.service.pictures import png_bytes

MARGIN: Final = 26
GAP: Final = 24
ROW: Final = 26
COLUMNS: Final = ("L_T", "L_1 ... L_T-1", "L_0", "sum", "+-")
PLOTS_A_ROW: Final = 3


@dataclass(frozen=True)
class BoundLine:
    """A picture under a model: its name, its place among each, and its terms so far."""

    name: str
    subject: int
    model: int
    terms: tuple[tuple[BoundMoment, SubjectBound], ...]

    def series(
        self,
        pick: Callable[[BoundMoment, SubjectBound], tuple[float, float | None] | None],
        error: Callable[[SubjectBound], float | None] = lambda _: None,
    ) -> Series:
        """What `pick` (x, y) takes from each term; terms without a y are left out."""
        found = [(pick(m, s), error(s)) for m, s in self.terms]
        kept = [((p[0], p[1]), e) for p, e in found if p is not None and p[1] is not None]
        return Series(
            SERIES[self.subject % len(SERIES)],
            tuple(point for point, _ in kept),
            tuple(error for _, error in kept),
            DASHES[self.model % len(DASHES)],
        )


@dataclass(frozen=True, eq=False)
class BoundResult:
    """The bound of pictures under one or several models, whole or as far as it has come.

    Attributes:
        experiment: Says how to do it again.
        length: T, the longest of the models'.
        moments: What has come for each model of `experiment.each`, L_T first.
        weights: Those of the first model.
    """

    experiment: Bounding
    length: int
    moments: tuple[tuple[BoundMoment, ...], ...]
    weights: StepWeights

    @property
    def name(self) -> str:
        """A file name without its ending."""
        return f"{self.experiment.model}-bound-seed-{self.experiment.seed}"

    @property
    def lines(self) -> tuple[BoundLine, ...]:
        """A line for each model and picture."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[BoundLine]:
        each = self.experiment.each
        for model, bounding in enumerate(each):
            moments = self.moments[model] if model < len(self.moments) else ()
            for place, subject in enumerate(bounding.subjects):
                name = f"{subject.name}, {bounding.model}" if len(each) > 1 else subject.name
                terms = tuple((moment, moment.subjects[place]) for moment in moments)
                yield BoundLine(name, place, model, terms)

    def png(self, *, log_t: bool = False) -> bytes:
        """The table and the plots, over t or its logarithm, with the experiment inside."""
        lines = self.lines
        table = 58 + (len(lines) + 1) * ROW + GAP
        plots = self.plots(log_t=log_t)
        width = 2 * MARGIN + PLOTS_A_ROW * (WIDTH + GAP) - GAP
        paper = Paper(width, table + -(-len(plots) // PLOTS_A_ROW) * (HEIGHT + GAP))
        paper.text((MARGIN, 40), self._title(), size=17)
        _draw_table(paper, lines, (MARGIN, 58))
        for n, plot in enumerate(plots):
            row, column = divmod(n, PLOTS_A_ROW)
            draw_plot(paper, (MARGIN + column * (WIDTH + GAP), table + row * (HEIGHT + GAP)), plot)
        return png_bytes(paper.image(), self.experiment)

    def plots(self, *, log_t: bool = False) -> tuple[Plot, ...]:
        """The terms over t twice, their sum, rate and distortion, eps's error, the weights."""
        x = Axis("t, noise to picture", log_t, (1.0 if log_t else 0.0, self.length), reverse=True)
        terms = tuple(
            line.series(
                lambda m, s: None if m.kind == "prior" else (m.t, s.bpd), lambda s: s.bpd_error
            )
            for line in self.lines
        )
        sums = tuple(line.series(lambda m, s: (m.t, s.total)) for line in self.lines)
        rates = tuple(line.series(lambda _, s: (s.rate, s.distortion)) for line in self.lines)
        errors = tuple(line.series(lambda m, s: (m.t, s.eps_mse)) for line in self.lines)
        weights = (
            Series(SERIES[3], tuple(zip(self.weights.t, self.weights.vlb, strict=True))),
            Series(SERIES[1], ((1, 1), (self.length, 1))),
        )
        over = "of eps's error: violet L_vlb, ochre L_simple"
        return (
            Plot("L_t-1", x, Axis("bits/dim"), terms),
            Plot("L_t-1", x, Axis("bits/dim, log", log=True), terms),
            Plot("sum so far", x, Axis("bits/dim, from noise on"), sums),
            Plot("distortion", Axis("rate, bits/dim"), Axis("rmse of x_0 hat, 0 to 255"), rates),
            Plot("|eps - eps hat|^2", x, Axis("mean square, log", log=True), errors),
            Plot("weight", x, Axis(over, log=True), weights),
        )

    def _title(self) -> str:
        it = self.experiment
        models = ", ".join(bounding.model for bounding in it.each)
        last = next((m[-1] for m in reversed(self.moments) if m), None)
        whole = len(self.moments) == len(it.each) and last is not None and last.kind == "decoder"
        far = "" if whole or last is None else f", stopped at term {last.index} of {last.total}"
        clip = "clipped" if it.clip else "not clipped"
        variance = it.variance.replace("_", " ")
        return f"The bound under {models}: {it.draws} draws, {variance} variance, {clip}{far}"


def _draw_table(paper: Paper, lines: tuple[BoundLine, ...], corner: tuple[float, float]) -> None:
    left, top = corner
    places = [left + 330 + n * 110 for n in range(len(COLUMNS))]
    for place, heading in zip(places, COLUMNS, strict=True):
        paper.text((place, top + 17), heading, fill=QUIET)
    paper.text((left + 34, top + 17), "bits/dim", fill=QUIET)
    for n, line in enumerate(lines, start=1):
        base = top + n * ROW
        paper.line([(left, base), (places[-1] + 60, base)], RULE)
        series = line.series(lambda _, __: None)
        paper.line([(left, base + 13), (left + 24, base + 13)], series.colour, 2.2, series.dash)
        paper.text((left + 34, base + 17), line.name, size=13)
        for place, words in zip(places, _totals(line), strict=True):
            paper.text((place, base + 17), words, size=13)


def _totals(line: BoundLine) -> tuple[str, ...]:
    if not line.terms:
        return ("-",) * len(COLUMNS)
    last = line.terms[-1][1]
    rest = (last.vb, last.decoder, last.total, last.total_error)
    return f"{last.prior:.1e}", *("-" if value is None else f"{value:.4f}" for value in rest)
