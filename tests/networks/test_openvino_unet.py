from platform import machine

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from app.diffusion.conditioning import Condition
from app.networks import unet as unet_module
from app.networks.unet import UNetDenoiser
from tests.networks.test_unet import (
    CONFIGS,
    CPU,
    HAS_BF16,
    denoiser,
    inputs,
    plain_output,
    relative_error,
    small_unet,
)

pytest.importorskip("openvino")

from app.networks.openvino_unet import OpenVinoUNet

TORCHS = (
    *("scale_shift", "resnet_resampling", "skips", "scaled_middle"),
    *("other_activation", "fourier_time"),
)
KNOWN = {name: config for name, config in CONFIGS.items() if name not in TORCHS}


@pytest.fixture(autouse=True)
def as_if_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet_module, "fast_dtype", lambda _: torch.float32)
    monkeypatch.setattr(unet_module, "machine", lambda: "x86_64")


def fast(unet: UNet2DModel) -> UNetDenoiser:
    return denoiser(unet, "fast")


@pytest.mark.parametrize("config", KNOWN.values(), ids=KNOWN)
def test_openvino_computes_what_diffusers_does(config: dict[str, object]) -> None:
    unet = small_unet(**config)
    found = fast(unet)

    assert found.engine == "OpenVINO"
    assert relative_error(found.forward(*inputs(unet)), plain_output(unet, *inputs(unet))) < 2e-6


@pytest.mark.parametrize("name", TORCHS)
def test_blocks_of_another_kind_stay_with_torch(name: str) -> None:
    unet = small_unet(**CONFIGS[name])

    assert fast(unet).engine == "torch"
    assert torch.equal(
        fast(unet).forward(*inputs(unet)), denoiser(unet, "exact").forward(*inputs(unet))
    )


def test_without_openvino_fast_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = small_unet()
    monkeypatch.setattr(unet_module, "find_spec", lambda _: None)

    assert fast(unet).engine == "torch"
    assert torch.equal(
        fast(unet).forward(*inputs(unet)), denoiser(unet, "exact").forward(*inputs(unet))
    )


def test_exact_is_torchs() -> None:
    assert denoiser(small_unet(), "exact").engine == "torch"


def test_a_second_stage_gets_its_small_picture() -> None:
    unet = small_unet(in_channels=6, out_channels=3, num_class_embeds=1)
    x, t, _ = inputs(unet)
    shown = Condition(low_res=x[:, 3:], low_res_t=torch.zeros_like(t))

    out = fast(unet).forward(x[:, :3], t, shown)

    assert relative_error(out, denoiser(unet, "exact").forward(x[:, :3], t, shown)) < 2e-6


@pytest.mark.parametrize("threads", [1, 2])
def test_a_pictures_bits_are_the_same_beside_any_others(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    unet = small_unet()
    x_t, t, _ = inputs(unet)
    found = fast(unet)

    together = found.forward(x_t, t)

    for i in range(3):
        others = [(i + 1) % 3, i]
        assert torch.equal(found.forward(x_t[others], t[others])[1], together[i])
        # Alone it has all threads, which add up in another order.
        alone = found.forward(x_t[i : i + 1], t[i : i + 1])
        assert relative_error(alone, together[i : i + 1]) < 2e-6
    assert torch.equal(fast(unet).forward(x_t, t), together)


def test_pictures_of_other_sizes_are_denoised_in_turn() -> None:
    unet = small_unet()
    found = fast(unet)
    t = torch.tensor([7])
    for shape in ((1, 3, 16, 16), (1, 3, 8, 24), (1, 3, 16, 16)):
        x_t = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        assert relative_error(found.forward(x_t, t), plain_output(unet, x_t, t, None)) < 2e-6


@torch.inference_mode()
def test_threads_follow_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    net = OpenVinoUNet(small_unet())
    x, t = torch.zeros(1, 3, 16, 16), torch.tensor([7])
    used = []
    for threads in (2, 1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        net(x, t)
        compiled = net._compiled[1][1][0].get_compiled_model()
        used.append(compiled.get_property("INFERENCE_NUM_THREADS"))
    assert used == [2, 1, 2]


@torch.inference_mode()
@pytest.mark.parametrize(("threads", "graphs"), [(1, {1}), (2, {1, 2})])
def test_a_graph_is_compiled_for_one_picture_and_one_for_several(
    threads: int, graphs: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = OpenVinoUNet(small_unet())
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for pictures in (1, 3, 1, 2):
        net(torch.zeros(pictures, 3, 16, 16), torch.full((pictures,), 7))
    assert set(net._compiled) == graphs
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    net(torch.zeros(1, 3, 16, 16), torch.tensor([7]))
    assert set(net._compiled) == {1}, "those of other threads are let go"


def test_fast_is_openvinos_in_the_processors_own_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if machine() not in ("x86_64", "AMD64"):
        pytest.skip("no x86 processor")
    unet = small_unet()
    found = UNetDenoiser(unet, device=CPU, precision="fast")

    assert found.engine == "OpenVINO"
    assert found.dtype == (torch.bfloat16 if HAS_BF16 else torch.float32)
    error = relative_error(found.forward(*inputs(unet)), plain_output(unet, *inputs(unet)))
    assert error < (0.02 if HAS_BF16 else 2e-6)


@pytest.mark.skipif(not HAS_BF16, reason="this processor doesn't multiply bf16")
def test_a_second_stage_in_bf16_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    stage = small_unet(in_channels=6, out_channels=3, num_class_embeds=1)

    assert UNetDenoiser(stage, device=CPU, precision="fast").engine == "torch"
