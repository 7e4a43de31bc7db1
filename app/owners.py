"""Who owns uploads, jobs and models."""

import hashlib
from typing import Final

from app.errors import StudioError

ALONE: Final = "shell"
"""The owner of what is started from a shell, and of everything in a single-user studio."""


def check_owner(owner: str) -> None:
    """Refuse a visitor without a token: all such visitors would pass for the same owner.

    Raises:
        StudioError: If `owner` is empty.
    """
    if not owner:
        raise StudioError(
            "Your browser didn't say who you are.",
            "Allow cookies, open the studio in a window of its own, and reload it.",
        )


def owner_hash(owner: str) -> str:
    """Hash an owner's token for storing: the disk needn't know the token itself."""
    return hashlib.sha256(owner.encode()).hexdigest()
