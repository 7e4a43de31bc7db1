"""The fields of recipes and experiments as calls, commands and controls take them.

A field is declared once, on its model; one with a description is one that people set. Calls of the
API, options of commands and controls on the page have their type, words, bounds and default from
there, so a field that is added to the model appears in all three.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Value = Any
"""The value of a field."""

Typed = Callable[[FieldInfo, str], Any]
"""The annotation of a parameter that stands for a field, described by the words."""


@dataclass(frozen=True)
class Control:
    """Metadata of a field: how the page shows it.

    Attributes:
        label: The control's label, a symbol where it has one; by default the field's name.
        step: Of a slider; by default 1, or a hundredth of its range where that isn't of integers.
        says: Whether the field's description stands below.
        everywhere: Whether the laboratories' reverse processes have it too, and not Paint alone.
    """

    label: str = ""
    step: float | None = None
    says: bool = True
    everywhere: bool = True


@dataclass(frozen=True)
class UpToT:
    """Metadata of a field that is at most the model's T, as then its default is; see `limited`."""


@dataclass(frozen=True)
class Fields:
    """Metadata of a function's parameter that stands for fields of a model; see `expanded`.

    Attributes:
        model: The model.
        names: Which fields; by default all that people set.
        without: Which of all are left out.
        everywhere: Whether those that Paint alone has are left out.
        renamed: What a caller calls a field, where it isn't its name.
        words: Descriptions, where they aren't the model's.
        defaults: Defaults, where they aren't the model's.
    """

    model: type[BaseModel]
    names: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    everywhere: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self, typed: Typed) -> Iterator[tuple[str, Parameter]]:
        """Yield the name of each field, and the parameter by which a caller gives it."""
        known = declared(self.model)
        for name in self.names or known:
            it = known[name]
            if name in self.without or (self.everywhere and not control_of(it).everywhere):
                continue
            default = Parameter.empty if it.is_required() else it.default
            default = self.defaults.get(name, default)
            words = self.words.get(name) or it.description or ""
            if UpToT() in it.metadata:
                words = f"{words.removesuffix('.')}; by default {default}, or T if that is less."
                kind: Any = it.annotation
                it, default = copy(it), None
                it.annotation = kind | None
            yield (
                name,
                Parameter(
                    self.renamed.get(name, name),
                    Parameter.POSITIONAL_OR_KEYWORD,
                    default=default,
                    annotation=typed(it, words),
                ),
            )


def declared(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of `model` that people set, in order."""
    return {name: it for name, it in model.model_fields.items() if it.description}


def control_of(it: FieldInfo) -> Control:
    """Return the control that shows a field on the page."""
    return next((found for found in it.metadata if isinstance(found, Control)), Control())


def bounds(it: FieldInfo) -> tuple[Any, Any]:
    """Return the least and the largest value of a field, None where there is none."""
    least = next((found.ge for found in it.metadata if isinstance(found, Ge)), None)
    return least, next((found.le for found in it.metadata if isinstance(found, Le)), None)


def limited(
    given: Mapping[str, Value], T: int, *models: type[BaseModel], **defaults: int
) -> dict[str, Value]:
    """Return the fields that a call gives, and those of `UpToT` that it doesn't: at most T.

    Args:
        given: The fields.
        T: The model's number of timesteps.
        models: What the call makes of the fields.
        defaults: The defaults that aren't the models' own.
    """
    fields = {name: it for model in models for name, it in declared(model).items()}
    known = {name: it.default for name, it in fields.items() if UpToT() in it.metadata} | defaults
    unsaid = {name: min(it, T) for name, it in known.items() if given.get(name) is None}
    return {**given, **unsaid}


def within(least: float | None, largest: float | None) -> str:
    """Write the bounds of a number in a sentence, with a space before it."""
    if least is None:
        return ""
    return f" From {least:,}." if largest is None else f" From {least:,} to {largest:,}."


def whole(value: Value) -> Value:
    """Turn 50.0 into 50, in a list or a mapping too: JSON has one kind of number, a model two."""
    if isinstance(value, list):
        return [whole(each) for each in value]
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def kinds(it: FieldInfo) -> tuple[Any, ...]:
    """List the types that a field's value may have, NoneType included."""
    choice = get_origin(it.annotation) is Literal
    types = (str,) if choice else get_args(it.annotation) or (it.annotation,)
    return tuple(get_args(each)[0] if get_origin(each) is Annotated else each for each in types)


def is_list(it: FieldInfo) -> bool:
    """Tell whether a field is a list of numbers, which no control and no option can set."""
    return any(get_origin(kind) is tuple for kind in kinds(it))


def choices(it: FieldInfo) -> tuple[str, ...]:
    """List the values of a field that takes only a few; empty for any other."""
    if get_origin(it.annotation) is Literal:
        return get_args(it.annotation)
    extra: Any = it.json_schema_extra or {}
    return tuple(extra.get("enum", ()))


def expanded(function: Callable[..., Any], typed: Typed) -> Callable[..., Any]:
    """Give `function` a parameter for each of the fields that its annotations' `Fields` name.

    A parameter `**wish: Annotated[Any, Fields(...), ...]` becomes those of all the fields, each
    once, last in the signature, and gets their values by the fields' names. Any other parameter
    stands for the one field that is named, and keeps its own name and default.
    """
    parameters: list[Parameter] = []
    inner: dict[str, str] = {}
    hints = get_type_hints(function, include_extras=True)
    for each in signature(function).parameters.values():
        hint = hints.get(each.name, each.annotation)
        marks = [it for it in getattr(hint, "__metadata__", ()) if isinstance(it, Fields)]
        found = [pair for mark in marks for pair in mark.parameters(typed)]
        if each.kind is Parameter.VAR_KEYWORD:
            for name, parameter in found:
                if name not in inner.values():
                    inner[parameter.name] = name
                    parameters.append(parameter)
        else:
            parameters.append(each.replace(annotation=found[0][1].annotation if found else hint))
    taken = signature(function).replace(parameters=parameters)

    def call(*args: Value, **kwargs: Value) -> object:
        given = taken.bind(*args, **kwargs)
        given.apply_defaults()
        return function(**{inner.get(name, name): it for name, it in given.arguments.items()})

    vars(call)["__signature__"] = taken
    call.__name__, call.__doc__ = function.__name__, function.__doc__
    call.__annotations__ = {it.name: it.annotation for it in parameters}
    call.__annotations__["return"] = taken.return_annotation
    return call
