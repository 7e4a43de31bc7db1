"""A UNet2DModel rebuilt to waste less time around its convolutions.

The weights, the configuration and the wiring stay diffusers' own; only the two kinds of
block that nearly all the time is spent in are replaced, each by one that computes the same:

- Residual blocks work in place, and skip the divisions by one.
- Attention asks for q, k and v in one product, and keeps the channels-last layout.

Everything else, including blocks this module has never heard of, runs as diffusers wrote it.
"""

import copy
from typing import Final, TypeGuard

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

# Up to this many tokens, two bf16 products and a softmax beat torch's CPU flash attention
# (1.7x at 256 tokens and 8 pictures); beyond it, the score matrix would grow too large.
_FEW_TOKENS: Final = 256

# torch's channels-last bf16 group norm is several times slower than fp32's on maps of fewer
# pixels than this, unless a group has a multiple of 16 channels (57 us for 12 us).
_SMALL_MAP: Final = 1024


def lean_unet(unet: UNet2DModel, dtype: torch.dtype) -> nn.Module:
    """A copy of `unet` for inference in `dtype`, channels-last, called as `unet` itself is.

    Needs inference mode or no_grad: blocks overwrite their own intermediate results.
    """
    net = copy.deepcopy(unet).eval().requires_grad_(False)
    _replace_blocks(net)
    for child in net.children():
        # What these embed are phases of hundreds of radians: 16 bits would scramble them.
        # UNet2DModel itself casts what they return.
        if child not in (net.time_proj, net.class_embedding):
            # torch's overloads of `to` don't list memory_format beside the dtype.
            child.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def _replace_blocks(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if is_plain_resnet(child):
            setattr(module, name, LeanResnet(child))
        elif is_plain_attention(child):
            setattr(module, name, LeanAttention(child))
        else:
            _replace_blocks(child)


def is_plain_resnet(module: nn.Module) -> TypeGuard[ResnetBlock2D]:
    """Whether `module` is a residual block with a timestep, and no more."""
    return type(module) is ResnetBlock2D and isinstance(module.time_emb_proj, nn.Linear)


def is_plain_attention(module: nn.Module) -> TypeGuard[Attention]:
    """Whether `module` is self-attention over a map, added to its input, and no more."""
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


def _group_norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """`norm(x)`, as a new tensor; in fp32 where bf16 would be slower, whichever `x` is."""
    weight: Tensor = norm.weight
    bias: Tensor = norm.bias
    uneven = (norm.num_channels // norm.num_groups) % 16 != 0
    if x.dtype == torch.bfloat16 and uneven and x[0, 0].numel() < _SMALL_MAP:
        x, weight, bias = x.float(), weight.float(), bias.float()
    return F.group_norm(x, norm.num_groups, weight, bias, norm.eps)


def _activate(activation: nn.Module, x: Tensor) -> Tensor:
    """`activation(x)`; may overwrite `x`."""
    return F.silu(x, inplace=True) if isinstance(activation, nn.SiLU) else activation(x)


class LeanResnet(nn.Module):
    """What ResnetBlock2D computes at inference, with fewer passes over memory."""

    def __init__(self, block: ResnetBlock2D) -> None:
        super().__init__()
        self.norm1, self.conv1 = block.norm1, block.conv1
        self.norm2, self.conv2 = block.norm2, block.conv2
        self.time_emb_proj, self.conv_shortcut = block.time_emb_proj, block.conv_shortcut
        self.activation = block.nonlinearity
        self.resample = block.upsample or block.downsample
        self.scale_shift = block.time_embedding_norm == "scale_shift"
        self.act_on_time = not block.skip_time_act
        self.divisor = float(block.output_scale_factor)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(B, C, H, W) and the time embedding (B, E) to (B, C', H', W')."""
        h = _activate(self.activation, _group_norm(self.norm1, x)).to(x.dtype)
        if self.resample is not None:
            x, h = self.resample(x), self.resample(h)
        h = self._normed(self.conv1(h), temb)
        h = torch.as_tensor(self.conv2(_activate(self.activation, h).to(x.dtype)))
        h += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return h if self.divisor == 1 else h.div_(self.divisor)

    def _normed(self, h: Tensor, temb: Tensor) -> Tensor:
        """The second norm, with the timestep added before it or modulating its result."""
        # All blocks share the embedding, so this activation mustn't be in place.
        time = self.time_emb_proj(self.activation(temb) if self.act_on_time else temb)
        time = time[:, :, None, None]
        if not self.scale_shift:
            return _group_norm(self.norm2, h.add_(time))
        scale, shift = time.chunk(2, dim=1)
        return _group_norm(self.norm2, h).mul_(1 + scale).add_(shift)


class LeanAttention(nn.Module):
    """What Attention computes for a map attending to itself: q, k and v in one product."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.norm, self.heads = attention.group_norm, attention.heads
        q, k, v = attention.to_q, attention.to_k, attention.to_v
        # The scores' 1 / sqrt(d) goes into q's weights: one pass over the scores less.
        scale = (q.out_features // self.heads) ** -0.5
        # On "meta" it has no weights yet, and draws none from torch's global generator.
        self.qkv = nn.Linear(q.in_features, 3 * q.out_features, q.bias is not None, "meta")
        self.qkv.weight = _frozen(torch.cat([q.weight * scale, k.weight, v.weight]))
        if q.bias is not None:
            self.qkv.bias = _frozen(torch.cat([q.bias * scale, k.bias, v.bias]))
        self.out = attention.to_out[0]
        self.divisor = float(attention.rescale_output_factor)

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to the same shape; `temb` is accepted and has no part in it."""
        b, _, height, width = x.shape
        h = x if self.norm is None else _group_norm(self.norm, x).to(x.dtype)
        qkv = self.qkv(h.permute(0, 2, 3, 1))
        qkv = qkv.reshape(b, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = _attend(qkv).transpose(1, 2).reshape(b, height, width, -1)
        h = torch.as_tensor(self.out(h)).permute(0, 3, 1, 2).add_(x)
        return h if self.divisor == 1 else h.div_(self.divisor)


def _attend(qkv: Tensor) -> Tensor:
    """softmax(q k^T) v of (3, B, heads, L, d), to (B, heads, L, d); q is scaled already."""
    _, b, heads, tokens, d = qkv.shape
    if qkv.device.type == "cpu" and qkv.dtype == torch.bfloat16 and tokens <= _FEW_TOKENS:
        q, k, v = qkv.reshape(3, b * heads, tokens, d)
        return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v).view(b, heads, tokens, d)
    q, k, v = qkv
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach(), requires_grad=False)
