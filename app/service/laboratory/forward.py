"""The forward process of one picture: strips of x_t, and what the page needs to draw any x_t."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from app.diffusion.schedule import NoiseSchedule
from app.service.laboratory.decoding import draw_eps
from app.service.laboratory.experiments import Chain, Inspection, Noising
from app.service.laboratory.statistics import Sample
from app.service.models import LoadedModel
from app.service.pictures import (
    AnimationFormat,
    Pixels,
    animation,
    film_strip,
    picture_pixels,
    png_bytes,
)
from app.service.recipe import file_stem


@dataclass(frozen=True, eq=False)
class ForwardMaterial:
    """Enough to compute x_t at every t without asking again.

    Attributes:
        pixels: x_0 as (H, W, 3) uint8; x_0 itself is pixels / 127.5 - 1.
        eps: (H, W, 3) float32; three equal channels where the model is grey.
        alpha_bar: alpha_bar at the paper's t = 0, 1, ..., T.
    """

    pixels: Pixels
    eps: NDArray[np.float32]
    alpha_bar: tuple[float, ...]


def material_of(
    model: LoadedModel, x_0: Tensor, seed: int, which: int, schedule: NoiseSchedule | None = None
) -> ForwardMaterial:
    """The material of `x_0` (1, C, H, W) and the eps that `which` derives from `seed`."""
    eps = draw_eps(seed, which, model.info)[0]
    return ForwardMaterial(
        pixels=picture_pixels(x_0)[0],
        eps=eps.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy(),
        alpha_bar=(1.0, *(schedule or model.schedule).alphas_cumprod.tolist()),
    )


@dataclass(frozen=True, eq=False)
class NoisedMoment:
    """x_t at one t: the paper's `t`, alpha_bar, SNR in dB (infinite at t = 0), and statistics."""

    t: int
    signal: float
    snr_db: float
    sample: Sample


@dataclass(frozen=True, eq=False)
class NoiseStrip:
    """A picture on its way to noise.

    Attributes:
        experiment: Says how to draw it again.
        moments: From t = 0 to T.
        prior_bpd: L_T of this picture under this schedule, in bits/dim.
    """

    experiment: Noising
    moments: tuple[NoisedMoment, ...]
    prior_bpd: float

    @property
    def name(self) -> str:
        """A file name without its ending."""
        schedule = f"-{self.experiment.schedule.name}" if self.experiment.schedule else ""
        return f"{file_stem(self.experiment.model)}-noising{schedule}-seed-{self.experiment.seed}"

    def png(self) -> bytes:
        """The strip with t under each picture, and the experiment inside."""
        pictures = [moment.sample.pixels for moment in self.moments]
        captions = [f"t = {moment.t}" for moment in self.moments]
        return png_bytes(film_strip(pictures, captions), self.experiment)

    def animation(self, form: AnimationFormat) -> bytes:
        """The picture dissolving."""
        return animation([moment.sample.pixels for moment in self.moments], form)


@dataclass(frozen=True, eq=False)
class ChainComparison:
    """x_t drawn in two ways; the two share no noise, only their distribution.

    Attributes:
        experiment: Says how to do it again; its t is the number of single steps.
        signal: alpha_bar_t.
        chain: By t single steps (eq. 2).
        closed: At once (eq. 4).
        expected_std: What both standard deviations estimate, for this x_0.
    """

    experiment: Chain
    signal: float
    chain: Sample
    closed: Sample
    expected_std: float

    def png(self) -> bytes:
        """Both x_t side by side, with the experiment inside."""
        captions = [f"{self.experiment.t} steps", "at once"]
        sheet = film_strip([self.chain.pixels, self.closed.pixels], captions, side=192)
        return png_bytes(sheet, self.experiment)


@dataclass(frozen=True, eq=False)
class PosteriorView:
    """The posterior of one step beside the model's (eqs. 6, 7 and 11).

    Attributes:
        experiment: Says how to do it again; the step leads from its t to t - 1.
        coefficient_x_0: Of x_0 in mu_tilde.
        coefficient_x_t: Of x_t in mu_tilde.
        beta_tilde: The posterior's variance.
        beta: The forward step's.
        x_t: (H, W, 3) uint8, like the pictures below.
        x_0_hat: The model's estimate of x_0.
        mu_tilde: The posterior's mean, which knows x_0.
        mu_theta: The model's mean, which doesn't.
        difference: mu_theta - mu_tilde over `difference_scale`, grey at 0.
        difference_scale: The largest absolute difference.
        difference_rms: The root of its mean square.
    """

    experiment: Inspection
    coefficient_x_0: float
    coefficient_x_t: float
    beta_tilde: float
    beta: float
    x_t: Pixels
    x_0_hat: Pixels
    mu_tilde: Pixels
    mu_theta: Pixels
    difference: Pixels
    difference_scale: float
    difference_rms: float

    def png(self) -> bytes:
        """The pictures side by side, with the experiment inside."""
        pictures = [self.x_t, self.x_0_hat, self.mu_tilde, self.mu_theta, self.difference]
        captions = ["x_t", "x_0 hat", "mu tilde", "mu theta", "difference"]
        return png_bytes(film_strip(pictures, captions, side=192), self.experiment)
