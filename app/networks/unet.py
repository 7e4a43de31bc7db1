"""A diffusers UNet2DModel made ready for one device and one precision.

`exact` computes in fp32. `fast` computes in 16 bits where the hardware does that well, and in fp32
elsewhere; on an x86 processor by OpenVINO, if it is installed and knows the network's blocks
(`openvino_unet.py`). Either way what goes in and comes out is
float32 on the CPU. The CPU path is measured and tested; those for CUDA and MPS are written but
untried.

What follows is the network in torch.

The weights, the configuration and the wiring stay diffusers' own; only the two kinds of
block that nearly all the time is spent in are replaced, each by one that computes the same:

- Residual blocks work in place, and skip the divisions by one.
- Attention asks for q, k and v in one product, and keeps the channels-last layout.

Everything else, including blocks this module has never heard of, runs as diffusers wrote it.

Convolutions keep their weights in the layout that oneDNN computes with.

torch rearranges a convolution's weights at every call. One picture at a time that is an
eighth of this project's 64-px network's time; with more pictures it hardly shows. So weights
are arranged once for the shapes of one picture, and any other shape takes the ordinary way.

The operators are torch's own but private (its compiler emits them): where they are missing,
or don't answer as expected, convolutions stay as they are. For a few shapes oneDNN arranges
weights one way, wants them another, and converts them at each call up to 75 times slower
than the convolution itself takes: so each is timed once and kept only if it is no slower.
"""

from __future__ import annotations

import copy
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from platform import machine
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.conditioning import Condition
from app.diffusion.denoiser import Prediction, Target, require_finite
from app.networks.blocks import is_plain_attention, is_plain_resnet
from app.networks.devices import fast_dtype
from app.networks.executor import NetworkExecutor

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.unets.unet_2d import UNet2DModel

Precision = Literal["exact", "fast"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

Engine = Literal["torch", "OpenVINO"]

_X86: Final = ("x86_64", "AMD64")


class UNetDenoiser:
    """The raw output of `unet`, with each picture at its own timestep.

    Holds a copy of the weights in its own dtype and layout, or with OpenVINO `unet` itself, which
    is left alone. Any thread may call it, and several at once.

    Args:
        unet: Of any size and block types, with or without classes or a learned variance.
        device: Where the network runs.
        precision: `fast` falls back to fp32 where the device is no faster; see `dtype`.

    Attributes:
        dtype: What the network computes in.
        engine: What it computes with.
    """

    def __init__(self, unet: UNet2DModel, *, device: torch.device, precision: Precision) -> None:
        self.device = device
        self.precision: Precision = precision
        self.dtype = fast_dtype(device) if precision == "fast" else torch.float32
        if device.type == "cuda" and precision == "exact":
            # cuDNN's default rounds fp32 convolutions to TF32's 10 bits.
            torch.backends.cudnn.allow_tf32 = False
        self._enlarges = unet.config["in_channels"] > unet.config["out_channels"]
        self._has_classes = unet.class_embedding is not None and not self._enlarges
        # Of a second stage, whose maps are wider, torch's bf16 convolutions are the faster ones.
        slower = self._enlarges and self.dtype == torch.bfloat16
        fast = precision == "fast" and device.type == "cpu" and not slower
        openvino = _openvino_unet(unet, self.dtype) if fast else None
        self.engine: Engine = "torch" if openvino is None else "OpenVINO"
        self._net = openvino or lean_unet(unet, self.dtype).to(device)
        # Only bf16: timing decides what is packed, and `exact` owes the same bits every time.
        packs = openvino is None and device.type == "cpu" and self.dtype == torch.bfloat16
        if packs and unet.config["sample_size"]:
            pack_convolutions(self._net, lambda: self._paint_nothing(unet))

    @torch.inference_mode()
    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the network's output, a float32 CPU tensor of (B, out_channels, H, W).

        Args:
            x_t: (B, C, H, W), float32, on the CPU.
            t: (B,) int64, on the CPU; each picture may be at its own step.
            condition: On the CPU; with labels for a model with classes, with a small picture for a
                second stage, and only for those.

        Raises:
            ValueError: If labels or a small picture are missing, or there are some to spare.
        """
        shown = None if condition is None else condition.to(self.device)
        labels, low_res = (shown.labels, shown.low_res) if shown else (None, None)
        if self._has_classes and labels is None:
            raise ValueError("this model has classes: give each picture a label")
        if not self._has_classes and labels is not None:
            raise ValueError("this model has no classes: leave the labels out")
        if self._enlarges != (low_res is not None):
            raise ValueError("a second stage, and nothing else, takes a small picture")
        # OpenVINO rounds for itself, and behind its first convolution.
        taken = torch.float32 if self.engine == "OpenVINO" else self.dtype
        x = x_t.to(self.device, taken)
        if shown and low_res is not None:
            x, labels = torch.cat([x, low_res.to(taken)], 1), shown.low_res_t
        x = x.contiguous(memory_format=torch.channels_last)
        (out,) = self._net(x, t.to(self.device), labels, return_dict=False)
        return torch.as_tensor(out).to("cpu", torch.float32).contiguous()

    @torch.inference_mode()
    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the bottleneck's activations (B, D), float32 on the CPU, of `exact` alone."""
        x = x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        return bottleneck(cast("UNet2DModel", self._net), x, t.to(self.device)).to(
            "cpu", torch.float32
        )

    def _paint_nothing(self, unet: UNet2DModel) -> None:
        """Run the network once on one picture of the model's own size."""
        size = unet.config["sample_size"]
        height, width = (size, size) if isinstance(size, int) else size
        x = torch.randn(
            (1, unet.config["in_channels"], height, width),
            generator=torch.Generator().manual_seed(0),
        )
        t, shown = torch.ones(1, dtype=torch.int64), None
        if self._enlarges:
            x, low_res = x.split([unet.config["out_channels"], 3], 1)
            shown = Condition(low_res=low_res, low_res_t=torch.zeros_like(t))
        elif self._has_classes:
            shown = Condition(torch.zeros_like(t))
        self.forward(x, t, shown)


def _openvino_unet(unet: UNet2DModel, dtype: torch.dtype) -> nn.Module | None:
    """Return `unet` for OpenVINO in `dtype`, or None where that isn't installed or can't run it."""
    if machine() not in _X86 or find_spec("openvino") is None:
        return None
    # Takes half a second to import, which only its first network need wait for.
    from app.networks.openvino_unet import OpenVinoUNet, UnknownBlockError

    try:
        return OpenVinoUNet(unet, dtype)
    except UnknownBlockError:
        return None


@dataclass(frozen=True, eq=False)
class SharedDenoiser:
    """A Denoiser whose every step waits for its turn.

    Attributes:
        forward: The network's forward pass, as `UNetDenoiser.forward`.
        executor: The device's, shared by all of its networks.
        target: What the network was trained to predict.
        channels: C of x_t; an output with 2C carries the learned variance behind it.
        keep: The network's model, kept in use by whoever holds this denoiser.
        name: What errors call the network.
    """

    forward: Callable[[Tensor, Tensor, Condition | None], Tensor]
    executor: NetworkExecutor
    target: Target
    channels: int
    keep: object = None
    name: str = "the model"

    def predict(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Prediction:
        """Predict at `x_t` (B, C, H, W) and `t` (B,).

        Raises:
            NotFiniteError: If the network gives NaN or infinity.
        """
        out = self.executor.submit(self._step, x_t, t, condition).result()
        require_finite(out, t, f"What {self.name} predicts")
        return Prediction.of(out, self.target, self.channels)

    def _step(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Tensor:
        out = self.forward(x_t, t, condition)
        self.executor.steps += 1
        return out


GRID: Final = 4
"""Activations are averaged over GRID x GRID cells, so that they still tell where something is."""


def bottleneck(unet: UNet2DModel, x: Tensor, t: Tensor) -> Tensor:
    """Compute the middle block's activations at `x` and `t`, averaged, as (B, C' GRID^2) float32.

    This follows the way down and the middle of `UNet2DModel.forward`. No class embedding is
    added, so that the activations depend on what the picture shows alone.

    Args:
        unet: A UNet2DModel, or a lean copy of one.
        x: (B, C, H, W), in the network's dtype, on its device.
        t: (B,) int64, on the network's device.
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


# Up to this many tokens, two bf16 products and a softmax beat torch's CPU flash attention
# (1.7x at 256 tokens and 8 pictures); beyond it, the score matrix would grow too large.
_FEW_TOKENS: Final = 256

# torch's channels-last bf16 group norm is several times slower than fp32's on maps of fewer
# pixels than this, unless a group has a multiple of 16 channels (57 us for 12 us).
_SMALL_MAP: Final = 1024


def lean_unet(unet: UNet2DModel, dtype: torch.dtype) -> nn.Module:
    """Copy `unet` for inference in `dtype`, channels-last; the copy is called as `unet` itself is.

    The copy needs inference mode or no_grad: blocks overwrite their own intermediate results.
    """
    net = copy.deepcopy(unet).eval().requires_grad_(False)
    _replace_blocks(net)
    for child in net.children():
        # These embed phases of hundreds of radians, which 16 bits would scramble.
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


def _group_norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """Return `norm(x)` as a new tensor, in the dtype of `x`, or fp32 where bf16 would be slower."""
    weight: Tensor = norm.weight
    bias: Tensor = norm.bias
    uneven = (norm.num_channels // norm.num_groups) % 16 != 0
    if x.dtype == torch.bfloat16 and uneven and x[0, 0].numel() < _SMALL_MAP:
        x, weight, bias = x.float(), weight.float(), bias.float()
    return F.group_norm(x, norm.num_groups, weight, bias, norm.eps)


def _activate(activation: nn.Module, x: Tensor) -> Tensor:
    """Return `activation(x)`; may overwrite `x`."""
    return F.silu(x, inplace=True) if isinstance(activation, nn.SiLU) else activation(x)


class LeanResnet(nn.Module):
    """ResnetBlock2D at inference, with fewer passes over memory."""

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
        """Map `x` (B, C, H, W) and the time embedding (B, E) to (B, C', H', W')."""
        h = _activate(self.activation, _group_norm(self.norm1, x)).to(x.dtype)
        if self.resample is not None:
            x, h = self.resample(x), self.resample(h)
        h = self._normed(self.conv1(h), temb)
        h = torch.as_tensor(self.conv2(_activate(self.activation, h).to(x.dtype)))
        h += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return h if self.divisor == 1 else h.div_(self.divisor)

    def _normed(self, h: Tensor, temb: Tensor) -> Tensor:
        """Apply the second norm, with the timestep added before it or modulating its result."""
        # All blocks share the embedding, so this activation mustn't be in place.
        time = self.time_emb_proj(self.activation(temb) if self.act_on_time else temb)
        time = time[:, :, None, None]
        if not self.scale_shift:
            return _group_norm(self.norm2, h.add_(time))
        scale, shift = time.chunk(2, dim=1)
        return _group_norm(self.norm2, h).mul_(1 + scale).add_(shift)


class LeanAttention(nn.Module):
    """Attention of a map to itself: q, k and v in one product."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.norm, self.heads = attention.group_norm, attention.heads
        q, k, v = attention.to_q, attention.to_k, attention.to_v
        # The scores' 1 / sqrt(d) goes into q's weights: one pass over the scores less.
        scale = (q.out_features // self.heads) ** -0.5
        # On "meta" the layer has no weights yet, and draws none from torch's global generator.
        self.qkv = nn.Linear(q.in_features, 3 * q.out_features, q.bias is not None, "meta")
        self.qkv.weight = _frozen(torch.cat([q.weight * scale, k.weight, v.weight]))
        if q.bias is not None:
            self.qkv.bias = _frozen(torch.cat([q.bias * scale, k.bias, v.bias]))
        self.out = attention.to_out[0]
        self.divisor = float(attention.rescale_output_factor)

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """Map `x` (B, C, H, W) to the same shape; `temb` is accepted and ignored."""
        b, _, height, width = x.shape
        h = x if self.norm is None else _group_norm(self.norm, x).to(x.dtype)
        qkv = self.qkv(h.permute(0, 2, 3, 1))
        qkv = qkv.reshape(b, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = _attend(qkv).transpose(1, 2).reshape(b, height, width, -1)
        h = torch.as_tensor(self.out(h)).permute(0, 3, 1, 2).add_(x)
        return h if self.divisor == 1 else h.div_(self.divisor)


def _attend(qkv: Tensor) -> Tensor:
    """Return softmax(q k^T) v, (B, heads, L, d), of (3, B, heads, L, d); q is scaled already."""
    _, b, heads, tokens, d = qkv.shape
    if qkv.device.type == "cpu" and qkv.dtype == torch.bfloat16 and tokens <= _FEW_TOKENS:
        q, k, v = qkv.reshape(3, b * heads, tokens, d)
        return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v).view(b, heads, tokens, d)
    q, k, v = qkv
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach(), requires_grad=False)


_ROUNDS: Final = 3


class PackedConv(nn.Module):
    """`conv`, with a second copy of its weights arranged for inputs of the size of `x`."""

    def __init__(self, conv: nn.Conv2d, x: Tensor) -> None:
        super().__init__()
        self.conv = conv
        self.shape = x.shape
        self.geometry = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight, *self.geometry, list(x.shape)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x` (B, C, H, W) to (B, C', H', W')."""
        if x.shape != self.shape:
            return torch.as_tensor(self.conv(x))
        return torch.as_tensor(
            torch.ops.mkldnn._convolution_pointwise(
                x, self.packed, self.conv.bias, *self.geometry, "none", [], ""
            )
        )


@torch.inference_mode()
def pack_convolutions(net: nn.Module, run: Callable[[], object]) -> None:
    """Pack those of `net`'s 3x3 convolutions that are faster packed, for the shapes of `run`.

    Args:
        net: In its final dtype and layout, on the CPU.
        run: Calls `net` on inputs of the shapes to arrange for.
    """
    if not _can_pack():
        return
    inputs = _record_inputs(net, run)
    kept = {conv: packed for conv, x in inputs.items() if (packed := _packed_if_faster(conv, x))}
    for module in list(net.modules()):
        # Not named_children: it leaves out the second name of a module that has two.
        for name, child in list(module._modules.items()):
            if isinstance(child, nn.Conv2d) and child in kept:
                setattr(module, name, kept[child])


def _can_pack() -> bool:
    names = ("_reorder_convolution_weight", "_convolution_pointwise")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in names
    )


def _record_inputs(net: nn.Module, run: Callable[[], object]) -> dict[nn.Conv2d, Tensor]:
    """Record the input of each plain 3x3 convolution; those never called are left out."""
    inputs: dict[nn.Conv2d, Tensor] = {}

    def record(conv: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if isinstance(conv, nn.Conv2d):
            inputs[conv] = arguments[0].clone()  # A later block may overwrite it.

    hooks = [
        module.register_forward_pre_hook(record)
        for module in net.modules()
        if type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return inputs


def _packed_if_faster(conv: nn.Conv2d, x: Tensor) -> PackedConv | None:
    try:
        packed = PackedConv(conv, x)
        same = torch.allclose(conv(x), packed(x), rtol=0.02, atol=0.02)
    except (RuntimeError, TypeError):
        return None  # A torch whose private operators take other arguments.
    return packed if same and _seconds(packed, x) <= _seconds(conv, x) else None


def _seconds(module: nn.Module, x: Tensor) -> float:
    """Time `module(x)`: the shortest of a few calls, in seconds."""
    return min(timeit.repeat(lambda: module(x), number=1, repeat=_ROUNDS))
