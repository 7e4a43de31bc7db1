import pytest
import torch
from torch import Tensor, nn

from app.networks import unet as unet_module
from app.networks.unet import PackedConv, pack_convolutions


def net_and_input() -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    convs = [nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.Conv2d(32, 16, 3, padding=1)]
    for conv in convs:
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    return nn.Sequential(*convs).requires_grad_(False), x


def count_packed(net: nn.Module) -> int:
    return sum(isinstance(module, PackedConv) for module in net.modules())


@pytest.fixture
def as_if_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet_module, "_seconds", lambda module, x: 0.0)


needs_operators = pytest.mark.skipif(not unet_module._can_pack(), reason="torch without oneDNN")


@needs_operators
@pytest.mark.usefixtures("as_if_faster")
@pytest.mark.parametrize("shape", [(1, 16, 8, 8), (3, 16, 8, 8), (1, 16, 12, 10)])
def test_packed_convolutions_compute_the_same_for_any_shape(shape: tuple[int, ...]) -> None:
    net, x = net_and_input()
    other = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    expected = net(other)

    pack_convolutions(net, lambda: net(x))

    assert count_packed(net) == 2
    torch.testing.assert_close(net(other), expected)


@needs_operators
@pytest.mark.usefixtures("as_if_faster")
def test_a_convolution_with_two_names_is_packed_under_both() -> None:
    net, x = net_and_input()
    net.register_module("again", net[1])

    pack_convolutions(net, lambda: nn.Sequential(net[0], net[1])(x))

    assert net.again is net[1]
    assert isinstance(net.again, PackedConv)


@needs_operators
def test_a_convolution_that_packing_slows_down_stays_plain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        unet_module, "_seconds", lambda module, x: float(type(module) is PackedConv)
    )
    net, x = net_and_input()

    pack_convolutions(net, lambda: net(x))

    assert count_packed(net) == 0


@needs_operators
@pytest.mark.usefixtures("as_if_faster")
def test_a_torch_with_other_operators_keeps_plain_convolutions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object) -> Tensor:
        raise RuntimeError("unknown arguments")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_convolution_weight", refuse)
    net, x = net_and_input()
    expected = net(x)

    pack_convolutions(net, lambda: net(x))

    assert count_packed(net) == 0
    assert torch.equal(net(x), expected)


def test_without_the_operators_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet_module, "_can_pack", lambda: False)
    net, x = net_and_input()

    pack_convolutions(net, lambda: net(x))

    assert count_packed(net) == 0
