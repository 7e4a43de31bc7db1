"""Who owns uploads, jobs and models."""

import hashlib
from typing import Final

ALONE: Final = "shell"
"""The owner of what is started from a shell, and of everything in a single-user studio."""


def owner_hash(owner: str) -> str:
    """How an owner is kept: the disk needn't know the token that lets them in."""
    return hashlib.sha256(owner.encode()).hexdigest()
