"""A run's curves, read from its metrics as they grow, in at most 500 points each."""

import csv
import io
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cachetools import LRUCache

MAX_POINTS: Final = 500
SMOOTHING: Final = 0.9
TAIL_BYTES: Final = 4_096
MAX_READERS: Final = 32


@dataclass(frozen=True)
class Point:
    """The mean `value` of some steps, of which the last is `step`."""

    step: int
    value: float


@dataclass(frozen=True)
class TrainingCurves:
    """The curves of a run.

    Attributes:
        loss: The mean loss of as many steps as a point stands for.
        smoothed: Its exponential average over the points.
        held_out: The mean held-out loss by weights, "raw" or an average's name.
        held_out_by_quarter: The held-out loss of the first average in each quarter of [0, T); a
            quarter without pictures has no points.
        turned_up: Whether the held-out loss of the averages has risen three times in a row.
    """

    loss: tuple[Point, ...]
    smoothed: tuple[Point, ...]
    held_out: dict[str, tuple[Point, ...]]
    held_out_by_quarter: tuple[tuple[Point, ...], ...]
    turned_up: bool


@dataclass
class _Series:
    """A series of values, added one by one and kept as means over ever more steps."""

    stride: int = 1
    points: list[Point] = field(default_factory=list)
    sum: float = 0.0
    count: int = 0

    def add(self, step: int, value: float) -> None:
        self.sum += value
        self.count += 1
        if self.count == self.stride:
            self.points.append(Point(step, self.sum / self.count))
            self.sum, self.count = 0.0, 0
        if len(self.points) == MAX_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [Point(b.step, (a.value + b.value) / 2) for a, b in pairs]
            self.stride *= 2


class CurveReader:
    """A reader that follows one metrics file; each call reads only lines added since the last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self._offset = 0
        self._step = 0
        self._loss = _Series()
        self._held_out: dict[str, _Series] = {}
        self._quarters = [_Series() for _ in range(4)]

    def read(self) -> TrainingCurves:
        """Read the curves up to now; they are empty before the run begins."""
        if self._path.is_file() and not self._follow():
            # The run went back to a checkpoint, and overwrote lines that were already read.
            self._begin()
            self._follow()
        return self._curves()

    def _follow(self) -> bool:
        """Read the new lines; return False if they don't continue those read before."""
        if self._path.stat().st_size < self._offset:
            return False
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if not self._add(line):
                    return False
                self._offset += len(line)
        return True

    def _add(self, line: bytes) -> bool:
        try:
            fields: dict[str, Any] = json.loads(line)
            step = int(fields["step"])
        except (ValueError, TypeError, KeyError):
            return False
        if fields["kind"] == "step":
            if step != self._step + 1:
                return False
            self._step = step
            self._loss.add(step, fields["loss"])
            return True
        if step != self._step:
            return False
        self._held_out.setdefault(fields["weights"], _Series()).add(step, fields["mean"])
        averages = [name for name in self._held_out if name != "raw"]
        if fields["weights"] in averages[:1]:
            for series, value in zip(self._quarters, fields["by_quarter"], strict=True):
                if value is not None:
                    series.add(step, value)
        return True

    def _curves(self) -> TrainingCurves:
        averages = [series for name, series in self._held_out.items() if name != "raw"]
        return TrainingCurves(
            loss=tuple(self._loss.points),
            smoothed=_smoothed(self._loss.points),
            held_out={name: tuple(series.points) for name, series in self._held_out.items()},
            held_out_by_quarter=tuple(tuple(series.points) for series in self._quarters),
            turned_up=bool(averages) and all(_rises(series.points) for series in averages),
        )


class CurveReaders:
    """The readers of the files that were read most recently."""

    def __init__(self) -> None:
        self._readers: LRUCache[Path, CurveReader] = LRUCache(MAX_READERS)
        self._lock = threading.Lock()

    def read(self, path: Path) -> TrainingCurves:
        """Read the curves in a metrics file, up to now."""
        with self._lock:
            return self._readers.setdefault(path, CurveReader(path)).read()


def _smoothed(points: list[Point]) -> tuple[Point, ...]:
    smoothed: list[Point] = []
    for point in points:
        before = smoothed[-1].value if smoothed else point.value
        smoothed.append(Point(point.step, SMOOTHING * before + (1 - SMOOTHING) * point.value))
    return tuple(smoothed)


def _rises(points: list[Point]) -> bool:
    last = [point.value for point in points[-4:]]
    return len(last) == 4 and last == sorted(set(last))


def curves_csv(path: Path) -> str:
    """Write a metrics file as CSV: a row a step, held-out losses in the row of their step.

    A list becomes a column for each of its values, as loss_by_quarter_1; what wasn't measured at a
    step is left empty. Step 0 has held-out losses alone.
    """
    rows: dict[int, dict[str, object]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError):  # the last line may be half written
            fields: dict[str, Any] = json.loads(line)
            kind, weights = fields.pop("kind"), fields.pop("weights", "")
            before = f"held_out_{weights}_" if kind == "held_out" else ""
            row = rows.setdefault(fields.pop("step"), {})
            for name, value in fields.items():
                many = enumerate(value, 1) if isinstance(value, list) else ((None, value),)
                row |= {before + name + (f"_{i}" if i else ""): each for i, each in many}
    columns = dict.fromkeys(name for row in rows.values() for name in row)
    table = io.StringIO()
    writer = csv.DictWriter(table, ["step", *columns], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"step": step} | rows[step] for step in sorted(rows))
    return table.getvalue()


def last_step(path: Path) -> dict[str, Any] | None:
    """Return the fields of the last whole step line of a metrics file; None before the first."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        with suppress(ValueError):
            fields: dict[str, Any] = json.loads(line)
            if fields["kind"] == "step":
                return fields
    return None
