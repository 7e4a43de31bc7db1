"""The API's reference: all endpoints of a studio, and their sections in docs/api.md."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import gradio as gr

from app.errors import StudioError
from app.settings import Settings
from app.studio import Studio
from app.ui.endpoints.arguments import Json
from app.ui.endpoints.endpoint import Endpoint, EndpointValue
from app.ui.tab_list import TABS, Tab
from tools.api_docs.examples import in_python, in_shell

BEGIN: Final = "<!-- Between these lines `python -m tools.api_docs` writes. -->"
END: Final = "<!-- From here on it does not. -->"

Sections = Mapping[str, tuple[Endpoint, ...]]
"""Endpoints by their headings in docs/api.md."""


def sections(tabs: Sequence[Tab] = TABS) -> Sections:
    """List the endpoints of a studio with default settings, in the order of the page's tabs."""
    studio = Studio(Settings())
    return {tab.heading: _endpoints(studio, tab.calls) for tab in tabs if tab.calls}


def _endpoints(studio: Studio, calls: Callable[[Studio, str], None]) -> tuple[Endpoint, ...]:
    with gr.Blocks(analytics_enabled=False) as page:
        calls(studio, "network")
    return tuple(Endpoint.of(inspect.unwrap(each.fn)) for each in page.fns.values() if each.fn)


def rewritten(text: str, known: Sections) -> str:
    """Rewrite the sections about endpoints in `text`, that of docs/api.md, from those `known`.

    Raises:
        StudioError: If the text doesn't mark where the sections belong.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise StudioError("The file has no place for the endpoints.", f"Write {BEGIN} and {END}.")
    parts = "\n".join(part for section in known.items() for part in _section(*section))
    return f"{head}{begin}\n\n{parts}\n{end}{tail}"


def _section(heading: str, endpoints: Sequence[Endpoint]) -> Iterator[str]:
    yield f"## {heading}\n"
    for endpoint in endpoints:
        yield from _entry(endpoint)


def _entry(endpoint: Endpoint) -> Iterator[str]:
    yield f"### {endpoint.name}\n\n{endpoint.words}\n"
    if endpoint.parameters:
        rows = "\n".join(map(_row, endpoint.parameters))
        yield f"| argument | what it may be | default | |\n|---|---|---|---|\n{rows}\n"
    if endpoint.results:
        results = "\n".join(f"- `{it.name}`: {it.words}" for it in endpoint.results)
        yield f"Returns\n\n{results}\n"
    yield f"```python\n{in_python(endpoint)}\n```\n"
    yield f"```bash\n{in_shell(endpoint)}\n```\n"


def _row(parameter: EndpointValue) -> str:
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
