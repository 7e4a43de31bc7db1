"""A diffusers UNet2DModel made ready for one device and one precision.

`exact` computes in fp32. `fast` computes in 16 bits where the hardware does that well, and
falls back to fp32 where it doesn't. Either way what goes in and comes out is float32 on the
CPU. The CPU path is measured and tested; those for CUDA and MPS are written but untried.
"""

from typing import Final, Literal, cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from app.engine.bottleneck import bottleneck
from app.engine.lean import lean_unet
from app.engine.packed import pack_convolutions

Precision = Literal["exact", "fast"]

_NAMES: Final = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class UNetDenoiser:
    """`unet`'s raw output, at its own timestep for each picture.

    Holds a copy of the weights in its own dtype and layout; `unet` is left alone and may be
    freed. Keeps no state between calls, so any thread may call it, and several at once.

    Args:
        unet: Of any size and block types, with or without classes or a learned variance.
        device: Where the network runs.
        precision: `fast` is a wish: `precision_used` tells what was possible.
    """

    def __init__(self, unet: UNet2DModel, *, device: torch.device, precision: Precision) -> None:
        self.device = device
        self.precision: Precision = precision
        self.dtype = fast_dtype(device) if precision == "fast" else torch.float32
        if device.type == "cuda" and precision == "exact":
            # cuDNN's default rounds fp32 convolutions to TF32's 10 bits.
            torch.backends.cudnn.allow_tf32 = False
        self._has_classes = unet.class_embedding is not None
        self._net = lean_unet(unet, self.dtype).to(device)
        # Only bf16: timing decides what is packed, and `exact` owes the same bits every time.
        if device.type == "cpu" and self.dtype == torch.bfloat16 and unet.config["sample_size"]:
            pack_convolutions(self._net, lambda: self._paint_nothing(unet))

    @property
    def precision_used(self) -> str:
        """The number format the network computes in: `fp32`, `bf16` or `fp16`."""
        return _NAMES[self.dtype]

    @torch.inference_mode()
    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's output, a float32 CPU tensor of (B, out_channels, H, W).

        Args:
            x_t: (B, C, H, W), float32, on the CPU.
            t: (B,) int64, on the CPU; each picture may be at its own step.
            labels: (B,) int64, on the CPU; needed by a model with classes, and only there.

        Raises:
            ValueError: If labels are missing, or given to a model without classes.
        """
        if self._has_classes and labels is None:
            raise ValueError("this model has classes: give each picture a label")
        if not self._has_classes and labels is not None:
            raise ValueError("this model has no classes: leave the labels out")
        x = x_t.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        label_ids = None if labels is None else labels.to(self.device)
        (out,) = self._net(x, t.to(self.device), label_ids, return_dict=False)
        return torch.as_tensor(out).to("cpu", torch.float32).contiguous()

    @torch.inference_mode()
    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """The bottleneck's activations, a float32 CPU tensor (B, D); arguments as in `forward`."""
        x = x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        return bottleneck(cast(UNet2DModel, self._net), x, t.to(self.device)).to(
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
        t = torch.ones(1, dtype=torch.int64)
        self.forward(x, t, torch.zeros_like(t) if self._has_classes else None)


def fast_dtype(device: torch.device) -> torch.dtype:
    """The 16-bit format that `device` multiplies in hardware; float32 if there is none."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if _cpu_multiplies_bf16() else torch.float32


def _cpu_multiplies_bf16() -> bool:
    if hasattr(torch.cpu, "get_capabilities"):
        names = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
        return any(torch.cpu.get_capabilities().get(name, False) for name in names)
    # torch 2.8 and 2.9 have no public way to ask.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
