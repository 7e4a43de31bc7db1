"""What a check found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        check: What was looked at.
        ok: Whether it is as a Space needs it.
        said: What is there.
        hint: What to do; empty where nothing is to be done.
    """

    check: str
    ok: bool
    said: str
    hint: str = ""


def faults(check: str, found: list[tuple[str, str]], said: str) -> tuple[Finding, ...]:
    """A Finding for each fault and what to do about it, or one that says what is there."""
    if not found:
        return (Finding(check, True, said),)
    return tuple(Finding(check, False, fault, hint) for fault, hint in found)
