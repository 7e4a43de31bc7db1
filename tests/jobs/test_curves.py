"""Curves grow with the run, stay short, and follow it back to a checkpoint."""

import csv
import io
import json
from pathlib import Path

import pytest

from app.jobs.curves import (
    MAX_POINTS,
    MAX_READERS,
    CurveReader,
    CurveReaders,
    curves_csv,
    last_step,
)


def step(number: int, loss: float, speed: float = 1.0) -> str:
    fields = {"kind": "step", "step": number, "loss": loss, "pictures_per_second": speed}
    return json.dumps(fields) + "\n"


def held_out(number: int, weights: str, mean: float) -> str:
    quarters = [mean, mean, None, mean]
    fields = {"kind": "held_out", "step": number, "weights": weights, "mean": mean}
    return json.dumps(fields | {"by_quarter": quarters}) + "\n"


def test_a_long_run_has_few_points_whose_mean_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    losses = [1 / (i + 1) for i in range(4_096)]
    path.write_text("".join(step(i + 1, loss) for i, loss in enumerate(losses)))
    curves = CurveReader(path).read()
    assert 200 <= len(curves.loss) < MAX_POINTS
    assert curves.loss[-1].step == 4_096
    mean = sum(point.value for point in curves.loss) / len(curves.loss)
    assert mean == pytest.approx(sum(losses) / len(losses))
    assert len(curves.smoothed) == len(curves.loss)


def test_what_is_read_bit_by_bit_is_what_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = CurveReader(path)
    assert reader.read().loss == ()
    text = held_out(0, "raw", 1.0) + "".join(step(i, i / 7) for i in range(1, 50))
    for start in range(0, len(text), 37):
        with path.open("a") as file:
            file.write(text[start : start + 37])
        reader.read()
    assert reader.read() == CurveReader(path).read()
    assert [point.step for point in reader.read().loss] == list(range(1, 50))


def test_of_many_runs_those_looked_at_last_keep_their_readers(tmp_path: Path) -> None:
    readers = CurveReaders()
    paths = [tmp_path / f"{i}.jsonl" for i in range(MAX_READERS + 1)]
    for i, path in enumerate(paths):
        path.write_text(step(1, float(i)))
        readers.read(paths[0])
        readers.read(path)
    assert set(readers._readers) == {paths[0], *paths[2:]}
    assert [readers.read(path).loss[0].value for path in paths] == list(range(MAX_READERS + 1))


@pytest.mark.parametrize("back_to", [0, 3, 9])
@pytest.mark.parametrize("then", [2, 9, 30])
def test_a_run_that_goes_back_to_a_checkpoint_is_followed(
    tmp_path: Path, back_to: int, then: int
) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = CurveReader(path)
    path.write_text("".join(step(i, float(i)) for i in range(1, 11)))
    assert len(reader.read().loss) == 10
    kept = "".join(step(i, float(i)) for i in range(1, back_to + 1))
    again = "".join(step(i, float(i), 12.345) for i in range(back_to + 1, back_to + then + 1))
    path.write_text(kept + again)
    assert reader.read() == CurveReader(path).read()
    assert [point.step for point in reader.read().loss] == list(range(1, back_to + then + 1))


@pytest.mark.parametrize(
    ("losses", "turned"),
    [([4, 3, 2, 1], False), ([3, 1, 2, 3], False), ([1, 2, 3, 4], True), ([1, 2, 2, 3], False)],
)
def test_a_held_out_loss_that_rises_three_times_is_noticed(
    tmp_path: Path, losses: list[float], turned: bool
) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = []
    for i, loss in enumerate(losses, 1):
        lines += [step(i, 1.0), held_out(i, "raw", 1.0), held_out(i, "ema-0.050", loss)]
    path.write_text("".join(lines))
    curves = CurveReader(path).read()
    assert curves.turned_up is turned
    assert [point.value for point in curves.held_out["ema-0.050"]] == losses
    assert [len(quarter) for quarter in curves.held_out_by_quarter] == [4, 4, 0, 4]


def test_the_last_whole_step_is_found(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_step(path) is None
    path.write_text(step(1, 1.0) + step(2, 2.0) + held_out(2, "raw", 1.0) + step(3, 3.0)[:20])
    found = last_step(path)
    assert found is not None
    assert found["step"] == 2


def test_the_table_has_a_row_for_each_step_and_what_was_measured_in_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert curves_csv(path) == "step\n"
    lines = [held_out(0, "raw", 1.0), step(1, 0.5), step(2, 0.25), held_out(2, "ema-0.050", 0.125)]
    path.write_text("".join(lines) + '{"kind": "st')
    rows = list(csv.DictReader(io.StringIO(curves_csv(path))))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert [row["loss"] for row in rows] == ["", "0.5", "0.25"]
    assert [row["held_out_raw_mean"] for row in rows] == ["1.0", "", ""]
    assert rows[2]["held_out_ema-0.050_by_quarter_4"] == "0.125"
    assert rows[2]["held_out_ema-0.050_by_quarter_3"] == "", "no picture lay there"
