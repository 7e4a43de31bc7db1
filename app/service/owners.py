"""Who owns uploads, jobs and models."""

import hashlib
from typing import Final

from app.errors import StudioError

ALONE: Final = "shell"
"""The owner of what is started from a shell, and of everything in a single-user studio."""


def check_owner(owner: str) -> None:
    """Refuse who doesn't say who they are: all of them would pass for one.

    Raises:
        StudioError: If `owner` is empty.
    """
    if not owner:
        raise StudioError(
            "Your browser didn't say who you are.",
            "Allow cookies, open the studio in a window of its own, and reload it.",
        )


def owner_hash(owner: str) -> str:
    """How an owner is kept: the disk needn't know the token that lets them in."""
    return hashlib.sha256(owner.encode()).hexdigest()
