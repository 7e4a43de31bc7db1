"""A UNet2DModel arranged to be trained faster, with the same weights under the same names.

On a CPU, half of a step's time isn't convolution. Three things are replaced, each by one that
computes the same:

- Group norm and the SiLU behind it become one operation that goes through the batch in parts
  small enough for the cache, in fp32: torch's channels-last bf16 group norm is several times
  slower. Its backward pass computes the norm again rather than keep it.
- Attention over a small map is two products and a softmax: torch's CPU flash attention takes
  two to eight times as long there.
- Residual blocks add in place, skip the divisions by one and stay channels-last
  (https://github.com/huggingface/diffusers/issues/12975).

Blocks of any other kind stay as diffusers wrote them. Dropout is never applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from app.networks.blocks import is_plain_attention, is_plain_resnet, is_untimed_resnet

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.unets.unet_2d import UNet2DModel

_PART: Final = 1 << 18
"""The elements that a norm takes at once: in fp32, a processor's own cache holds them."""

_FEW_TOKENS: Final = 256


def make_trainable(unet: UNet2DModel) -> UNet2DModel:
    """Rebuild `unet` in place and return it: channels-last, with gradients, the same state_dict."""
    from diffusers.models.embeddings import GaussianFourierProjection

    module: nn.Module = unet
    module.requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for child in module.modules():
        if isinstance(child, GaussianFourierProjection):
            child.requires_grad_(False)  # Its frequencies were drawn once, and stay.
    replace_blocks(module)
    if isinstance(unet.conv_act, nn.SiLU):
        module.conv_norm_out, module.conv_act = NormSiLU(unet.conv_norm_out), nn.Identity()
    # In training mode blocks of other kinds would leave the layout, and draw dropout from torch's
    # global generator, which no checkpoint holds.
    module.eval()
    return unet


def replace_blocks(module: nn.Module) -> None:
    """Replace the blocks below `module` that there are faster ones for."""
    for name, child in list(module.named_children()):
        if (is_plain_resnet(child) or is_untimed_resnet(child)) and isinstance(
            child.nonlinearity, nn.SiLU
        ):
            setattr(module, name, TrainableResnet(child))
        elif is_plain_attention(child):
            setattr(module, name, TrainableAttention(child))
        else:
            replace_blocks(child)


class _NormSiLU(torch.autograd.Function):
    """silu(group_norm(x)) with its gradients, a few pictures at a time."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,  # noqa: ANN401 - torch's own context has no public type
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        ctx.groups, ctx.eps = groups, eps
        out = torch.empty_like(x)
        for part in _parts(x):
            y, _, _ = _norm(x[part].float(), weight, bias, groups, eps)
            out[part] = F.silu(y, inplace=True)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, bias = ctx.saved_tensors
        dx = torch.empty_like(x)
        dweight, dbias = torch.zeros_like(weight), torch.zeros_like(bias)
        for part in _parts(x):
            x_part = x[part].float()
            y, mean, rstd = _norm(x_part, weight, bias, ctx.groups, ctx.eps)
            dy = torch.ops.aten.silu_backward(grad[part].float(), y)
            b, c, h, w = x_part.shape
            dx[part], dw, db = torch.ops.aten.native_group_norm_backward(
                dy, x_part, mean, rstd, weight, b, c, h * w, ctx.groups, [True, True, True]
            )
            dweight += dw
            dbias += db
        return dx, dweight, dbias, None, None


def _parts(x: Tensor) -> list[slice]:
    step = max(1, _PART // x[0].numel())
    return [slice(start, start + step) for start in range(0, len(x), step)]


def _norm(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    b, c, h, w = x.shape
    return torch.native_group_norm(x, weight, bias, b, c, h * w, groups, eps)


class NormSiLU(nn.Module):
    """silu(norm(x)) of (B, C, H, W), in the dtype of x; its weights are those of `norm`."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.groups, self.eps = norm.num_groups, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Return silu(norm(x)) of `x` (B, C, H, W), of the same shape."""
        if x.device.type != "cpu":
            return F.silu(F.group_norm(x, self.groups, self.weight, self.bias, self.eps))
        x = x.contiguous(memory_format=torch.channels_last)
        out: Tensor = _NormSiLU.apply(x, self.weight, self.bias, self.groups, self.eps)  # type: ignore[no-untyped-call]
        return out


class TrainableResnet(nn.Module):
    """ResnetBlock2D in training, with fewer passes over memory."""

    def __init__(self, block: ResnetBlock2D) -> None:
        super().__init__()
        self.scale_shift = block.time_embedding_norm == "scale_shift"
        self.norm1, self.conv1 = NormSiLU(block.norm1), block.conv1
        self.norm2 = block.norm2 if self.scale_shift else NormSiLU(block.norm2)
        self.conv2, self.time_emb_proj = block.conv2, block.time_emb_proj
        self.conv_shortcut = block.conv_shortcut
        self.resample = block.upsample or block.downsample
        self.act_on_time = not block.skip_time_act
        self.divisor = float(block.output_scale_factor)

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """Map `x` (B, C, H, W) and the time embedding (B, E), if any, to (B, C', H', W')."""
        h = self.norm1(x)
        if self.resample is not None:
            x, h = self.resample(x), self.resample(h)
        h = self.conv2(self._normed(self.conv1(h), temb))
        h = h.add_(x if self.conv_shortcut is None else self.conv_shortcut(x))
        return torch.as_tensor(h if self.divisor == 1 else h / self.divisor)

    def _normed(self, h: Tensor, temb: Tensor | None) -> Tensor:
        """Apply the second norm and SiLU, with the timestep added before or modulating them."""
        if temb is None:
            return torch.as_tensor(self.norm2(h))
        time = self.time_emb_proj(F.silu(temb) if self.act_on_time else temb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = time.chunk(2, dim=1)
            return F.silu(self.norm2(h) * (1 + scale) + shift)
        # In place: a convolution's backward pass doesn't look at what it returned.
        return torch.as_tensor(self.norm2(h.add_(time)))


class TrainableAttention(nn.Module):
    """Attention of a map to itself, in training."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.group_norm, self.heads = attention.group_norm, attention.heads
        self.to_q, self.to_k, self.to_v = attention.to_q, attention.to_k, attention.to_v
        self.to_out = attention.to_out
        self.divisor = float(attention.rescale_output_factor)

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """Map `x` (B, C, H, W) to the same shape; `temb` is accepted and ignored."""
        b, c, height, width = x.shape
        # The norm is in fp32, for the same reason as NormSiLU.
        h = x if self.group_norm is None else self.group_norm(x.float())
        h = h.permute(0, 2, 3, 1).reshape(b, height * width, c)
        q, k, v = (self._heads(project(h)) for project in (self.to_q, self.to_k, self.to_v))
        h = _attend(q, k, v).transpose(1, 2).reshape(b, height, width, -1)
        h = self.to_out[0](h).permute(0, 3, 1, 2) + x
        return torch.as_tensor(h if self.divisor == 1 else h / self.divisor)

    def _heads(self, x: Tensor) -> Tensor:
        b, tokens, _ = x.shape
        return x.view(b, tokens, self.heads, -1).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v of (B, heads, L, d)."""
    b, heads, tokens, d = q.shape
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or tokens > _FEW_TOKENS:
        return F.scaled_dot_product_attention(q, k, v)
    q, k, v = (x.reshape(b * heads, tokens, d) for x in (q * d**-0.5, k, v))
    # Autocast would do the softmax in fp32, which on a CPU takes longer than the products.
    with torch.autocast("cpu", enabled=False):
        return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v).view(b, heads, tokens, d)
