"""A repository of the Hub: its name, its revision, and which of its files make up a model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from app.errors import HubError, ModelError
from app.models.autoencoders import PARTS
from app.models.network_files import CHECKSUMS, PICKLES, WEIGHTS, weights_among

REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
MAX_REVISION: Final = 64
MAX_REPOSITORY: Final = 96
"""The longest repository name that the Hub allows, in characters."""


@dataclass(frozen=True)
class HubId:
    """A model's name on the Hub; `parse` makes one from a person's words, but never from a path.

    Attributes:
        repository: owner/name.
        revision: A branch, a tag, a commit, or a reference such as refs/pr/1; empty for the main
            branch.
    """

    repository: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository

    @classmethod
    def parse(cls, text: str, revision: str = "") -> Self:
        """Parse `text`, owner/name or owner/name@revision.

        Raises:
            HubError: If `text` is not a model's name.
        """
        repository, _, inside = text.strip().partition("@")
        revision = revision.strip() or inside
        odd = "--" in repository or ".." in repository or repository.endswith((".git", "-", "."))
        if odd or len(repository) > MAX_REPOSITORY or not REPOSITORY.fullmatch(repository):
            raise HubError(
                f"{text.strip()[:100]!r} is no name of a model on the Hub.",
                "Type owner/name, such as google/ddpm-cifar10-32; no address and no path.",
            )
        odd = ".." in revision or len(revision) > MAX_REVISION
        if revision and (odd or not REVISION.fullmatch(revision)):
            raise HubError(
                f"{revision[:100]!r} is no revision.",
                "Type a branch, a tag, a commit's hash or a pull request's refs/pr/1.",
            )
        return cls(repository, revision)


CONFIG: Final = "config.json"
SCHEDULER: Final = "scheduler_config.json"
MAX_CONFIG: Final = 1_000_000
TAKEN: Final = "Plein Air takes unconditional DDPMs in diffusers' layout"
EXTRAS: Final = ("model_index.json", "labels.json", "schedules.json", CHECKSUMS, "README.md")


def layout_of(model: HubId, found: Mapping[str, int]) -> Mapping[str, int]:
    """Find the model among a repository's files, in one of diffusers' layouts.

    Args:
        model: The model's name.
        found: The size of each of the repository's files in bytes, by its path.

    Returns:
        The same of the model's files. The last are the weights; those before are small, and tell
        whether the weights are wanted.

    Raises:
        ModelError: If there is no such model, or its weights are a pickle.
    """
    folder = "unet/" if f"unet/{CONFIG}" in found else ""
    scheduler = "scheduler/" if f"scheduler/{SCHEDULER}" in found else ""
    autoencoder = [f"{part}/" for part in PARTS if folder and f"{part}/{CONFIG}" in found][:1]
    needed = (folder + CONFIG, scheduler + SCHEDULER, *(part + CONFIG for part in autoencoder))
    weights = [name for part in (folder, *autoencoder) for name in _weights(model, found, part)]
    for name in needed:
        if name not in found:
            raise _refused(model, f"it has no {name}", f"{TAKEN}.")
    small = [name for name in (*needed, *EXTRAS) if name in found]
    for name in small:
        if found[name] > MAX_CONFIG:
            raise _refused(model, f"its {name} has {found[name]:,} bytes", "Choose another.")
    return {name: found[name] for name in (*small, *weights)}


def _weights(model: HubId, found: Mapping[str, int], folder: str) -> list[str]:
    """Find the weights in a folder, "" or with a slash behind."""
    try:
        parts = (name.removeprefix(folder) for name in found if name.startswith(folder))
        weights = [folder + name for name in weights_among(parts)]
    except ValueError as error:
        raise _refused(model, str(error), "Ask its owner, or choose another.") from error
    if not weights:
        pickles = [name for name in found if name.removeprefix(folder) in PICKLES]
        if pickles:
            raise _refused(
                model,
                f"its weights are a pickle ({pickles[0]}), which can run code when it is opened",
                "Ask its owner for safetensors, or look for a revision that has them.",
            )
        missing = f"it has no {folder}{WEIGHTS}"
        raise _refused(model, missing, f"{TAKEN}, such as google/ddpm-cifar10-32.")
    return weights


def _refused(model: HubId, what: str, hint: str) -> ModelError:
    return ModelError(f"The model {str(model)!r} can't be used: {what}.", hint)
