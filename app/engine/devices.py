"""Which device a network runs on."""

import torch

from app.errors import StudioError


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`, or with "auto" the best there is: CUDA, MPS, CPU.

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
