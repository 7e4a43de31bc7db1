"""The API as an OpenAPI 3.1 description, for programs that make clients.

Gradio serves a description of its own, /gradio_api/openapi.json, which claims to be OpenAPI 3.0.2
but breaks its rules, as null is not a type there. It has no defaults and no results, and describes
a file as a text.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from app import __version__
from app.ui.endpoints.arguments import Json
from app.ui.endpoints.endpoint import Endpoint
from tools.api_docs.examples import EXAMPLES, Given

_TEXT: Final = {"type": "string"}
_EVENT: Final = {
    "type": "object",
    "properties": {"event_id": _TEXT},
    "required": ["event_id"],
}
_FILE: Final = {
    "type": "object",
    "description": "A file: one that was uploaded, or one to fetch from its url.",
    "properties": {
        "path": {"type": "string", "description": "As /gradio_api/upload returned it."},
        "meta": {
            "type": "object",
            "properties": {"_type": {"const": "gradio.FileData"}},
            "required": ["_type"],
        },
        "url": {"type": ["string", "null"], "description": "Where a result is fetched."},
        "size": {"type": ["integer", "null"]},
        "orig_name": {"type": ["string", "null"]},
        "mime_type": {"type": ["string", "null"]},
        "is_stream": {"type": "boolean"},
    },
    "required": ["path", "meta"],
}
_TOO_MANY: Final = {"description": "More requests than one visitor may make; see Retry-After."}


def openapi(known: Sequence[Endpoint]) -> Json:
    """Build the description of the endpoints `known`."""
    paths: Json = {"/gradio_api/upload": {"post": _upload()}}
    for endpoint in known:
        paths[f"/gradio_api/call/v2/{endpoint.name}"] = {"post": _asking(endpoint)}
        paths[f"/gradio_api/call/{endpoint.name}/{{event_id}}"] = {"get": _answer(endpoint)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Plein Air",
            "version": __version__,
            "description": "Every call is asked for, and answered by a stream of events.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7860"}],
        "paths": paths,
        "components": {"schemas": {"FileData": _FILE}},
    }


def openapi_text(known: Sequence[Endpoint]) -> str:
    """Write the description of the endpoints `known` as the JSON text of docs/openapi.json."""
    return json.dumps(openapi(known), indent=1) + "\n"


def _upload() -> Json:
    files = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form = {"type": "object", "properties": {"files": files}, "required": ["files"]}
    return {
        "operationId": "upload",
        "summary": "Upload files; returns the path of each.",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": _content("The paths.", "application/json", {"type": "array", "items": _TEXT}),
            "413": {"description": "A file is too large."},
            "429": _TOO_MANY,
        },
    }


def _asking(endpoint: Endpoint) -> Json:
    body: Json = {
        "type": "object",
        "properties": {it.name: it.schema for it in endpoint.parameters},
        "required": [it.name for it in endpoint.parameters if it.required],
        "additionalProperties": False,
    }
    example = {name: _example(value) for name, value in EXAMPLES[endpoint.name].items()}
    return {
        "operationId": endpoint.name,
        "summary": endpoint.words,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": body, "example": example}},
        },
        "responses": {
            "200": _content("The id to fetch the answer by.", "application/json", _EVENT),
            "429": _TOO_MANY,
        },
    }


def _answer(endpoint: Endpoint) -> Json:
    results = [{"title": it.name, "description": it.words} | it.schema for it in endpoint.results]
    names = ", ".join(it.name for it in endpoint.results) or "nothing"
    # OpenAPI 3.1 can't describe the data of a stream's events.
    data: Json = {"type": "array", "maxItems": len(results)}
    data |= {"prefixItems": results, "minItems": len(results)} if results else {}
    stream = _content(
        f"Events; the data of the last, complete or error, is {names}, or what is wrong.",
        "text/event-stream",
        _TEXT,
    )
    return {
        "operationId": f"{endpoint.name}_answer",
        "summary": f"Wait for the answer of {endpoint.name}.",
        "parameters": [{"name": "event_id", "in": "path", "required": True, "schema": _TEXT}],
        "responses": {"200": stream | {"x-complete-data": data}},
    }


def _content(words: str, kind: str, schema: Json) -> Json:
    return {"description": words, "content": {kind: {"schema": schema}}}


def _example(value: Any) -> Any:
    if isinstance(value, list):
        return [_example(each) for each in value]
    if not isinstance(value, Given):
        return value
    if not value.file:
        return value.name
    return {"path": f"/uploaded/{value.name}", "meta": {"_type": "gradio.FileData"}}
