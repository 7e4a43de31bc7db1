"""A folder with a network in diffusers' layout: its configuration, and its weights' headers.

The files may be anybody's, so nothing is built by what they say before it is checked.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from app.documents import in_words
from app.errors import ModelError

if TYPE_CHECKING:
    from diffusers.models.modeling_utils import ModelMixin

SUB_BYTE: Final = ("F4", "F6_E2M3", "F6_E3M2")

WEIGHTS: Final = "diffusion_pytorch_model.safetensors"
_WEIGHTS_NAMED: Final = re.compile(
    r"diffusion_pytorch_model(\.\w+)?(?:-(\d{5})-of-(\d{5}))?(\.\w+)?\.safetensors"
)
"""A weights file or a shard of one; its variant, such as fp16, is before or after the number."""

_WRAPPERS: Final = re.compile(r"(_orig_mod\.|module\.)+")
"""What torch.compile and DistributedDataParallel put before the names of all tensors."""

PICKLES: Final = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt", "model.pt")
CHECKSUMS: Final = "SHA256SUMS"

BUILDING_ERRORS: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)
"""The errors of diffusers on configurations of which it can't build a network, or run it."""

F = TypeVar("F", bound=BaseModel)


def stored_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Read the shape of each tensor in a safetensors file from its header.

    Raises:
        OSError: If the file can't be opened.
        SafetensorError: If it is no safetensors file, is truncated, or has other bytes than its
            header says.
        ValueError: If elements of a tensor are smaller than a byte.
    """
    with safe_open(path, framework="np") as file:
        stored = {name: file.get_slice(name) for name in file.offset_keys()}
        # No network here has such elements, and so no shape can promise more than the file has.
        packed = [name for name, tensor in stored.items() if tensor.get_dtype() in SUB_BYTE]
        if packed:
            raise ValueError(f"{path}: elements of {packed[0]} are smaller than a byte")
        return {name: tuple(tensor.get_shape()) for name, tensor in stored.items()}


def weights_among(names: Iterable[str]) -> tuple[str, ...]:
    """Choose a network's weights among files: one, or the shards of one in their order.

    A variant, such as fp16, is chosen where there is nothing else.

    Raises:
        ValueError: If there are shards, but not all of them.
    """
    found: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _WEIGHTS_NAMED.fullmatch(name):
            before, number, count, after = match.groups()
            kind = f"{before or after or ''} {count or 0}"
            found.setdefault(kind, {})[int(number or 0)] = name
    if not found:
        return ()
    kind = min(found)  # no variant first, and a single file before shards
    count, parts = int(kind.split(" ")[1]), found[kind]
    if count and sorted(parts) != list(range(1, count + 1)):
        raise ValueError(f"it has {len(parts)} of the {count} files of its weights")
    return tuple(parts[number] for number in sorted(parts))


def unwrapped(name: str) -> str:
    """Return a tensor's name without what wraps the network."""
    wrappers = _WRAPPERS.match(name)
    return name[wrappers.end() :] if wrappers else name


@dataclass(frozen=True, eq=False)
class NetworkFiles:
    """A folder that holds a network, and the id of the model that it belongs to.

    Raises:
        ModelError: By each property, if the files it needs are missing or broken.
    """

    id: str
    folder: Path

    @property
    def network_folder(self) -> Path:
        """The folder with the network's config.json and weights."""
        return self.folder

    @cached_property
    def weights_files(self) -> tuple[Path, ...]:
        """The safetensors file, or the shards of one; a pickle in its place is refused."""
        try:
            names = weights_among(path.name for path in self.network_folder.iterdir())
        except ValueError as error:
            raise self.error(str(error), "Copy the whole model folder again.") from error
        except OSError as error:
            raise self.error("its folder can't be read", "Look at the folder.") from error
        if names:
            return tuple(self.network_folder / name for name in names)
        if any((self.network_folder / name).exists() for name in PICKLES):
            raise self.error(
                "its weights are a pickle, which can run code when it is opened",
                f"Convert them once with diffusers' save_pretrained to {WEIGHTS}.",
            )
        raise self.error(f"it has no {WEIGHTS}", "Copy the whole model folder again.")

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor, from the weights' headers, which show truncation."""
        try:
            stored = [stored_shapes(path) for path in self.weights_files]
            return {unwrapped(name): shape for part in stored for name, shape in part.items()}
        except (OSError, ValueError, SafetensorError) as error:
            raise self.error(
                "its weights file is truncated or no safetensors file", "Copy the file again."
            ) from error

    @property
    def num_parameters(self) -> int:
        """The number of weights."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def weights_bytes(self) -> int:
        """The bytes of the weights on the disk."""
        return sum(path.stat().st_size for path in self.weights_files)

    def read_weights(self) -> OrderedDict[str, Tensor]:
        """Read the weights in fp32, whatever they are stored in, by their names in a network.

        Raises:
            OSError, SafetensorError: If a file can't be read.
        """
        stored: OrderedDict[str, Tensor] = OrderedDict()
        for path in self.weights_files:
            # Copied, for the file may be replaced while the network is in use.
            parts = load_file(path).items()
            stored |= {unwrapped(name): it.to(torch.float32, copy=True) for name, it in parts}
        return stored

    def misfits(self, network: ModelMixin) -> list[str]:
        """Name the tensors that the weights and `network` don't have in the same shape."""
        wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        # Attention has other names in the first models.
        stored = OrderedDict(self.shapes)
        network._fix_state_dict_keys_on_load(stored)
        return [name for name in wanted | stored if wanted.get(name) != stored.get(name)]

    def error(self, what: str, hint: str) -> ModelError:
        """Make a ModelError that names this model."""
        return ModelError(f"The model {self.id!r} can't be used: {what}.", hint)

    def _checked(self, kind: type[F], table: dict[str, Any], name: str) -> F:
        try:
            return kind.model_validate(table)
        except ValidationError as error:
            raise self.error(
                f"in its {name}, {in_words(error)[0]}", "Mend that file, or choose another model."
            ) from error

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise self.error(f"it has no {path.name}", "Copy the whole folder again.") from error
        except OSError as error:
            raise self.error(
                f"its {path.name} can't be read ({error.strerror})", "Look at the file."
            ) from error
        except (ValueError, RecursionError) as error:
            raise self.error(f"its {path.name} is no JSON", "Copy the file again.") from error
        if not isinstance(value, dict):
            raise self.error(f"its {path.name} is no JSON object", "Copy the file again.")
        return value
