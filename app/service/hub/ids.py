"""How a model of the Hub is named: owner/name, and a revision where a person gives one."""

import re
from dataclasses import dataclass
from typing import Final, Self

from app.errors import HubError

REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
MAX_REVISION: Final = 64
MAX_REPOSITORY: Final = 96
"""As long as the Hub allows."""


@dataclass(frozen=True)
class HubId:
    """A model of the Hub; what a person types becomes one only if it is a name, never a path.

    Attributes:
        repository: owner/name.
        revision: A branch, a tag, a commit, or a reference such as refs/pr/1; empty for what the
            Hub shows.
    """

    repository: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository

    @classmethod
    def parse(cls, text: str, revision: str = "") -> Self:
        """The model that `text`, owner/name or owner/name@revision, names.

        Raises:
            HubError: If it is no name.
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
