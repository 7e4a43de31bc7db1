"""Randomness that belongs to a picture: one seeded generator each, always on the CPU.

A picture's noise is therefore the same on every device and in every batch, and equals what
diffusers draws when it is given the same list of generators.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from app.diffusion.mixing import slerp

MAX_SEED: Final = 2**32 - 1


def derived_seed(*parts: int) -> int:
    """Derive a seed that depends on all of `parts` (each >= 0), unrelated to any one of them."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


class SeededNoise:
    """The standard normal draws of a batch: picture i draws from its own `seeds[i]`."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(self, picture_shape: Sequence[int]) -> Tensor:
        """Draw the next noise of every picture: (B, *picture_shape), float32."""
        shape = (1, *picture_shape)
        return torch.cat([torch.randn(shape, generator=g) for g in self.generators])


class VariedNoise(SeededNoise):
    """The draws of a batch, each turned along the arc towards that of another seed.

    Not x_T alone: where a sampler draws noise at each step, that decides most of the picture.

    Args:
        seeds: Of each picture.
        others: The seed that each is turned to.
        strength: In [0, 1]: 0 draws as `seeds`, to the bit, and 1 as `others`.
    """

    def __init__(self, seeds: Sequence[int], others: Sequence[int], strength: float) -> None:
        super().__init__(seeds)
        self._others = SeededNoise(others)
        self._strength = torch.tensor([strength], dtype=torch.float64)

    def draw(self, picture_shape: Sequence[int]) -> Tensor:
        """Draw the next noise of every picture: (B, *picture_shape), float32."""
        own, other = super().draw(picture_shape), self._others.draw(picture_shape)
        pairs = zip(own.split(1), other.split(1), strict=True)
        return torch.cat([slerp(one, two, self._strength) for one, two in pairs])
