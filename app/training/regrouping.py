"""Another number of groups for a network's norms, its function kept as nearly as can be.

A GroupNorm takes each group's mean away. With few channels a group, and in the end two, hardly
anything of a picture's mean colour comes through; with more, a network can learn to let it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn
from torch.nn.functional import group_norm

from app.errors import StudioError


@dataclass(eq=False)
class _Fit:
    """Sums over pictures and pixels of what a norm gives before and after, (channels,) each."""

    count: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, before: Tensor, after: Tensor) -> None:
        axes = [0, *range(2, before.dim())]
        products = {"b": before, "a": after, "aa": after * after, "ab": after * before}
        for name, values in products.items():
            self.sums[name] = self.sums.get(name, torch.zeros(())) + values.double().sum(axes)
        self.count += before.numel() / before.shape[1]

    def line(self) -> tuple[Tensor, Tensor]:
        """The slope and offset by which `after` comes nearest to `before`, in least squares."""
        mean = {name: value / self.count for name, value in self.sums.items()}
        slope = (mean["ab"] - mean["a"] * mean["b"]) / (mean["aa"] - mean["a"].square())
        return slope, mean["b"] - slope * mean["a"]


@torch.no_grad()
def regroup(network: UNet2DModel, groups: int, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Give every GroupNorm of `network` so many `groups`, and scales and offsets to match.

    Args:
        network: Changed in place, its configuration too.
        groups: How many.
        batches: Noised pictures (B, C, S, S) and their timesteps (B,), from all of [0, T).

    Raises:
        StudioError: If `groups` doesn't divide the channels of a norm.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    for norm in norms:
        if groups < 1 or norm.num_channels % groups:
            raise StudioError(
                f"{norm.num_channels} channels don't fall into {groups} groups.",
                "Choose a number that divides the channels of all blocks.",
            )
    fits = {norm: _Fit() for norm in norms}
    hooks = [norm.register_forward_hook(_watch(fits[norm], groups)) for norm in norms]
    try:
        for x_t, t in batches:
            network(x_t, t)
    finally:
        for hook in hooks:
            hook.remove()
    for norm, fit in fits.items():
        slope, offset = fit.line()
        norm.bias.add_(norm.weight * offset.to(norm.weight))
        norm.weight.mul_(slope.to(norm.weight))
        norm.num_groups = groups
    network.register_to_config(norm_num_groups=groups)


def _watch(fit: _Fit, groups: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def watch(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        if isinstance(module, nn.GroupNorm):
            (x,) = inputs
            before = group_norm(x, module.num_groups, eps=module.eps)
            fit.add(before, group_norm(x, groups, eps=module.eps))

    return watch
