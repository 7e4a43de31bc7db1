"""Documents of people's files, links and calls: strict JSON, and its faults in plain words."""

from collections.abc import Mapping
from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import RecipeError

_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least {}"),
    "less_than_equal": ("le", "at most {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than": ("lt", "less than {}"),
}
_KINDS: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
}
_PLAIN: Final = {
    "missing": ("{where} is missing", "Say what {where} is to be."),
    "extra_forbidden": ("{where} is no field of it", "Leave that out."),
    "literal_error": ("{where} is none of its values", "Choose {expected}."),
    "string_pattern_mismatch": ("{where} is no name that can be used", "Choose another."),
    "json_invalid": ("its JSON is damaged", "Take it from the PNG or the link once more."),
}
_LENGTHS: Final = ("too_short", "too_long", "string_too_short", "string_too_long")
_SHORT: Final = 40
_EITHER: Final = ("constrained-int", "constrained-str")
"""What pydantic puts behind the name of a field that may be either, a number or a text."""

CHANGE: Final = "Change it and try again."


def in_words(error: ValidationError) -> tuple[str, str]:
    """Say what is wrong with the first field at fault, and what to do about it."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if part not in _EITHER) or "it"
    kind, about = first["type"], first.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = words.format(_number(about[key]))
        return f"{where} is {_seen(first['input'])}, but must be {bound}", CHANGE
    if kind in _KINDS:
        if first["input"] is None:
            return f"{where} is empty", f"Fill in {_KINDS[kind]}."
        return f"{where} is not {_KINDS[kind]}", f"Write {_KINDS[kind]} there."
    if kind in _PLAIN:
        what, hint = _PLAIN[kind]
        names = {"where": where, "expected": about.get("expected")}
        return what.format(**names), hint.format(**names)
    if kind in _LENGTHS:
        least = about.get("min_length")
        bound = f"at most {about['max_length']}" if least is None else f"at least {least}"
        return f"{where} has {bound} of them", CHANGE
    # Validators' messages are sentences written here, which say themselves what to do.
    said = first["msg"].removeprefix("Value error, ")
    return (said if kind == "value_error" else f"{where}: {said}"), "Nothing was changed."


def _seen(value: object) -> str:
    text = _number(value) if isinstance(value, int | float) else repr(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}..."


def _number(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


class Document(BaseModel):
    """A document that a saved picture carries in its text: frozen, and strictly checked.

    Attributes:
        png_key: The keyword of the PNG's text.
        max_json: The longest text that is read.
        called: The document's name in messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    png_key: ClassVar[str]
    max_json: ClassVar[int]
    called: ClassVar[str]

    def to_json(self) -> str:
        """Write all that was chosen, defaults included, so that a later default changes nothing."""
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def checked(cls, fields: Mapping[str, object]) -> Self:
        """Make a document of `fields`, as they come from a form or a call.

        Raises:
            RecipeError: If a field is missing, unknown, of a wrong type or out of range.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise cls.fault(error) from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a document from its JSON.

        Raises:
            RecipeError: If the text is no document, is broken, or has values out of range.
        """
        if not isinstance(text, (str, bytes)):
            raise RecipeError("A recipe is a text.", "Send its JSON as one string.")
        cls.require_short(text)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise cls.fault(error) from error

    @classmethod
    def require_short(cls, text: str | bytes) -> None:
        """Refuse a text that is longer than any that is written here.

        Raises:
            RecipeError: If the text is longer.
        """
        if len(text) > cls.max_json:
            raise RecipeError(
                f"The {cls.called} is {len(text):,} characters long.",
                f"It has at most {cls.max_json:,}; this one was not written by Plein Air.",
            )

    @classmethod
    def fault(cls, error: ValidationError) -> RecipeError:
        """Make the error that tells a person which field pydantic refuses, and why."""
        what, hint = in_words(error)
        return RecipeError(f"The {cls.called} can't be used: {what}.", hint)
