"""Figures of a table and line plots in the house's colours, drawn with matplotlib.

matplotlib is imported when the first figure is drawn, and never its pyplot, whose figures are
global.
"""

import io
import threading
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from app.documents import Document
from app.images.encoding import png_bytes
from app.images.sheets import INK, PAPER
from app.settings import quiet_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LILY, OCHRE, COBALT, WISTERIA, POPPY = "#4F8A74", "#C98F2B", "#2F5D9B", "#8A6FB0", "#C2533B"
SERIES: Final = (LILY, OCHRE, COBALT, WISTERIA, POPPY)
STYLES: Final = ("-", "--", ":")
"""Colours tell series apart; styles of line tell groups of series apart."""
FONT: Final = "DejaVu Sans"
QUIET: Final = "#66727C"
RULE: Final = "#E2DBCB"

WIDTH: Final = 10.6
PLOT_HEIGHT: Final = 2.6
ROW: Final = 0.26
TITLE_ROW: Final = 0.3
MARGIN: Final = 0.25
"""Lengths are in inches of DPI pixels."""
DPI: Final = 200
PLOTS_A_ROW: Final = 3
CELL: Final = 0.105
"""The width of a table's column of numbers, as a share of the table's."""
TITLE_LENGTH: Final = 100
NAME_LENGTH: Final = 60
"""Characters in a line of a title, and in the name of a table's row."""

TICKS: Final[dict[str, Any]] = {"nbins": 5, "steps": [1, 2, 5, 10]}
RC: Final[dict[Any, Any]] = {
    "font.family": FONT,
    "font.size": 8.5,
    "mathtext.fontset": "custom",
    "mathtext.rm": FONT,
    "mathtext.it": "DejaVu Serif:italic",
    "text.color": f"#{bytes(INK).hex()}",
    "figure.facecolor": f"#{bytes(PAPER).hex()}",
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "axes.facecolor": "none",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titlepad": 8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.edgecolor": "none",
    "legend.facecolor": f"#{bytes(PAPER).hex()}",
    "legend.framealpha": 1,
    "lines.linewidth": 1.4,
}

_drawing = threading.Lock()


@dataclass(frozen=True)
class Axis:
    """An axis: its label with symbol and unit, and its range where that isn't the points' own."""

    label: str
    log: bool = False
    span: tuple[float, float] | None = None
    reverse: bool = False


@dataclass(frozen=True)
class Series:
    """A line through `points` (x, y), with `errors` of y as a band where they are known.

    A `name` stands in the plot's legend; a plot of nameless series has none.
    """

    colour: str
    points: tuple[tuple[float, float], ...]
    errors: tuple[float | None, ...] = ()
    style: str = "-"
    name: str = ""


@dataclass(frozen=True)
class Plot:
    """One plot. Its title, labels and names may hold mathematics between dollar signs."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]


@dataclass(frozen=True)
class TableRow:
    """A row of a table: a name, the line that it explains, and its cells, which may be maths."""

    name: str
    colour: str
    style: str
    cells: tuple[str, ...]


def figure_png(
    title: str,
    headings: tuple[str, ...],
    rows: tuple[TableRow, ...],
    plots: tuple[Plot, ...],
    recipe: Document,
) -> bytes:
    """Draw a PNG file, WIDTH * DPI pixels wide: a title, a table and plots, with a recipe inside.

    Args:
        title: Plain text.
        headings: The table's: over the rows' names, then over each column of cells.
        rows: The table's, whose lines are the plots' legend.
        plots: From left to right, PLOTS_A_ROW in a row.
        recipe: Goes into the PNG's text.
    """
    quiet_matplotlib()
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    rows_of_plots = -(-len(plots) // PLOTS_A_ROW)
    # matplotlib's settings and its parser of mathematics are shared by the whole process.
    with _drawing, rc_context(RC):
        lines = wrap(_drawable(title), TITLE_LENGTH)
        table_top = MARGIN + TITLE_ROW * len(lines)
        head = table_top + ROW * (len(rows) + 2)
        height = head + PLOT_HEIGHT * rows_of_plots
        figure = Figure((WIDTH, height), dpi=DPI)
        left, width = MARGIN / WIDTH, 1 - 2 * MARGIN / WIDTH
        rect = (left / 2, 0, 1 - left, 1 - head / height)
        figure.set_layout_engine("constrained", rect=rect)
        for n, line in enumerate(lines):
            top = 1 - (MARGIN + n * TITLE_ROW) / height
            figure.text(left, top, line, size=12, va="top", parse_math=False)
        table = (left, 1 - head / height, width, (head - table_top) / height)
        _draw_table(figure.add_axes(table), headings, rows)
        for n, plot in enumerate(plots, start=1):
            _draw_plot(figure.add_subplot(rows_of_plots, PLOTS_A_ROW, n), plot)
        return png_bytes(_image(figure), recipe)


def _draw_table(ax: "Axes", headings: tuple[str, ...], rows: tuple[TableRow, ...]) -> None:
    """Fill `ax` with the table, each row 1 high, from 0 down, with a row left free below."""
    ax.set(xlim=(0, 1), ylim=(len(rows) + 2, 0))
    ax.set_axis_off()
    places = [1 - CELL * n for n in reversed(range(len(headings) - 1))]
    ax.text(0.035, 0.5, headings[0], color=QUIET, va="center")
    for x, heading in zip(places, headings[1:], strict=True):
        ax.text(x, 0.5, heading, color=QUIET, va="center", ha="right")
    for y, row in enumerate(rows, start=1):
        ax.axhline(y, color=RULE, linewidth=0.8)
        ax.plot((0, 0.025), (y + 0.5, y + 0.5), color=row.colour, linestyle=row.style)
        name = _shortened(_drawable(row.name))
        ax.text(0.035, y + 0.5, name, va="center", parse_math=False)
        for x, cell in zip(places, row.cells, strict=True):
            ax.text(x, y + 0.5, cell, va="center", ha="right")


def _draw_plot(ax: "Axes", plot: Plot) -> None:
    ax.set(title=plot.title, xlabel=plot.x.label, ylabel=plot.y.label)
    if plot.x.log:
        ax.set_xscale("log", nonpositive="mask")
    else:
        ax.locator_params("x", **TICKS)
        ax.xaxis.set_major_formatter("{x:g}")
    if plot.y.log:
        ax.set_yscale("log", nonpositive="mask")
    else:
        ax.locator_params("y", **TICKS)
        ax.yaxis.set_major_formatter("{x:g}")
    for series in plot.series:
        if series.points:
            (line,) = ax.plot(*zip(*series.points, strict=True), color=series.colour)
            line.set(linestyle=series.style, label=series.name, clip_on=False)
            line.set_marker("." if len(series.points) == 1 else "")
    ax.set_xlim(_span(plot.x, *ax.get_xlim()))
    ax.set_ylim(_span(plot.y, *ax.get_ylim()))
    floor = ax.get_ylim()[0]
    for series in plot.series:
        known = [
            (x, max(y - error, floor), y + error)
            for (x, y), error in zip(series.points, series.errors, strict=False)
            if error
        ]
        if known:
            x, under, over = zip(*known, strict=True)
            ax.fill_between(x, under, over, color=series.colour, alpha=0.2, linewidth=0)
    if plot.x.reverse:
        ax.invert_xaxis()
    if any(series.name for series in plot.series):
        ax.legend()


def _span(axis: Axis, low: float, high: float) -> tuple[float, float]:
    """Return the axis' own range, or else the points' with a margin; from 0 where that is near."""
    if axis.span is not None:
        return axis.span
    margin = (high - low) / 11
    return (0 if not axis.log and 0 <= low + margin < high / 2 else low), high


def _image(figure: "Figure") -> Image.Image:
    """Render the figure's pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba")
    width, height = (int(side) for side in figure.bbox.size)
    return Image.frombytes("RGBA", (width, height), buffer.getvalue()).convert("RGB")


def _drawable(words: str) -> str:
    """Put a mark in place of each character that the font doesn't have."""
    from matplotlib.font_manager import findfont, get_font  # noqa: PLC0415 - slow to import

    known = get_font(findfont(FONT)).get_charmap()
    return "".join(
        letter if ord(letter) in known else "\N{REPLACEMENT CHARACTER}" for letter in words
    )


def _shortened(name: str) -> str:
    """Cut the middle out of a long name: models are told apart by both ends."""
    half = NAME_LENGTH // 2
    return name if len(name) <= NAME_LENGTH else f"{name[:half]}…{name[-half:]}"
