"""Which of a repository's files make up a model, and which repositories are none."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from app.errors import ModelError
from app.service.hub.ids import HubId
from app.service.model_files import CHECKSUMS, PICKLES, WEIGHTS

CONFIG: Final = "config.json"
SCHEDULER: Final = "scheduler_config.json"
MAX_CONFIG: Final = 1_000_000
EXTRAS: Final = ("model_index.json", "labels.json", CHECKSUMS, "README.md")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its path inside it, and its bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Layout:
    """The files of a model; `configurations` are small and tell whether the rest is wanted."""

    configurations: tuple[RemoteFile, ...]
    weights: RemoteFile

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """All of them, the weights last."""
        return (*self.configurations, self.weights)

    @property
    def size(self) -> int:
        """The bytes of all of them."""
        return sum(file.size for file in self.files)


def layout_of(model: HubId, files: Iterable[RemoteFile]) -> Layout:
    """The model among a repository's `files`, in either of diffusers' DDPM layouts.

    Raises:
        ModelError: If there is none, or its weights are a pickle.
    """
    found = {file.path: file for file in files}
    folder = "unet/" if f"unet/{CONFIG}" in found else ""
    scheduler = "scheduler/" if f"scheduler/{SCHEDULER}" in found else ""
    needed = (folder + CONFIG, scheduler + SCHEDULER)
    weights = found.get(folder + WEIGHTS)
    if weights is None:
        raise _without_weights(model, folder, found)
    if missing := [name for name in needed if name not in found]:
        raise _refused(
            model,
            f"it has no {missing[0]}",
            "Plein Air takes unconditional DDPMs in diffusers' layout.",
        )
    small = [found[name] for name in (*needed, *EXTRAS) if name in found]
    for file in small:
        if file.size > MAX_CONFIG:
            raise _refused(model, f"its {file.path} has {file.size:,} bytes", "Choose another.")
    return Layout(tuple(small), weights)


def _without_weights(model: HubId, folder: str, found: Iterable[str]) -> ModelError:
    pickles = [name for name in found if name.removeprefix(folder) in PICKLES]
    if pickles:
        return _refused(
            model,
            f"its weights are a pickle ({pickles[0]}), which can run code when it is opened",
            "Ask its owner for safetensors, or look for a revision that has them.",
        )
    return _refused(
        model,
        f"it has no {folder}{WEIGHTS}",
        "Plein Air takes unconditional DDPMs in diffusers' layout, such as google/ddpm-cifar10-32.",
    )


def _refused(model: HubId, what: str, hint: str) -> ModelError:
    return ModelError(f"The model {str(model)!r} can't be used: {what}.", hint)
