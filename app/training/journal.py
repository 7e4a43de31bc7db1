"""metrics.jsonl: one line for each step and each held-out loss, only ever added to."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Self

from app.training.held_out import HeldOutLoss
from app.training.trainer import TrainStep


class Journal:
    """The open file.

    Opening it for a run that resumes after `step` steps drops what lies beyond that step, or
    was cut off in the middle of a line, so that a resumed run leaves no gap and repeats nothing.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._file = path.open("ab")
        self._file.truncate(_length_up_to(path, step))

    def step(self, step: TrainStep) -> None:
        """Add a step."""
        self._add({"kind": "step", **asdict(step)})

    def held_out(self, step: int, weights: str, loss: HeldOutLoss) -> None:
        """Add the held-out loss, after `step` steps, of "raw" or of an EMA."""
        self._add({"kind": "held_out", "step": step, "weights": weights, **asdict(loss)})

    def sync(self) -> None:
        """Wait until the disk has every line."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, fields: dict[str, object]) -> None:
        self._file.write(json.dumps(fields).encode() + b"\n")
        self._file.flush()


def _length_up_to(path: Path, step: int) -> int:
    """The bytes of the lines, from the first, that are whole and not beyond `step`."""
    length = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                break
            length += len(line)
    return length
