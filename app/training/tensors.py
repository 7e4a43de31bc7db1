"""Writing tensors: apart from the other files, which a process without torch writes too."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from app.training.files import write_bytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file and wait until the disk has it."""
    # Through bytes: safetensors' own writer doesn't sync, and hides the system's error.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(plain))
