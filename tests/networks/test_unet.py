from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from app.diffusion.conditioning import Condition
from app.networks import unet as unet_module
from app.networks.devices import fast_dtype
from app.networks.unet import LeanAttention, LeanResnet, Precision, UNetDenoiser

CPU = torch.device("cpu")
HAS_BF16 = fast_dtype(CPU) == torch.bfloat16
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="this processor doesn't multiply bf16")

CONFIGS: dict[str, dict[str, object]] = {
    "plain": {},
    "one_channel": {"in_channels": 1, "out_channels": 1},
    "learned_variance": {"out_channels": 6},
    "classes": {"num_class_embeds": 4},
    "classes_and_learned_variance": {"num_class_embeds": 4, "out_channels": 6},
    "classes_by_sinusoid": {"class_embed_type": "timestep"},
    "uneven_groups": {"block_out_channels": (20, 40), "attention_head_dim": 20},
    "scale_shift": {"resnet_time_scale_shift": "scale_shift"},
    "resnet_resampling": {
        "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
    },
    "skips": {
        "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
        "block_out_channels": (32, 32),
    },
    "scaled_middle": {"mid_block_scale_factor": 1.4142},
    "no_middle_attention": {"add_attention": False},
    "asymmetric_padding": {"downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1},
    "other_activation": {"act_fn": "gelu"},
    "fourier_time": {"time_embedding_type": "fourier"},
    "many_tokens": {
        "sample_size": 32,
        "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
    },
}


def small_unet(**changes: object) -> UNet2DModel:
    """A network of under 0.2 M parameters whose every weight matters, norms' too."""
    config: dict[str, object] = {
        "sample_size": 16,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    torch.manual_seed(0)
    unet: UNet2DModel = UNet2DModel(**config | changes).eval()
    for module in unet.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.normal_(module.weight, mean=1, std=0.2)
            nn.init.normal_(module.bias, std=0.2)
    return unet


def inputs(unet: UNet2DModel, count: int = 3) -> tuple[Tensor, Tensor, Condition | None]:
    generator = torch.Generator().manual_seed(1)
    size = unet.config["sample_size"]
    x_t = torch.randn(count, unet.config["in_channels"], size, size, generator=generator)
    t = torch.randint(1, 1000, (count,), generator=generator)
    has_classes = unet.class_embedding is not None
    return x_t, t, Condition(torch.arange(count)) if has_classes else None


def denoiser(unet: UNet2DModel, precision: Precision) -> UNetDenoiser:
    return UNetDenoiser(unet, device=CPU, precision=precision)


@torch.inference_mode()
def plain_output(unet: UNet2DModel, x_t: Tensor, t: Tensor, condition: Condition | None) -> Tensor:
    labels = None if condition is None else condition.labels
    return torch.as_tensor(unet(x_t, t, labels).sample)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_exact_computes_what_diffusers_does(config: dict[str, object]) -> None:
    unet = small_unet(**config)
    x_t, t, condition = inputs(unet)

    out = denoiser(unet, "exact").forward(x_t, t, condition)

    assert relative_error(out, plain_output(unet, x_t, t, condition)) < 2e-6
    assert out.dtype == torch.float32
    assert out.is_contiguous()
    assert out.shape == (3, unet.config["out_channels"], *x_t.shape[2:])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_fast_stays_near_exact(config: dict[str, object]) -> None:
    unet = small_unet(**config)
    x_t, t, condition = inputs(unet)

    out = denoiser(unet, "fast").forward(x_t, t, condition)

    assert relative_error(out, denoiser(unet, "exact").forward(x_t, t, condition)) < 0.02
    assert out.dtype == torch.float32
    assert out.is_contiguous()


@pytest.mark.parametrize(("precision", "tolerance"), [("exact", 2e-6), ("fast", 0.02)])
def test_each_picture_is_denoised_at_its_own_timestep(
    precision: Precision, tolerance: float
) -> None:
    unet = small_unet(num_class_embeds=4)
    x_t, t, condition = inputs(unet)
    assert condition is not None
    network = denoiser(unet, precision)

    together = network.forward(x_t, t, condition)

    for i in range(len(x_t)):
        row = slice(i, i + 1)
        alone = network.forward(x_t[row], t[row], condition.rows(row))
        assert relative_error(together[row], alone) < tolerance


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_every_thread_gets_the_same_output(precision: Precision) -> None:
    unet = small_unet()
    network = denoiser(unet, precision)
    arguments = inputs(unet)
    expected = network.forward(*arguments)

    with ThreadPoolExecutor(4) as threads:
        outputs = [threads.submit(network.forward, *arguments) for _ in range(8)]

    assert all(torch.equal(out.result(), expected) for out in outputs)


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_neither_the_input_nor_the_model_is_changed(precision: Precision) -> None:
    unet = small_unet()
    weights = {name: value.clone() for name, value in unet.state_dict().items()}
    x_t, t, _ = inputs(unet)
    kept = x_t.clone()

    denoiser(unet, precision).forward(x_t, t)

    assert torch.equal(x_t, kept)
    assert all(torch.equal(value, weights[name]) for name, value in unet.state_dict().items())


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_grad_mode_of_the_caller_is_left_alone(precision: Precision) -> None:
    unet = small_unet()

    out = denoiser(unet, precision).forward(*inputs(unet))

    assert torch.is_grad_enabled()
    assert not out.requires_grad


def test_a_model_in_training_mode_is_run_without_dropout() -> None:
    unet = small_unet(dropout=0.5)
    arguments = inputs(unet)
    expected = plain_output(unet, *arguments)

    out = denoiser(unet.train(), "exact").forward(*arguments)

    assert relative_error(out, expected) < 2e-6


def test_both_kinds_of_block_are_replaced() -> None:
    replaced = [
        type(module) for module in unet_module.lean_unet(small_unet(), torch.float32).modules()
    ]

    assert replaced.count(LeanResnet) == 8
    assert replaced.count(LeanAttention) == 4


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_missing_labels_are_named(precision: Precision) -> None:
    unet = small_unet(num_class_embeds=4)
    x_t, t, _ = inputs(unet)

    with pytest.raises(ValueError, match="has classes: give each picture a label"):
        denoiser(unet, precision).forward(x_t, t)


def test_labels_for_a_model_without_classes_are_refused() -> None:
    unet = small_unet()
    x_t, t, _ = inputs(unet)

    with pytest.raises(ValueError, match="has no classes: leave the labels out"):
        denoiser(unet, "exact").forward(x_t, t, Condition.of_label(0, 3))


@needs_bf16
def test_fast_says_that_it_uses_bf16() -> None:
    assert denoiser(small_unet(), "fast").dtype == torch.bfloat16
    assert denoiser(small_unet(), "exact").dtype == torch.float32


@pytest.mark.parametrize("has_public_query", [True, False])
def test_fast_is_fp32_on_a_processor_without_bf16(
    monkeypatch: pytest.MonkeyPatch, has_public_query: bool
) -> None:
    if has_public_query:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    else:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(unet_module, "find_spec", lambda _: None)  # OpenVINO has its own tests.
    unet = small_unet()
    arguments = inputs(unet)

    network = denoiser(unet, "fast")

    assert network.dtype == torch.float32
    assert torch.equal(network.forward(*arguments), denoiser(unet, "exact").forward(*arguments))
