"""The device that a network runs on, and the number format it is fast in."""

import torch

from app.errors import StudioError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`, or with "auto" the best there is: CUDA, MPS, CPU.

    Raises:
        StudioError: If this machine has no such device.
    """
    present = {"cpu": True, "mps": torch.backends.mps.is_available()}
    present |= {"cuda": torch.cuda.is_available()}
    if name == "auto":
        name = next(d for d in ("cuda", "mps", "cpu") if present[d])
    if not present.get(name, False):
        raise StudioError(
            f"This machine has no device {name!r} that torch can use.",
            "Set PLEIN_AIR_DEVICE to auto, or install a torch build for that device.",
        )
    # A process that torchrun started has a device of its own, which its threads don't inherit.
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return the 16-bit format that `device` multiplies in hardware; float32 if there is none."""
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
