"""The settings of an autoencoder's training, and the recipe that one is trained by unless told."""

from typing import Any, Self

from pydantic import Field, model_validator

from app.datasets.labels import _Strict

BLOCK = 8
"""The side in pixels of the blocks whose cosine bands the loss compares."""


class AutoencoderConfig(_Strict):
    """An autoencoder and how it is trained; docs/training.md has it as a table.

    Attributes:
        side: The side in pixels at which pictures are kept: its views are crops of them.
        latent_channels: The channels of its latents.
        block_out_channels: The width of each level, from the finest; each further one halves the
            picture.
        layers_per_block: Residual blocks of a level on the way down; the way up has one more.
        norm_num_groups: The groups of each group norm.
        kl_weight: How much the divergence of the latents from N(0, I) counts, in nats, beside the
            absolute error of all of a picture's numbers.
        band_weight: How much the absolute error of the blocks' cosine bands counts beside that of
            pixels.
        band_exponent: A band counts in proportion to this power of its frequency.
        equivariant_share: The share of steps in which latents are halved before they are decoded,
            and compared with the picture halved (Kouzelis et al. 2025,
            https://arxiv.org/abs/2502.09509): diffusion learns such latents faster.
    """

    side: int = Field(default=128, ge=BLOCK, le=1024, multiple_of=BLOCK)
    latent_channels: int = Field(default=4, ge=1, le=64)
    block_out_channels: tuple[int, ...] = Field(default=(24, 48, 96), min_length=2, max_length=6)
    layers_per_block: int = Field(default=1, ge=1, le=8)
    norm_num_groups: int = Field(default=8, ge=1)
    kl_weight: float = Field(default=1e-6, ge=0)
    band_weight: float = Field(default=1.0, ge=0)
    band_exponent: float = Field(default=0.5, ge=0, le=2)
    equivariant_share: float = Field(default=0.25, ge=0, le=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if uneven := [w for w in self.block_out_channels if w < 1 or w % self.norm_num_groups]:
            raise ValueError(
                f"norm_num_groups ({self.norm_num_groups}) doesn't divide the width {uneven[0]}"
            )
        return self

    @property
    def factor(self) -> int:
        """How many times smaller than its picture's side a latent's is."""
        return int(2 ** (len(self.block_out_channels) - 1))

    def check_size(self, size: int) -> None:
        """Check that crops of `size` pixels can be trained on.

        Raises:
            ValueError: If they are larger than the pictures, or latents or bands don't fit in.
        """
        unit = max(2 * self.factor, 2 * BLOCK)
        if size > self.side or size % unit:
            raise ValueError(
                f"an autoencoder's crops are of up to {self.side} px and divisible by {unit}, "
                f"not of {size}"
            )


def autoencoder_defaults() -> dict[str, Any]:
    """Return the settings that an autoencoder has unless told, where they aren't a model's."""
    return {
        "phases": [{"size": 64, "views": 120_000}, {"size": 128, "views": 20_000}],
        "batch_size": 8,
        "learning_rate": 1e-3,
        "decay_share": 0.5,
        "ema_sigma_rels": [0.05],
        "sample_count": 8,
    }
