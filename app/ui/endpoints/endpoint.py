"""Functions as endpoints of the public API, and their descriptions.

A function's docstring says what the endpoint does and what it returns; the type of each parameter
carries the parameter's words and range, as a pydantic Field. The page's API view, the MCP tools,
docs/api.md and docs/openapi.json all repeat these.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

from gradio.context import get_blocks_context
from gradio.events import api
from pydantic import TypeAdapter, create_model

from app.errors import StudioError
from app.fields import expanded, whole, within
from app.ui.callers import finished
from app.ui.endpoints.arguments import Json, argument
from app.ui.errors import errors_to_page

REFERENCE: Final = "#/components/schemas/{model}"
_SHOWN: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum")


@dataclass(frozen=True)
class EndpointValue:
    """An argument of an endpoint, or a value that it returns.

    Attributes:
        name: The value's name.
        words: What the value means.
        schema: Its JSON Schema; an argument's has the words and the default too.
        required: Whether a call must give it.
    """

    name: str
    words: str
    schema: Json
    required: bool = False


@dataclass(frozen=True)
class Endpoint:
    """The description of an endpoint.

    Attributes:
        name: The endpoint's name, without a slash.
        words: What the endpoint does, in one paragraph.
        parameters: The arguments, in the order of the signature.
        results: The values returned, in order; none where nothing is returned.
    """

    name: str
    words: str
    parameters: tuple[EndpointValue, ...]
    results: tuple[EndpointValue, ...]

    @classmethod
    def of(cls, handler: Callable[..., Any]) -> "Endpoint":
        """Describe the endpoint that `handler` is.

        Raises:
            ValueError: If a parameter or a result has no words.
        """
        name = getattr(handler, "__name__", "")
        words, _, returns = inspect.cleandoc(handler.__doc__ or "").partition("\n\nReturns:\n")
        if not words:
            raise ValueError(f"{name} does not say what it does")
        return cls(
            name, " ".join(words.split()), _parameters(handler, name), _results(handler, returns)
        )

    @property
    def docstring(self) -> str:
        """All that is said about the endpoint, in the form that Gradio reads."""
        parts = [self.words]
        for head, things in (("Args:", self.parameters), ("Returns:", self.results)):
            if things:
                parts.append("\n".join([head, *(f"    {it.name}: {it.words}" for it in things)]))
        return "\n\n".join(parts)


def expose(handler: Callable[..., Any], *, concurrency_id: str | None = None) -> None:
    """Add `handler` to the page being built, as an endpoint of its own name.

    Args:
        handler: The function; every argument has a type, or stands for fields of a model. If it is
            a generator, the endpoint returns what its steps lead to, and a caller who cancels or
            hangs up ends it with the step under way.
        concurrency_id: Names the group of endpoints that wait for one another.
    """
    handler = finished(handler) if inspect.isgeneratorfunction(handler) else handler
    handler = expanded(handler, argument)
    endpoint = Endpoint.of(handler)

    @wraps(handler)
    def called(*args: Any, **kwargs: Any) -> Any:
        _check_kinds(endpoint.parameters, args)
        return handler(*map(whole, args), **{name: whole(it) for name, it in kwargs.items()})

    told = errors_to_page(called)
    told.__doc__ = endpoint.docstring
    made = api(told, api_name=endpoint.name, concurrency_id=concurrency_id)
    _describe(made["inputs"], endpoint.parameters)
    _describe(made["outputs"], endpoint.results)


_KINDS: Final[dict[str, tuple[Any, str]]] = {
    "string": (str, "a text"),
    "array": (list, "a list"),
    "object": (dict, "an object"),
    "null": (NoneType, "null"),
    "boolean": (bool, "true or false"),
    "integer": (int | float, "a number"),
    "number": (int | float, "a number"),
    "file": (dict, "a file"),
}
"""JSON's kinds of values: their Python types, and what they are called."""

_LEFT: Final = frozenset({"integer", "number", "boolean", "file"})
"""Kinds whose wrong values, unless they are lists or objects, the service itself has words for."""


def _check_kinds(parameters: Sequence[EndpointValue], given: Sequence[object]) -> None:
    """Refuse a value of another kind than its parameter's; the service checks all the rest.

    Raises:
        StudioError: If there is one.
    """
    for parameter, value in zip(parameters, given, strict=False):
        schemas = parameter.schema.get("anyOf", (parameter.schema,))
        kinds = ["file" if "$ref" in it else it["type"] for it in schemas]
        if any(isinstance(value, _KINDS[kind][0]) for kind in kinds):
            continue
        if isinstance(value, dict | list) or not _LEFT.intersection(kinds):
            wanted = _KINDS[kinds[0]][1]
            is_text = kinds[0] == "string"
            said = f"A {parameter.name} is" if is_text else f"{parameter.name} has to be"
            raise StudioError(f"{said} {wanted}.", f"It is this: {parameter.words}")


def _describe(components: Sequence[int], things: Sequence[EndpointValue]) -> None:
    context = get_blocks_context()
    if context is None:
        raise ValueError("an endpoint is added while its page is built")
    # Gradio takes names and ranges from components alone, and `api` can't be told any.
    for number, thing in zip(components, things, strict=True):
        component: Any = context.blocks[number]
        # Gradio's browser part would look up "label" and "file" as its own words, and warn.
        component.label = thing.name.capitalize()
        known = {key: thing.schema[key] for key in _SHOWN if key in thing.schema}
        component._api_info |= known | {"description": thing.words}
        component._api_info["additional_description"] = thing.words


def _parameters(handler: Callable[..., Any], name: str) -> tuple[EndpointValue, ...]:
    hints = get_type_hints(handler, include_extras=True)
    fields: dict[str, Any] = {
        each.name: (hints[each.name], ... if each.default is each.empty else each.default)
        for each in inspect.signature(handler).parameters.values()
    }
    schema = create_model(name, **fields).model_json_schema(ref_template=REFERENCE)
    required = schema.get("required", [])
    found = []
    for parameter, described in schema.get("properties", {}).items():
        if "description" not in described:
            raise ValueError(f"{name} does not say what {parameter} is")
        described.pop("title", None)
        numbers = described.get("anyOf", [described])[0]
        described["description"] += within(numbers.get("minimum"), numbers.get("maximum"))
        words = described["description"]
        found.append(EndpointValue(parameter, words, described, parameter in required))
    return tuple(found)


def _results(handler: Callable[..., Any], returns: str) -> tuple[EndpointValue, ...]:
    hint = inspect.signature(handler).return_annotation
    several = get_origin(hint) is tuple
    types = get_args(hint) if several else () if hint in {None, NoneType} else (hint,)
    lines = [line.strip().partition(": ") for line in returns.splitlines()]
    if len(lines) != len(types):
        raise ValueError(f"{handler!r} returns {len(types)} values and describes {len(lines)}")
    return tuple(
        EndpointValue(name, words, _schema(type_))
        for (name, _, words), type_ in zip(lines, types, strict=True)
    )


def _schema(type_: Any) -> Json:
    schema = TypeAdapter(type_).json_schema(ref_template=REFERENCE)
    return {key: value for key, value in schema.items() if key not in {"$defs", "title"}}
