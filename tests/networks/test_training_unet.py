"""The network arranged for training computes diffusers' own outputs and gradients."""

import copy
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from app.networks.training_unet import NormSiLU, make_trainable
from tests.conftest import save_tiny_model

CHANGES: dict[str, dict[str, object]] = {
    "plain": {},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "resampling blocks": {"downsample_type": "resnet", "upsample_type": "resnet"},
    "classes and learned variance": {"num_class_embeds": 3, "out_channels": 6},
    "scaled mid block": {"mid_block_scale_factor": 2.0},
    "another activation": {"act_fn": "gelu"},
}


def output_and_gradients(net: UNet2DModel) -> tuple[Tensor, dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn((3, 3, 16, 16), generator=draw)
    t = torch.tensor([0, 400, 999])
    labels = torch.tensor([0, 2, 1]) if net.config["num_class_embeds"] else None
    (out,) = net(x, t, labels, return_dict=False)
    weight = torch.randn(out.shape, generator=draw)
    (out * weight).sum().backward()
    return out.detach(), {n: p.grad for n, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", CHANGES)
def test_outputs_and_gradients_are_diffusers_own(name: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", **CHANGES[name])
    theirs = UNet2DModel.from_pretrained(folder / "unet").requires_grad_(True).eval()
    state = copy.deepcopy(theirs.state_dict())
    ours = make_trainable(copy.deepcopy(theirs))
    assert ours.state_dict().keys() == state.keys()
    out, gradients = output_and_gradients(theirs)
    our_out, our_gradients = output_and_gradients(ours)
    torch.testing.assert_close(our_out, out, rtol=1e-4, atol=1e-5)
    assert our_gradients.keys() == gradients.keys()
    for parameter, gradient in gradients.items():
        # Scaled, for some gradients are nothing but rounding beside the others.
        scale = float(gradient.abs().max()) + 1e-2
        torch.testing.assert_close(
            our_gradients[parameter] / scale, gradient / scale, rtol=1e-3, atol=1e-4
        )


def test_norm_and_activation_pass_gradcheck_in_several_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.networks.training_unet._PART", 40)
    norm = torch.nn.GroupNorm(2, 4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -1.0, 2.0, 0.1]))
        norm.bias.copy_(torch.tensor([0.3, 0.0, -0.4, 1.0]))
    x = torch.randn((3, 4, 3, 3), generator=torch.Generator().manual_seed(1))
    inputs = [x.to(memory_format=torch.channels_last).requires_grad_(True) for _ in range(2)]
    outputs = [NormSiLU(norm)(inputs[0]), torch.nn.functional.silu(norm(inputs[1]))]
    gradients = []
    for out in outputs:
        norm.zero_grad()
        out.cos().sum().backward()
        gradients.append((norm.weight.grad, norm.bias.grad))
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(*gradients)


def test_bf16_stays_as_near_to_fp32_as_diffusers_does(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    theirs = UNet2DModel.from_pretrained(folder / "unet").requires_grad_(True)
    ours = make_trainable(copy.deepcopy(theirs))
    exact, _ = output_and_gradients(copy.deepcopy(theirs))
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = output_and_gradients(theirs)
        our_rough, _ = output_and_gradients(ours)
    assert float((our_rough - exact).norm()) <= 1.2 * float((rough - exact).norm())
