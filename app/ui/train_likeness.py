"""Did it copy? What a job painted, each picture beside the nearest one that it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from PIL import Image

from app.service.jobs.likeness import Likeness
from app.service.novelty import nearness
from app.ui.lab_messages import jpeg_uri
from app.ui.messages import Message


@dataclass(frozen=True)
class Pair:
    """A sample and the training picture nearest to it, as data-URIs, and how near that is."""

    sample: str
    nearest: str
    words: str
    copied: bool


@dataclass(frozen=True)
class Comparison(Message):
    """The newest samples of a job, compared."""

    kind: ClassVar[str] = "comparison"
    job: str
    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, job_id: str, found: Sequence[Likeness]) -> Self:
        """As a page takes it."""
        return cls(job_id, tuple(_pair(each) for each in found))


def _pair(each: Likeness) -> Pair:
    side = each.sample.shape[0]
    with Image.open(each.file) as image:
        nearest = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
    return Pair(
        jpeg_uri(each.sample), jpeg_uri(nearest), nearness(each.nearest), each.nearest.is_copy
    )
