"""Reading a model folder in diffusers' DDPM layout, before any weight is loaded.

Two layouts are known: `unet/` and `scheduler/` beside model_index.json, which diffusers writes
today, and everything in one folder, which the first models on the Hub have.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from app.diffusion.denoiser import TARGETS
from app.engine.schedules import SCHEDULES
from app.errors import ModelError
from app.service.model_configs import LabelFields, NetworkFields, ScheduleFields, stored_shapes
from app.service.wording import in_words

WEIGHTS: Final = "diffusion_pytorch_model.safetensors"
PICKLES: Final = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt", "model.pt")
CHECKSUMS: Final = "SHA256SUMS"

F = TypeVar("F", bound=BaseModel)


@dataclass(frozen=True)
class Labels:
    """A model's classes; `null_label` is the one that means "any", where it was trained."""

    names: tuple[str, ...]
    null_label: int | None


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """A model folder: its id, where its parts lie, and what its configurations say.

    Raises:
        ModelError: By each property, if the files it needs are missing, broken, or no DDPM's.
    """

    id: str
    folder: Path

    @cached_property
    def unet_folder(self) -> Path:
        """The folder with the network's config.json."""
        nested = self.folder / "unet"
        return nested if nested.is_dir() else self.folder

    @cached_property
    def unet_config(self) -> dict[str, Any]:
        """The network's config.json, of a UNet2DModel with 1 or 3 channels."""
        config = self._read_json(self.unet_folder / "config.json")
        if config.get("_class_name") != "UNet2DModel":
            raise self.error(
                f"its network is a {config.get('_class_name', 'thing without a class name')}",
                "Plein Air paints with unconditional DDPMs, whose network is a UNet2DModel.",
            )
        fields = self._checked(NetworkFields, config, "config.json")
        channels = fields.in_channels
        if channels not in (1, 3) or fields.out_channels not in (channels, 2 * channels):
            raise self.error("its network has no picture's channels", "It takes 1 or 3 channels.")
        return config

    @property
    def learned_variance(self) -> bool:
        """Whether the network predicts its variance."""
        return bool(self.unet_config["out_channels"] == 2 * self.unet_config["in_channels"])

    @cached_property
    def scheduler_config(self) -> dict[str, Any]:
        """scheduler_config.json, checked for what Plein Air can follow."""
        nested = self.folder / "scheduler"
        where = nested if nested.is_dir() else self.folder
        config = self._read_json(where / "scheduler_config.json")
        fields = self._checked(ScheduleFields, config, "scheduler_config.json")
        if fields.beta_schedule not in SCHEDULES:
            raise self.error(
                f"its beta_schedule is {fields.beta_schedule!r}",
                f"Known schedules: {', '.join(SCHEDULES)}.",
            )
        if fields.prediction_type not in TARGETS:
            raise self.error(
                f"its prediction_type is {fields.prediction_type!r}",
                f"Known ones: {', '.join(TARGETS)}.",
            )
        return config

    @cached_property
    def labels(self) -> Labels | None:
        """The classes, from labels.json where there is one, else numbered; None without any."""
        count = self.unet_config.get("num_class_embeds")
        if not count:
            return None
        path = self.folder / "labels.json"
        if not path.exists():
            return Labels(tuple(f"class {i}" for i in range(count)), None)
        table = self._checked(LabelFields, self._read_json(path), "labels.json")
        names, null_label = table.labels, table.null_label
        if len(names) > count or (null_label is not None and null_label >= count):
            raise self.error("its labels.json doesn't fit its network", "See docs/models.md.")
        return Labels(tuple(names), null_label)

    @cached_property
    def weights_file(self) -> Path:
        """The safetensors file; a pickle in its place is refused."""
        path = self.unet_folder / WEIGHTS
        if path.is_file():
            return path
        if any((self.unet_folder / name).exists() for name in PICKLES):
            raise self.error(
                "its weights are a pickle, which can run code when it is opened",
                f"Convert them once with diffusers' save_pretrained to {WEIGHTS}.",
            )
        raise self.error(f"it has no {WEIGHTS}", "Copy the whole model folder again.")

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each of its tensors, from the weights' header, which tells of truncation."""
        try:
            return stored_shapes(self.weights_file)
        except (OSError, ValueError, RecursionError) as error:
            raise self.error(
                "its weights file is truncated or no safetensors file", "Copy the file again."
            ) from error

    @property
    def num_parameters(self) -> int:
        """The number of weights."""
        return sum(map(math.prod, self.shapes.values()))

    @cached_property
    def weights_sha256(self) -> str:
        """The sha256 of the weights file; must be what SHA256SUMS says where there is one."""
        with self.weights_file.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        sums = self.folder / CHECKSUMS
        if sums.exists():
            name = self.weights_file.relative_to(self.folder).as_posix()
            if f"{found}  {name}" not in sums.read_text(encoding="utf-8").splitlines():
                raise self.error(
                    f"its weights are not those that {CHECKSUMS} names",
                    "They changed or were damaged; copy the model folder again.",
                )
        return found

    def error(self, what: str, hint: str) -> ModelError:
        """A ModelError that names this model."""
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
