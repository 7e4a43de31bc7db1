"""What a model's files say of it, checked before anything is built by it: they may be anybody's."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.diffusion.schedule import MAX_T

MAX_SIDE: Final = 1024
MAX_LEVELS: Final = 16
MAX_CLASSES: Final = 10_000
MAX_HEADER: Final = 100_000_000

Count = Annotated[int, Field(ge=1)]


class _Fields(BaseModel):
    """Those fields of a configuration that are read here; it may have others."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class NetworkFields(_Fields):
    """Of a UNet2DModel's config.json."""

    sample_size: int = Field(ge=1, le=MAX_SIDE)
    in_channels: Count
    out_channels: Count
    block_out_channels: list[Count] = Field(default_factory=list, max_length=MAX_LEVELS)
    layers_per_block: int = Field(default=2, ge=1, le=32)
    num_class_embeds: int | None = Field(default=None, ge=0, le=MAX_CLASSES)
    num_train_timesteps: int | None = Field(default=None, ge=1, le=MAX_T)


class ScheduleFields(_Fields):
    """Of a scheduler_config.json."""

    num_train_timesteps: int = Field(default=1000, ge=1, le=MAX_T)
    beta_schedule: str = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    trained_betas: list[float] | None = Field(default=None, max_length=MAX_T)
    prediction_type: str = "epsilon"


class LabelFields(_Fields):
    """Of a labels.json."""

    labels: list[str]
    null_label: int | None = Field(default=None, ge=0)


class _Stored(_Fields):
    """A tensor in the header of a safetensors file."""

    shape: list[Annotated[int, Field(ge=0)]]
    data_offsets: Annotated[list[int], Field(min_length=2, max_length=2)]


_TENSORS: Final = TypeAdapter(dict[str, _Stored])


def stored_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """The shape of each tensor in a safetensors file, from its header.

    Raises:
        ValueError: If it is none, or ends early.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if 8 + length > min(MAX_HEADER, size):
            raise ValueError(f"{path} has no header")
        header = json.loads(file.read(length))
    if isinstance(header, dict):
        header.pop("__metadata__", None)
    tensors = _TENSORS.validate_python(header)
    for name, tensor in tensors.items():
        begin, end = tensor.data_offsets
        # An element takes a byte at least, so no shape can promise more than the file has.
        if not 0 <= begin <= end <= size or math.prod(tensor.shape) > end - begin:
            raise ValueError(f"{path}: {name} has other bytes than its shape")
    if 8 + length + max((t.data_offsets[1] for t in tensors.values()), default=0) != size:
        raise ValueError(f"{path} has other bytes than its header says")
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
