"""What a second stage is trained on: crops of pictures and of the same pictures made small.

All that is random about a step is drawn from (seed, step) for the whole batch, and what takes time,
shrinking the pictures, is done by each process for its own rows.
"""

from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from app.datasets.folder import DecodedPictures
from app.diffusion.cascade import BANDS, CHROMA_BANDS, LUMA_BANDS, RATIO, Bands, enlarged
from app.diffusion.conditioning import Condition
from app.diffusion.forward import q_sample
from app.diffusion.schedule import CLEAN, code_t
from app.diffusion.seeds import derived_seed
from app.errors import StudioError
from app.images.arrays import Pixels
from app.images.pixels import evenly_spaced, to_unit
from app.models.stages import low_res_schedule
from app.training.batches import Batch, StepRandomness, draw
from app.training.config import TrainConfig
from app.training.stage_config import StageConfig

_STEP: Final = 5

MARGIN: Final = 2
"""How far bicubic enlargement and the blur look beyond a small pixel."""

MEASURED: Final = 1000
"""The most pictures by which the bands' deviations are measured."""

_LEAST_STD: Final = 1e-4
"""A band of a smaller deviation isn't there: a level of 255 is 0.008."""


@dataclass(frozen=True, eq=False)
class StageRandomness:
    """The random draws of a second stage's step.

    Attributes:
        step: Those that a model's step has, too.
        sides: (B,), the sides that pictures are shrunk to.
        corners: (B, 2) in [0, 1), where crops lie.
        sigmas: (B,), the deviations of the blur of small pictures; 0 is none.
        low_res_t: (B,) int64, the timesteps of small pictures' noise; -1 where they are clean.
        low_res_eps: (B, 3, h, w), that noise.
    """

    step: StepRandomness
    sides: list[int]
    corners: Tensor
    sigmas: Tensor
    low_res_t: Tensor
    low_res_eps: Tensor


def draw_stage(
    config: TrainConfig, stage: StageConfig, step: int, *, pictures: int, timesteps: int
) -> StageRandomness:
    """Draw everything random about `step`, counted from 0, of a run of so many `pictures`."""
    phase, batch = config.phase_at(step), config.batch_size
    shape = (BANDS, phase.size, phase.size)
    common = draw(config, step, pictures=pictures, shape=shape, timesteps=timesteps)
    if step * batch < stage.regression_views:
        common.t.fill_(timesteps - 1)
    generator = torch.Generator().manual_seed(derived_seed(config.seed, _STEP, step))
    low_res_eps = torch.randn((batch, 3, phase.size, phase.size), generator=generator)
    sides, corners = phase.large_sides, torch.rand((batch, 2), generator=generator)
    which = torch.randint(len(sides), (batch,), generator=generator)
    blurred, sigma, noised = torch.rand((3, batch), generator=generator)
    # t = 0 is left out: with level 0 the network is told that there is no noise.
    last = code_t(stage.low_res_noise)
    levels = torch.randint(1, max(2, last + 1), (batch,), generator=generator)
    clean = (noised < stage.clean_share) | (last < 1)
    return StageRandomness(
        common,
        sides=[sides[i] for i in which.tolist()],
        corners=corners,
        sigmas=sigma * stage.blur_sigma * (blurred < stage.blur_share),
        low_res_t=levels.masked_fill(clean, CLEAN),
        low_res_eps=low_res_eps,
    )


@dataclass(frozen=True, eq=False)
class StageViews:
    """A step's batch before it is made.

    Attributes:
        pixels: (N, S, S, 3) uint8, all pictures.
        bands: The bands of what enlargement misses.
        draws: What is drawn for the whole batch.
    """

    pixels: Pixels
    bands: Bands
    draws: StageRandomness

    def rows(self, rows: slice) -> Batch:
        """Make the batch of these rows alone; its x_0 are bands."""
        draws, step = self.draws, self.draws.step
        made = [self._crop(i) for i in range(*rows.indices(len(draws.sides)))]
        bands, low_res = (torch.cat(each) for each in zip(*made, strict=True))
        t = draws.low_res_t[rows]
        shown = q_sample(low_res_schedule(), low_res, t, draws.low_res_eps[rows])
        condition = Condition(low_res=shown, low_res_t=t.clamp(min=0))
        return Batch(bands, step.eps[rows], step.t[rows], condition)

    def _crop(self, i: int) -> tuple[Tensor, Tensor]:
        """Make the bands (1, 24, h, w) of row `i`, and its small picture (1, 3, h, w), blurred."""
        draws, size = self.draws, self.draws.step.eps.shape[-1]
        high_res, low_res = pair(self.pixels[int(draws.step.index[i])], draws.sides[i])
        room = low_res.shape[0] - size + 1
        y, x = (draws.corners[i] * room).long().tolist()
        # With a margin, so that a crop is what it would be of the whole picture.
        top, left = max(0, y - MARGIN), max(0, x - MARGIN)
        near = to_unit(low_res[None, top : y + size + MARGIN, left : x + size + MARGIN])
        begun = _cut(enlarged(near), RATIO * (y - top), RATIO * (x - left), RATIO * size)
        rows, columns = (slice(RATIO * at, RATIO * (at + size)) for at in (y, x))
        crop = to_unit(high_res[None, rows, columns])
        sigma = float(draws.sigmas[i])
        shown = blurred(near, sigma) if sigma else near
        return self.bands.of(crop - begun), _cut(shown, y - top, x - left, size)


def _cut(pictures: Tensor, top: int, left: int, size: int) -> Tensor:
    return pictures[..., top : top + size, left : left + size]


@dataclass(frozen=True, eq=False)
class StageData:
    """The pictures to train a second stage on, at the one size that they are kept at."""

    pictures: DecodedPictures
    bands: Bands

    def views(self, config: TrainConfig, step: int, timesteps: int) -> StageViews:
        """Return the batch of `step`, counted from 0, with t in [0, `timesteps`).

        Raises:
            ValueError: If `config` is a model's.
        """
        if config.stage is None:
            raise ValueError("only a second stage has views in bands")
        draws = draw_stage(
            config, config.stage, step, pictures=len(self.pictures), timesteps=timesteps
        )
        return StageViews(self.pictures.pixels[config.stage.side], self.bands, draws)


def pair(pixels: Pixels, side: int) -> tuple[Pixels, Pixels]:
    """Shrink a picture (S, S, 3) to `side` pixels, and that to a quarter, by Pillow's Lanczos."""
    large = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
    small = large.resize((side // RATIO, side // RATIO), Image.Resampling.LANCZOS)
    return np.asarray(large), np.asarray(small)


def blurred(low_res: Tensor, sigma: float) -> Tensor:
    """Blur pictures (B, 3, h, w) by a Gaussian of 5 x 5 pixels with deviation `sigma`."""
    places = torch.arange(-MARGIN, MARGIN + 1.0)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(3, 1, -1)
    padded = F.pad(low_res, (MARGIN,) * 4, "reflect")
    down = F.conv2d(padded, weights[..., None], groups=3)
    return F.conv2d(down, weights[:, :, None], groups=3)


def measured_bands(config: TrainConfig, pixels: Pixels) -> Bands:
    """Measure the bands' deviations over pictures (N, S, S, 3) uint8, shrunk as in training.

    Raises:
        StudioError: If a band doesn't vary, as in grey or empty pictures.
    """
    plain, power = Bands(torch.ones(BANDS)), torch.zeros(BANDS)
    sides = cycle(sorted({side for phase in config.phases for side in phase.large_sides}))
    chosen = evenly_spaced(MEASURED, len(pixels))
    for i, side in zip(chosen, sides, strict=False):
        high_res, low_res = (to_unit(each[None]) for each in pair(pixels[i], side))
        power += plain.of(high_res - enlarged(low_res)).square().mean((0, 2, 3)) / len(chosen)
    std = power.sqrt()
    if bool((std < _LEAST_STD).any()):
        flat = bool((std[:LUMA_BANDS] < _LEAST_STD).any())
        raise StudioError(
            "The pictures have no fine detail." if flat else "The pictures are grey.",
            "A second stage learns brushwork in colour: give it pictures that have both.",
        )
    return Bands(std)


def band_fields(bands: Bands, stage: StageConfig) -> dict[str, Any]:
    """Return the contents of the bands.json of a stage that is trained as `stage` says."""
    return {
        "std": bands.std.tolist(),
        "colour": "ycbcr",
        "luma": LUMA_BANDS,
        "chroma": CHROMA_BANDS,
        "low_res_noise": stage.low_res_noise,
        "s_noise": stage.s_noise,
    }
