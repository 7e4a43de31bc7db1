"""What the pictures of a batch are to show, handed from the sampler to the network.

Only a network's own adapter reads the fields; code in between only cuts, joins and moves them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import torch
from torch import Tensor

Shown = TypeVar("Shown", bound="Condition")


@dataclass(frozen=True, eq=False)
class Condition:
    """What each picture of a batch is to show; all fields are batched along the first axis.

    Attributes:
        labels: Classes, (B,) int64; None for a network without.
        low_res: What a second stage enlarges, (B, 3, h, w), noised; None for a first stage.
        low_res_t: The timestep of the noise in `low_res`, (B,) int64; 0 where there is none, too.
    """

    labels: Tensor | None = None
    low_res: Tensor | None = None
    low_res_t: Tensor | None = None

    @classmethod
    def of_label(cls, label: int | None, pictures: int) -> "Condition | None":
        """Make a condition of class `label` for `pictures` pictures; None without a label."""
        return None if label is None else cls(torch.full((pictures,), label))

    @staticmethod
    def joined(parts: Sequence[Shown]) -> Shown:
        """Join the conditions of several batches into one, in their order."""
        values = {f.name: [getattr(part, f.name) for part in parts] for f in fields(parts[0])}
        whole = {name: torch.cat(each) for name, each in values.items() if each[0] is not None}
        return replace(parts[0], **whole)

    def rows(self, rows: slice | Tensor) -> Self:
        """Return the condition of a part of the batch."""
        return self._each(lambda values: values[rows])

    def to(self, device: torch.device) -> Self:
        """Return the condition on `device`."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{n: change(it) for n, it in values.items() if it is not None})
