"""The first half of a UNet2DModel: what it has understood of a picture at its narrowest place."""

from typing import Final

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

GRID: Final = 4
"""Activations are averaged over GRID x GRID cells, so that they still tell where something is."""


def bottleneck(unet: UNet2DModel, x: Tensor, t: Tensor) -> Tensor:
    """The middle block's activations at `x` (B, C, H, W) and `t` (B,), as (B, C' GRID^2) float32.

    The way down and the middle of `UNet2DModel.forward`, in its order. A class embedding has no
    part in it: what is asked is what the picture shows.

    Args:
        unet: A UNet2DModel, or a lean copy of one.
        x: In the network's dtype, on its device.
        t: int64, on its device.
    """
    config = unet.config
    if config["center_input_sample"]:
        x = 2 * x - 1
    time = unet.time_embedding(unet.time_proj(t).to(x.dtype))
    skip, h = x, unet.conv_in(x)
    for block in unet.down_blocks:
        if hasattr(block, "skip_conv"):
            h, _, skip = block(hidden_states=h, temb=time, skip_sample=skip)
        else:
            h, _ = block(hidden_states=h, temb=time)
    if unet.mid_block is not None:
        h = unet.mid_block(h, time)
    return torch.as_tensor(F.adaptive_avg_pool2d(h.float(), GRID)).flatten(1)
