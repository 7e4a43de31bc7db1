"""The bottleneck's features are what diffusers' own network computes there."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from app.networks.unet import UNetDenoiser


def middle_of(unet: UNet2DModel, x: Tensor, t: Tensor) -> Tensor:
    """What a hook on diffusers' middle block sees."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, arguments: object, output: Tensor) -> None:
        seen.append(output)

    assert unet.mid_block is not None
    hook = unet.mid_block.register_forward_hook(keep)
    with torch.no_grad():
        unet(x, t)
    hook.remove()
    return F.adaptive_avg_pool2d(seen[0], 4).flatten(1)


@pytest.mark.parametrize("changes", [{}, {"center_input_sample": True}])
def test_features_are_the_middle_blocks_output(model_root: Path, changes: dict[str, bool]) -> None:
    unet = UNet2DModel.from_pretrained(model_root / "tiny" / "unet", low_cpu_mem_usage=False)
    unet.register_to_config(**changes)
    unet.eval()
    x = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0, 300, 999])
    denoiser = UNetDenoiser(unet, device=torch.device("cpu"), precision="exact")
    features = denoiser.features(x, t)
    assert features.shape == (3, 32 * 16)
    torch.testing.assert_close(features, middle_of(unet, x, t), rtol=1e-4, atol=1e-5)


def test_a_network_with_classes_needs_no_label_for_its_features(model_root: Path) -> None:
    unet = UNet2DModel.from_pretrained(model_root / "classes" / "unet", low_cpu_mem_usage=False)
    denoiser = UNetDenoiser(unet, device=torch.device("cpu"), precision="exact")
    assert denoiser.features(torch.zeros(1, 3, 16, 16), torch.zeros(1).long()).isfinite().all()
