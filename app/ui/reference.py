"""What the API has: all endpoints of a studio, and docs/api.md about them."""

import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Final

import gradio as gr

from app.errors import StudioError
from app.service.studio import Studio
from app.settings import Settings
from app.ui.api import add_api
from app.ui.arguments import Json
from app.ui.endpoint import Endpoint, Parameter
from app.ui.examples import in_python, in_shell

BEGIN: Final = "<!-- Between these lines `python -m app api` writes. -->"
END: Final = "<!-- From here on it does not. -->"

GROUPS: Final = {
    "paint": "Painting",
    "model_view": "The laboratory Noise",
    "mix": "The laboratory Mix",
    "bound": "The laboratory Bound",
    "upload_pictures": "Training",
}
"""Which endpoint is the first of each section."""


def endpoints() -> tuple[Endpoint, ...]:
    """The endpoints of a studio with default settings, in the order of the page's list."""
    with gr.Blocks(analytics_enabled=False) as page:
        add_api(Studio(Settings()), "network")
    return tuple(Endpoint.of(inspect.unwrap(each.fn)) for each in page.fns.values() if each.fn)


def rewritten(text: str, known: Sequence[Endpoint]) -> str:
    """docs/api.md, `text`, with its sections about the endpoints that are `known` written anew.

    Raises:
        StudioError: If the text does not say where they belong.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise StudioError("The file has no place for the endpoints.", f"Write {BEGIN} and {END}.")
    sections = "\n".join(part for each in known for part in _section(each))
    return f"{head}{begin}\n\n{sections}\n{end}{tail}"


def _section(endpoint: Endpoint) -> Iterator[str]:
    if endpoint.name in GROUPS:
        yield f"## {GROUPS[endpoint.name]}\n"
    yield f"### {endpoint.name}\n\n{endpoint.words}\n"
    if endpoint.parameters:
        rows = "\n".join(map(_row, endpoint.parameters))
        yield f"| argument | what it may be | default | |\n|---|---|---|---|\n{rows}\n"
    if endpoint.results:
        results = "\n".join(f"- `{it.name}`: {it.words}" for it in endpoint.results)
        yield f"Returns\n\n{results}\n"
    yield f"```python\n{in_python(endpoint)}\n```\n"
    yield f"```bash\n{in_shell(endpoint)}\n```\n"


def _row(parameter: Parameter) -> str:
    default = "" if parameter.required else f"`{json.dumps(parameter.schema.get('default'))}`"
    return f"| `{parameter.name}` | {_kind(parameter.schema)} | {default} | {parameter.words} |"


def _kind(schema: Json) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("type", "file"))
