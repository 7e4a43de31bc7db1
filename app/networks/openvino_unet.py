"""A UNet2DModel as OpenVINO's CPU plugin runs it, in fp32 or in bf16.

On an x86 processor this is what `fast` is: the convolutions are about as fast as torch's, but
nothing between them costs much, and no thread spins while it waits for one that has no
processor. The graph is written here from the network's own modules rather than traced: that takes
a tenth of a second, leaves the weights where they are, and lets three things be done with less
work, with the same result but for rounding:

- A convolution behind an enlargement by repeated pixels multiplies each of them by several weights
  in turn. It is a transposed convolution with 4x4 sums of its 3x3 weights, and has 4/9 of the
  products.
- Group norm is written as means over each channel and then over each group's channels, for which
  no map has to leave the channels-last layout that the convolutions want.
- All residual blocks' products with the time embedding are one.

A picture goes through a graph of fixed shape: with the number of pictures left open the graph takes
a quarter longer, and with eight at once no picture takes less. One picture gets all threads; of
several, each thread takes one at a time, which waits for nobody and is the faster for it.
"""

import threading
from itertools import zip_longest
from typing import Final, cast

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_blocks import (
    AttnDownBlock2D,
    AttnUpBlock2D,
    DownBlock2D,
    UNetMidBlock2D,
    UpBlock2D,
)
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from app.networks.blocks import is_plain_attention, is_plain_resnet

_DOWN: Final = (DownBlock2D, AttnDownBlock2D)
_UP: Final = (UpBlock2D, AttnUpBlock2D)
_SPATIAL: Final = (2, 3)


_Form = tuple[int, int, int]
"""The pictures' height and width, and the number of threads."""


class UnknownBlockError(Exception):
    """A network has a kind of block that isn't written for OpenVINO."""


class OpenVinoUNet(nn.Module):
    """`unet` for inference on the CPU, called as `unet` itself is; it keeps its weights.

    Threads follow torch's number of them on the calling thread: whenever that or the size of the
    pictures changes, a graph is compiled anew, which takes about a second.

    Args:
        unet: The network.
        dtype: What it computes in: float32, or bfloat16 where the processor multiplies that.

    Raises:
        UnknownBlockError: If the network has a kind of block that isn't written here.
    """

    def __init__(self, unet: UNet2DModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        _require(unet.config["time_embedding_type"] == "positional")
        _require(not unet.config["center_input_sample"] and type(unet.conv_act) is nn.SiLU)
        self._unet = unet
        self._precision = "bf16" if dtype == torch.bfloat16 else "f32"
        self._compiled: dict[int, tuple[_Form, ov.AsyncInferQueue]] = {}
        self._lock = threading.Lock()
        _graph(unet, 64, 64)  # Raises now what would else be raised in the middle of a painting.

    def forward(
        self, x: Tensor, t: Tensor, labels: Tensor | None = None, return_dict: bool = False
    ) -> tuple[Tensor]:
        """Map `x` (B, C, H, W), `t` (B,) and labels to the output (B, C', H, W), in a tuple."""
        # One by one from the embedding on: then a picture's bits don't depend on which it is.
        names = [None] * len(x) if labels is None else labels.split(1)
        inputs = [
            [picture.contiguous().numpy(), self._time(timestep, name).numpy()]
            for picture, timestep, name in zip(x.split(1), t.split(1), names, strict=True)
        ]
        outputs: dict[int, Tensor] = {}

        def keep(request: ov.InferRequest, i: int) -> None:
            # The request overwrites its own output at the next call.
            outputs[i] = torch.from_numpy(request.output_tensors[0].data.copy())

        with self._lock:
            threads = torch.get_num_threads()
            form = x.shape[2], x.shape[3], threads
            queue = self._queue(form, at_once=threads if len(x) > 1 else 1)
            queue.set_callback(keep)
            for i, each in enumerate(inputs):
                queue.start_async(each, i, share_inputs=True)
            queue.wait_all()
        return (torch.cat([outputs[i] for i in range(len(x))]),)

    def _time(self, t: Tensor, labels: Tensor | None) -> Tensor:
        """Embed the timestep and the class, as UNet2DModel.forward does, as (1, E)."""
        unet = self._unet
        time = unet.time_embedding(unet.time_proj(t))
        if unet.class_embedding is not None:
            if unet.config["class_embed_type"] == "timestep":
                labels = unet.time_proj(labels)
            time = time + unet.class_embedding(labels)
        return torch.as_tensor(time)

    def _queue(self, form: _Form, *, at_once: int) -> ov.AsyncInferQueue:
        """Return the graph in which so many pictures `at_once` share the threads."""
        found = self._compiled.get(at_once)
        if found is None or found[0] != form:
            # Its memory, and that for another number of threads, goes before more is taken.
            kept = self._compiled.items()
            self._compiled = {n: it for n, it in kept if n != at_once and it[0][2] == form[2]}
            how = {"INFERENCE_PRECISION_HINT": self._precision, "NUM_STREAMS": at_once}
            how["INFERENCE_NUM_THREADS"] = form[2]
            graph = _graph(self._unet, form[0], form[1])
            found = form, ov.AsyncInferQueue(ov.Core().compile_model(graph, "CPU", how), at_once)
            self._compiled[at_once] = found
        return found[1]


def _require(known: bool) -> None:
    if not known:
        raise UnknownBlockError


def _graph(unet: UNet2DModel, height: int, width: int) -> ov.Model:
    """Write `unet` for one picture: x (1, C, H, W) and the time embedding (1, E) to its output."""
    x = ops.parameter([1, unet.config["in_channels"], height, width], np.float32)
    blocks = [module for module in unet.modules() if isinstance(module, ResnetBlock2D)]
    _require(all(map(is_plain_resnet, blocks)))
    projections = [block.time_emb_proj for block in blocks]
    time = ops.parameter([1, projections[0].in_features], np.float32)
    weight = torch.cat([it.weight for it in projections])
    bias = torch.cat([it.bias for it in projections])
    sizes = [it.out_features for it in projections]
    parts = ops.variadic_split(_linear(ops.swish(time), weight, bias), 1, sizes).outputs()
    maps = [_reshape(part, 0, -1, 1, 1) for part in parts]
    out = _Writer(dict(zip(blocks, maps, strict=True))).unet(unet, x)
    return ov.Model([out], [x, time])


class _Writer:
    """Writes modules as nodes, each for a map of fixed shape (1, C, H, W).

    Args:
        times: What each residual block adds for the timestep, (1, C, 1, 1).
    """

    def __init__(self, times: dict[ResnetBlock2D, ov.Node]) -> None:
        self._times = times

    def unet(self, unet: UNet2DModel, x: ov.Node) -> ov.Node:
        h = _conv(unet.conv_in, x)
        skips = [h]
        for block in unet.down_blocks:
            _require(type(block) in _DOWN)
            for resnet, attention in _layers(block):
                h = self._layer(resnet, attention, h)
                skips.append(h)
            for sampler in _samplers(block.downsamplers):
                h = _downsample(sampler, h)
                skips.append(h)
        if unet.mid_block is not None:
            _require(type(unet.mid_block) is UNetMidBlock2D)
            for resnet, attention in _layers(unet.mid_block):
                h = self._layer(resnet, attention, h)
        for block in unet.up_blocks:
            _require(type(block) in _UP)
            for resnet, attention in _layers(block):
                h = self._layer(resnet, attention, ops.concat([h, skips.pop()], 1))
            for sampler in _samplers(block.upsamplers):
                h = _upsample(sampler, h)
        return _conv(unet.conv_out, ops.swish(_norm(unet.conv_norm_out, h)))

    def _layer(self, resnet: ResnetBlock2D, attention: Attention | None, x: ov.Node) -> ov.Node:
        h = self._resnet(resnet, x)
        return h if attention is None else _attention(attention, h)

    def _resnet(self, block: ResnetBlock2D, x: ov.Node) -> ov.Node:
        _require(type(block.nonlinearity) is nn.SiLU and not block.skip_time_act)
        _require(block.upsample is None and block.downsample is None)
        _require(block.time_embedding_norm == "default" and block.output_scale_factor == 1)
        h = _conv(block.conv1, ops.swish(_norm(block.norm1, x))) + self._times[block]
        h = _conv(block.conv2, ops.swish(_norm(block.norm2, h)))
        return h + (x if block.conv_shortcut is None else _conv(block.conv_shortcut, x))


def _layers(block: nn.Module) -> list[tuple[ResnetBlock2D, Attention | None]]:
    """Pair a block's residual blocks with what attention follows each."""
    resnets = cast(list[ResnetBlock2D], block.resnets)
    return list(zip_longest(resnets, getattr(block, "attentions", ())))


def _samplers(samplers: Tensor | nn.Module | None) -> list[nn.Module]:
    return [] if samplers is None else list(cast(nn.ModuleList, samplers))


def _attention(attention: Attention, x: ov.Node) -> ov.Node:
    _require(is_plain_attention(attention) and attention.rescale_output_factor == 1)
    q, k, v = attention.to_q, attention.to_k, attention.to_v
    out = cast(nn.Linear, attention.to_out[0])
    heads, (_, channels, height, width) = attention.heads, _shape(x)
    # The scores' 1 / sqrt(d) goes into q's weights.
    scale = (q.out_features // heads) ** -0.5
    weight = torch.cat([q.weight * scale, k.weight, v.weight])
    bias = None if q.bias is None else torch.cat([q.bias * scale, k.bias, v.bias])
    h = x if attention.group_norm is None else _norm(attention.group_norm, x)
    tokens = ops.transpose(_reshape(h, 0, channels, height * width), np.array([0, 2, 1]))
    qkv = _reshape(_linear(tokens, weight, bias), height * width, 3, heads, -1)
    parts = ops.split(ops.transpose(qkv, np.array([1, 2, 0, 3])), 0, 3).outputs()
    scores = ops.softmax(ops.matmul(parts[0], parts[1], False, True), -1)
    heard = ops.transpose(ops.matmul(scores, parts[2], False, False), np.array([0, 2, 1, 3]))
    mixed = _linear(_reshape(heard, 1, height * width, -1), out.weight, out.bias)
    return x + _reshape(ops.transpose(mixed, np.array([0, 2, 1])), 0, channels, height, width)


def _norm(norm: nn.GroupNorm, x: ov.Node) -> ov.Node:
    groups, size = norm.num_groups, norm.num_channels // norm.num_groups
    average = torch.block_diag(*[torch.full((size, 1), 1 / size)] * groups)
    share = torch.block_diag(*[torch.ones(1, size)] * groups)

    def mean(values: ov.Node) -> ov.Node:
        each = _reshape(ops.reduce_mean(values, np.array(_SPATIAL), True), 0, -1)
        grouped = ops.matmul(each, _constant(average), False, False)
        return _reshape(ops.matmul(grouped, _constant(share), False, False), 0, -1, 1, 1)

    centre = mean(x)
    variance = mean(ops.squared_difference(x, centre))
    factor = _channels(norm.weight) / ops.sqrt(variance + _constant(torch.tensor([norm.eps])))
    return x * factor + (_channels(norm.bias) - centre * factor)


def _downsample(sampler: nn.Module, x: ov.Node) -> ov.Node:
    _require(type(sampler) is Downsample2D and sampler.use_conv and sampler.norm is None)
    # Without padding of its own diffusers adds a row below and a column on the right.
    return _conv(cast(nn.Conv2d, sampler.conv), x, behind=int(sampler.padding == 0))


def _upsample(sampler: nn.Module, x: ov.Node) -> ov.Node:
    _require(type(sampler) is Upsample2D and sampler.use_conv and sampler.interpolate)
    _require(not sampler.use_conv_transpose and sampler.norm is None)
    conv = cast(nn.Conv2d, sampler.conv if sampler.name == "conv" else sampler.Conv2d_0)
    _require(conv.kernel_size == (3, 3) and conv.padding == conv.stride == (1, 1))
    # Pixel q reaches rows 2q and 2q + 1, and from there what lies around each.
    summed = torch.zeros(*conv.weight.shape[:2], 4, 4, dtype=torch.float64)
    for row in range(2):
        for column in range(2):
            summed[:, :, row : row + 3, column : column + 3] += conv.weight.flip(_SPATIAL)
    weight = _constant(summed.float().transpose(0, 1))
    ends = {"pads_begin": [1, 1], "pads_end": [1, 1]}
    y = ops.convolution_backprop_data(x, weight, [2, 2], **ends)
    return y if conv.bias is None else y + _channels(conv.bias)


def _conv(conv: nn.Conv2d, x: ov.Node, behind: int = 0) -> ov.Node:
    _require(conv.groups == 1 and conv.padding_mode == "zeros")
    _require(not isinstance(conv.padding, str))
    ends = [int(pad) + behind for pad in conv.padding]
    how = list(conv.stride), list(conv.padding), ends, list(conv.dilation)
    y = ops.convolution(x, _constant(conv.weight), *how)
    return y if conv.bias is None else y + _channels(conv.bias)


def _linear(x: ov.Node, weight: Tensor, bias: Tensor | None) -> ov.Node:
    y = ops.matmul(x, _constant(weight), False, True)
    return y if bias is None else y + _constant(bias)


def _reshape(x: ov.Node | ov.Output, *shape: int) -> ov.Node:
    """Reshape `x`; 0 keeps its dimension of that place, and -1 is what is left."""
    return ops.reshape(x, np.array(shape), True)


def _shape(x: ov.Node) -> tuple[int, ...]:
    return tuple(x.output(0).shape)


def _channels(values: Tensor) -> ov.Node:
    return _constant(values[None, :, None, None])


def _constant(values: Tensor) -> ov.Node:
    return ops.constant(values.detach().contiguous().numpy(), shared_memory=True)
