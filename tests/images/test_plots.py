"""Figures: their lines, whatever a person's names hold, and what they cost the process."""

import gc
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from app.images.plots import DPI, POPPY, WIDTH, Axis, Plot, Series, TableRow, figure_png
from app.laboratory.experiments import BoundRequest, Subject
from app.settings import ROOT

RECIPE = BoundRequest(model="tiny", subjects=(Subject(kind="noise", name="noise"),))
ROW = TableRow("noise", POPPY, "--", ("$2^{-1}$", "0.5"))
DIAGONAL = Series(POPPY, ((1.0, 1.0), (10.0, 10.0), (100.0, 100.0)))
AXIS = Axis("x", span=(1.0, 100.0))
PLOT = Plot("A plot", AXIS, AXIS, (DIAGONAL,))


def figure(*plots: Plot, title: str = "A figure", rows: tuple[TableRow, ...] = ()) -> bytes:
    return figure_png(title, ("bits/dim", "$L_T$", "sum"), rows, plots, RECIPE)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def places(picture: np.ndarray, colour: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns where `colour` is."""
    rows, columns = np.nonzero(np.abs(picture - ImageColor.getrgb(colour)).sum(-1) < 30)
    return rows, columns


@pytest.mark.parametrize("log", [False, True])
def test_a_plots_line_goes_through_its_points(log: bool) -> None:
    """From the lower left corner to the upper right one, and reversed the other way."""
    found = []
    for reverse in (False, True):
        x, y = replace(AXIS, log=log, reverse=reverse), replace(AXIS, log=log)
        rows, columns = places(pixels(figure(replace(PLOT, x=x, y=y))), POPPY)
        found.append(float(np.corrcoef(rows, columns)[0, 1]))
    assert found[0] == pytest.approx(-1, abs=0.02)
    assert found[1] == pytest.approx(1, abs=0.02)


def test_a_figure_is_as_wide_as_said_and_as_high_as_its_rows() -> None:
    few, many = pixels(figure(PLOT)), pixels(figure(*[PLOT] * 4, rows=(ROW,) * 3))
    assert few.shape[1] == many.shape[1] == round(WIDTH * DPI)
    assert few.shape[0] < many.shape[0]


def test_a_band_shows_errors_where_they_are_known() -> None:
    bare = Series(POPPY, ((1.0, 50.0), (50.0, 50.0), (100.0, 50.0)))
    drawn = [
        pixels(figure(replace(PLOT, series=(replace(bare, errors=errors),))))
        for errors in ((), (None, None, None), (None, 20.0, 20.0))
    ]
    assert np.array_equal(drawn[0], drawn[1])
    ys, xs = np.nonzero(np.abs(drawn[2] - drawn[0]).sum(-1))
    _, line = places(drawn[0], POPPY)
    assert np.ptp(ys) > 100
    assert xs.min() == pytest.approx(line.mean(), abs=10)
    assert xs.max() == pytest.approx(line.max(), abs=10)


def test_a_line_leaves_out_what_no_scale_has_a_place_for() -> None:
    """A logarithm's zero, and numbers that are none."""
    points = ((1.0, float("nan")), (5.0, float("inf")), (10.0, 10.0), (50.0, 0.0), (90.0, -1.0))
    axis = Axis("y", log=True)
    _, columns = places(
        pixels(figure(replace(PLOT, y=axis, series=(Series(POPPY, points),)))), POPPY
    )
    assert len(columns) == 0
    single = Series(POPPY, ((50.0, 10.0),))
    rows, columns = places(pixels(figure(replace(PLOT, y=axis, series=(single,)))), POPPY)
    assert 0 < np.ptp(rows) < 20
    assert 0 < np.ptp(columns) < 20


def test_a_persons_names_are_drawn_as_they_are() -> None:
    """Neither mathematics nor a letter that the font lacks makes a figure fail or warn."""
    for name in (r"5 $ and \frac{ $", "日本の絵\n庭", "W" * 300):
        row = replace(ROW, name=name)
        assert not np.array_equal(
            pixels(figure(PLOT, title=name, rows=(row,))), pixels(figure(PLOT, rows=(ROW,)))
        )


def test_figures_are_drawn_in_several_threads_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: figure(PLOT, rows=(ROW,)), range(8)))
    assert set(drawn) == {figure(PLOT, rows=(ROW,))}


def test_figures_are_freed() -> None:
    figure(PLOT)
    gc.collect()
    assert not {"Figure", "RendererAgg"} & {type(it).__name__ for it in gc.get_objects()}


def test_a_figure_needs_no_home_and_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").touch()  # no folder can be made below a file, not even by root
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MPL", "XDG"))}
    code = (
        "import sys\n"
        "from tests.images.test_plots import PLOT, figure\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figure(PLOT)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=kept | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
