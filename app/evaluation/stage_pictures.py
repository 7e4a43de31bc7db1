"""The paintings that a second stage is judged with, at the sizes that it takes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.datasets.folder import Skipped, find_pictures, load_pictures
from app.diffusion.cascade import RATIO
from app.errors import StudioError
from app.evaluation.evaluator import LEAST
from app.images.arrays import Pixels
from app.images.reading import Fit, Treatment, resized


@dataclass(frozen=True, eq=False)
class StagePictures:
    """The paintings that a stage is judged with.

    Attributes:
        originals: (N, S, S, 3) uint8, to be compared with, at thirteen sixteenths of the output.
        small: (N, h, h, 3), the first stage's size.
        whole: (N, S', S', 3), the same, seven eighths of the output: 224 px where it has 256.
        reference: (M, S', S', 3), others.
        learned: (L, S', S', 1), all pictures that the stage may have learned from, grey; none
            where they aren't known.
        skipped: The pictures that could not be used.
        others: Which the others are, in words.
    """

    originals: Pixels
    small: Pixels
    whole: Pixels
    reference: Pixels
    learned: Pixels
    skipped: tuple[Skipped, ...]
    others: str

    @property
    def low_res(self) -> Pixels:
        """The `originals` at a quarter of their side."""
        return resized(self.originals, self.originals.shape[1] // RATIO)

    @classmethod
    def read(
        cls, data: Path, train: Path | None, side: int, count: int, *, fit: Fit, seed: int = 0
    ) -> "StagePictures":
        """Read `count` pictures, or all there are, for outputs of four times `side`.

        The others are from `train`; without it, one half of `data` stands against the other.

        Raises:
            StudioError: If there are fewer than 16 usable pictures on a side.
        """
        rng = np.random.default_rng(seed)
        names = rng.permutation(find_pictures(data, LEAST if train else 2 * LEAST))
        if train:
            others = rng.permutation(find_pictures(train, LEAST))
        else:
            names, others = np.array_split(names, 2)
        # A picture that has to be enlarged first lacks the detail that is judged.
        cut, whole = RATIO * (side * 13 // 16 // 4 * 4), RATIO * side * 7 // 8
        own, reference = (
            load_pictures(folder, tuple(map(str, of[:count])), Treatment(sizes, 3, fit, whole))
            for folder, of, sizes in (
                (data, names, (side, cut, whole)),
                (train or data, others, (whole,)),
            )
        )
        if min(len(own), len(reference)) < LEAST:
            raise StudioError(
                f"Of {len(own)} pictures and {len(reference)} others one can't judge.",
                f"{LEAST} of each are needed, of {whole} pixels a side at least.",
            )
        return cls(
            originals=own.pixels[cut],
            small=own.pixels[side],
            whole=own.pixels[whole],
            reference=reference.pixels[whole],
            learned=_grey(train, whole, fit) if train else np.empty((0, whole, whole, 1), np.uint8),
            skipped=(*own.skipped, *reference.skipped),
            others="training paintings" if train else "the other half of the paintings",
        )


def _grey(folder: Path, side: int, fit: Fit) -> Pixels:
    treatment = Treatment((side,), 1, fit, side)
    return load_pictures(folder, find_pictures(folder, LEAST), treatment).pixels[side]
