"""The kinds of blocks that nearly all of a network's time is spent in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from torch import nn

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D


def is_plain_resnet(module: nn.Module) -> TypeGuard[ResnetBlock2D]:
    """Tell whether `module` is a residual block with a timestep, and no more."""
    from diffusers.models.resnet import ResnetBlock2D

    return type(module) is ResnetBlock2D and isinstance(module.time_emb_proj, nn.Linear)


def is_untimed_resnet(module: nn.Module) -> TypeGuard[ResnetBlock2D]:
    """Tell whether `module` is a residual block without a timestep, as autoencoders have."""
    from diffusers.models.resnet import ResnetBlock2D

    return (
        type(module) is ResnetBlock2D
        and module.time_emb_proj is None
        and module.time_embedding_norm == "default"
    )


def is_plain_attention(module: nn.Module) -> TypeGuard[Attention]:
    """Tell whether `module` is self-attention over a map, added to its input, and no more."""
    from diffusers.models.attention_processor import Attention, AttnProcessor2_0

    if type(module) is not Attention or not isinstance(module.processor, AttnProcessor2_0):
        return False
    extras = (module.spatial_norm, module.norm_q, module.norm_k, module.norm_cross)
    return (
        not any(extras)
        and module.residual_connection
        and module.to_k is not None
        and module.to_q.out_features == module.to_k.out_features
        and module.to_q.in_features == module.to_k.in_features == module.to_out[0].out_features
    )
