"""Copy a model with another number of groups in its norms: `python -m app regroup`.

A GroupNorm subtracts each group's mean. With only a few channels per group, such as two, hardly
anything of a picture's mean colour gets through; with more, a network can learn to let it pass.
The copy's function stays as close to the model's as possible.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, cast

import torch
import typer
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn
from torch.nn.functional import group_norm

from app.errors import StudioError


@dataclass(eq=False)
class _Fit:
    """Sums over pictures and pixels of a norm's outputs before and after, (channels,) each."""

    groups: int
    count: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        """Add what a norm makes of its inputs now, and with the new number of groups: a hook."""
        if not isinstance(norm, nn.GroupNorm):
            return
        (x,) = inputs
        before = group_norm(x, norm.num_groups, eps=norm.eps)
        after = group_norm(x, self.groups, eps=norm.eps)
        axes = [0, *range(2, before.dim())]
        products = {"b": before, "a": after, "aa": after * after, "ab": after * before}
        for name, values in products.items():
            self.sums[name] = self.sums.get(name, torch.zeros(())) + values.double().sum(axes)
        self.count += before.numel() / before.shape[1]

    def line(self) -> tuple[Tensor, Tensor]:
        """Fit `before` by slope * `after` + offset in least squares; both are (channels,)."""
        mean = {name: value / self.count for name, value in self.sums.items()}
        slope = (mean["ab"] - mean["a"] * mean["b"]) / (mean["aa"] - mean["a"].square())
        return slope, mean["b"] - slope * mean["a"]


@torch.no_grad()
def regroup(network: UNet2DModel, groups: int, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Divide every GroupNorm of `network` into `groups` groups, and refit its scale and offset.

    Args:
        network: The network, changed in place together with its configuration.
        groups: The new number of groups.
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
    fits = {norm: _Fit(groups) for norm in norms}
    hooks = [norm.register_forward_hook(fit.add) for norm, fit in fits.items()]
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


MOST: Final = 128
"""The number of pictures that the norms are fitted on: few suffice for two numbers a channel."""


def command(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    folder: Annotated[Path, typer.Argument(help="Where the copy goes.")],
    groups: Annotated[int, typer.Option(help="Groups of each norm.")],
    data: Annotated[Path, typer.Option(help="A folder of pictures to fit the norms on.")],
) -> None:
    """Write a model whose function is near the old one's, to be trained on.

    With more channels a group a network can learn the mean colour of the noise.
    """
    from dataclasses import replace

    import numpy as np

    from app.datasets.folder import find_pictures, load_reference
    from app.diffusion.forward import q_sample
    from app.evaluation.evaluator import LEAST
    from app.settings import Settings
    from app.studio import Studio
    from app.training.architecture import export_model, load_initial_model
    from app.training.validation import BATCH, HeldOut

    if folder.exists():
        raise StudioError(f"{folder} is there already.", "Name a new folder.")
    find_pictures(data, LEAST)
    models = Studio(Settings.from_environment()).models
    info = models.describe(model)
    if info.labels:
        raise StudioError(f"{model} has classes.", "Choose a model without.")
    if info.latent:
        raise StudioError(f"{model} diffuses latents.", "Choose a model that diffuses pictures.")
    initial = load_initial_model(models.find(model))
    schedule = initial.architecture.schedule
    pixels = load_reference(data, info.size, info.channels, LEAST).pixels
    even = np.linspace(0, len(pixels) - 1, min(MOST, len(pixels))).astype(int)
    noised = HeldOut.made(pixels[even, ..., : info.channels], None, schedule.num_train_timesteps)
    x_t = q_sample(schedule, noised.x_0, noised.t, noised.eps)
    network = cast(UNet2DModel, initial.network)
    regroup(network, groups, zip(x_t.split(BATCH), noised.t.split(BATCH), strict=True))
    architecture = replace(initial.architecture, unet=dict(network.config))
    export_model(folder, architecture, network.state_dict(), size=info.size)
    typer.echo(folder)
