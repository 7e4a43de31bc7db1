"""An AutoencoderKL arranged to be trained faster, with the same weights under the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from app.networks.training_unet import NormSiLU, replace_blocks

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL


class TrainableAutoencoder(nn.Module):
    """`autoencoder` with gradients, channels-last; it is taken over."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.encoder, self.decoder = autoencoder.encoder, autoencoder.decoder
        self.quant_conv = autoencoder.quant_conv
        self.post_quant_conv = autoencoder.post_quant_conv
        parts: tuple[nn.Module, ...] = (self.encoder, self.decoder)
        for part in parts:
            replace_blocks(part)
            norm = part.conv_norm_out
            if isinstance(norm, nn.GroupNorm) and isinstance(part.conv_act, nn.SiLU):
                part.conv_norm_out, part.conv_act = NormSiLU(norm), nn.Identity()
        self.requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval()

    def forward(self, x: Tensor, eps: Tensor, *, halved: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Encode pictures `x` (B, C, H, W), draw a latent of each with `eps`, and decode it.

        Args:
            x: The pictures, in [-1, 1].
            eps: (B, L, h, w), the deviation of each latent from its mean, in its own deviations.
            halved: Whether latents are averaged over 2 x 2 before they are decoded.

        Returns:
            The pictures, or with `halved` pictures of half the side; the means and the logarithms
            of the variances of the latents, (B, L, h, w).
        """
        moments = self.encoder(x)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        mean, log_variance = moments.float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-30, 20)
        z = mean + torch.exp(log_variance / 2) * eps
        if halved:
            z = avg_pool2d(z, 2)
        if self.post_quant_conv is not None:
            z = self.post_quant_conv(z)
        return self.decoder(z), mean, log_variance
