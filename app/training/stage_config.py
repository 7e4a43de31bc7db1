"""The settings of a second stage's training, and the recipe that a stage is trained by unless told.

Cascaded Diffusion Models (Ho et al. 2021, https://arxiv.org/abs/2106.15282), whose section 4 has
the conditioning augmentation: small pictures are blurred and noised, for the first stage's are not
as clean as paintings made small.
"""

from typing import Any

from pydantic import Field

from app.datasets.labels import _Strict
from app.diffusion.cascade import RATIO


class StageConfig(_Strict):
    """How a second stage is trained; docs/training.md has it as a table.

    Attributes:
        side: The side in pixels at which pictures are kept, to be shrunk anew for each view; none
            is enlarged, and smaller ones are skipped.
        held_out_side: The side to which pictures to measure on and to paint anew are shrunk.
        regression_views: Views at the beginning that are seen at t = T alone, where the best guess
            is the mean of all that the small picture may become.
        band_exponent: Each band's squared error counts by this power of the band's deviation.
        low_res_noise: The largest of the paper's t to which the paper's schedule noises small
            pictures; 0 leaves them clean.
        clean_share: The share of views whose small picture isn't noised.
        blur_share: The share of views whose small picture is blurred, before it is noised.
        blur_sigma: The largest deviation of the blur, in pixels of the small picture.
        s_noise: How far the deviation of the sampler's noise is over 1, times the number of steps.
    """

    side: int = Field(default=224, ge=16, le=4096)
    held_out_side: int = Field(default=208, ge=16, le=4096, multiple_of=RATIO)
    regression_views: int = Field(default=30_000, ge=0)
    band_exponent: float = Field(default=0.5, ge=0, le=2)
    low_res_noise: int = Field(default=91, ge=0, le=1000)
    clean_share: float = Field(default=0.4, ge=0, le=1)
    blur_share: float = Field(default=0.2, ge=0, le=1)
    blur_sigma: float = Field(default=0.6, gt=0, le=1)
    s_noise: float = Field(default=0.45, ge=0, le=2)


def stage_defaults(*, begun: bool) -> dict[str, Any]:
    """Return the settings that a stage has unless told, where they aren't a model's.

    Args:
        begun: Whether the run begins from a stage, whose network and schedule it then has.
    """
    recipe: dict[str, Any] = {
        "phases": [
            # A 224-px JPEG shrunk to these has hardly a trace left of its grid of 8 px.
            {"size": 32, "views": 1_200_000, "sides": list(range(180, 220, 4))},
            {"size": 48, "views": 75_000},
            {"size": 52, "views": 75_000},
        ],
        "decay_share": 1 / 9,
        "ema_sigma_rels": [0.10],
        "flip": False,  # brushwork has a direction
        "sample_steps": 12,
    }
    if not begun:
        recipe |= {
            "network": {"block_out_channels": [64, 128, 192], "attention": [False] * 3},
            "schedule": {"name": "cosine"},
            "prediction": "v_prediction",
        }
    return recipe
