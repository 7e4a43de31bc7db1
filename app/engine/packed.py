"""Convolutions whose weights are kept in the layout that oneDNN computes with.

torch rearranges a convolution's weights at every call. One picture at a time that is an
eighth of this project's 64-px network's time; with more pictures it hardly shows. So weights
are arranged once for the shapes of one picture, and any other shape takes the ordinary way.

The operators are torch's own but private (its compiler emits them): where they are missing,
or don't answer as expected, convolutions stay as they are. For a few shapes oneDNN arranges
weights one way, wants them another, and converts them at each call up to 75 times slower
than the convolution itself takes: so each is timed once and kept only if it is no slower.
"""

import time
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

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
        """(B, C, H, W) to (B, C', H', W')."""
        if x.shape != self.shape:
            return torch.as_tensor(self.conv(x))
        return torch.as_tensor(
            torch.ops.mkldnn._convolution_pointwise(
                x, self.packed, self.conv.bias, *self.geometry, "none", [], ""
            )
        )


@torch.inference_mode()
def pack_convolutions(net: nn.Module, run: Callable[[], object]) -> None:
    """Replace those of `net`'s 3x3 convolutions that gain from it, for the shapes of `run`.

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
    """What each plain 3x3 convolution is called with; those never called are left out."""
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
    """The shortest of a few calls."""
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        module(x)
        times.append(time.perf_counter() - start)
    return min(times)
