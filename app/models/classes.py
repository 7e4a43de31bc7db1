"""The classes of a model, as people ask for them: by number, by name, or for any."""

from collections.abc import Sequence
from typing import Final

from app.errors import RecipeError

ANY: Final = "any"
"""What a person calls the null label, unless a class is called so."""

MAX_NAMED: Final = 32
"""The most classes that a message lists."""


def class_number(
    model: str, names: Sequence[str], asked: int | str | None, *, has_any: bool
) -> int | None:
    """Return the number of the class that is `asked` for by number or name; None for "any".

    Args:
        model: The model's id, for messages.
        names: The names of its classes; empty where it has none.
        asked: The class; a name is matched whatever its case, unless two differ in nothing else.
        has_any: Whether "any" can be asked for.

    Raises:
        RecipeError: If the model can't be asked for it: it says what it can be asked for.
    """
    if asked is None:
        if has_any or not names:
            return None
        what = f'{model} paints classes, and none of them is "any".'
        raise RecipeError(what, _choose(names, has_any=False))
    if not names:
        raise RecipeError(f"{model} has no classes.", "Leave the class out.")
    if isinstance(asked, int):
        found = [asked] if 0 <= asked < len(names) else []
    else:
        named = [i for i, name in enumerate(names) if name.casefold() == asked.casefold()]
        found = [i for i in named if names[i] == asked] + named
        if not found and has_any and asked.casefold() == ANY:
            return None
    if not found:
        raise RecipeError(f"{model} has no class {asked!r}.", _choose(names, has_any=has_any))
    return found[0]


def _choose(names: Sequence[str], *, has_any: bool) -> str:
    """Say which classes there are to choose from, by number and name."""
    named = [f"{i} {name}" for i, name in enumerate(names)]
    if len(named) > MAX_NAMED:
        named = [*named[: MAX_NAMED - 1], f"... to {named[-1]}"]
    named += [f"or none, which is {ANY}"] if has_any else []
    return f"Choose one of: {', '.join(named)}."
