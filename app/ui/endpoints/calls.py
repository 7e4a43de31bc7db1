"""Calls of the API, checked before Gradio takes them, which answers a wrong one with a bare 500."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import gradio as gr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ui.routes import API, path_of, refusal

CALL: Final = re.compile(rf"{API}(?P<way>call/v2|call|run|api)/(?P<name>[^/]+)/?")
JOIN: Final = f"{API}queue/join"
COMPONENT: Final = f"{API}component_server"
DIRECT: Final = frozenset({"run", "api"})
"""The ways past the queue."""

FREE: Final = frozenset({"oauth_token"})
"""What Gradio takes beside an endpoint's arguments."""


@dataclass(frozen=True)
class Calls:
    """What can be called on a page.

    Attributes:
        page: The page, built.
    """

    page: gr.Blocks

    @cached_property
    def arguments(self) -> Mapping[str, Mapping[str, bool]]:
        """The names of each endpoint's arguments, and whether a call must give them."""
        info = self.page.get_api_info()
        return {
            name.removeprefix("/"): {
                each["parameter_name"]: not each["parameter_has_default"]
                for each in endpoint["parameters"]
            }
            for name, endpoint in info["named_endpoints"].items()
        }

    def fault(self, path: str, body: object) -> tuple[int, str] | None:
        """Return the status and the words by which a call is refused; None where it is taken."""
        if path.startswith(COMPONENT):
            return 404, "No part of this page has functions of its own. Call an endpoint."
        call, given = CALL.fullmatch(path), body if isinstance(body, dict) else {}
        number = given.get("fn_index")
        # The page names its events by numbers; those that don't queue come by run/predict.
        if path.startswith(JOIN) or (call and call["way"] in DIRECT and number is not None):
            if number is None or (isinstance(number, int) and number in self.page.fns):
                return None
            return 404, f"The page has no event {number!r}. {self._there_are()}"
        if call is None:
            return None
        name = call["name"]
        if (arguments := self.arguments.get(name)) is None:
            return 404, f"There is no endpoint {name!r}. {self._there_are()}"
        if call["way"] == "call/v2":
            fault = _unnamed(arguments, given) if isinstance(body, dict) else ""
        elif call["way"] == "call" and isinstance(given.get("data"), list):
            fault = _miscounted(arguments, given["data"])
        else:
            fault = ""
        takes = f"It takes {', '.join(arguments)}." if arguments else "It takes no arguments."
        return (400, f"{name} {fault}. {takes}") if fault else None

    def _there_are(self) -> str:
        return f"There are {', '.join(sorted(self.arguments))}."


def _unnamed(arguments: Mapping[str, bool], given: Mapping[str, Any]) -> str:
    unknown = sorted(map(repr, set(given) - set(arguments) - FREE))
    missing = [repr(each) for each, must in arguments.items() if must and each not in given]
    if unknown:
        return f"has no argument {', '.join(unknown)}"
    return f"needs {', '.join(missing)}" if missing else ""


def _miscounted(arguments: Mapping[str, bool], given: Sequence[Any]) -> str:
    if len(given) == len(arguments):
        return ""
    return f"takes {len(arguments)} values in this order, and {len(given)} came"


@dataclass(frozen=True, eq=False)
class CheckedCalls:
    """Middleware that answers calls of what isn't there with 404, with wrong arguments with 400.

    Args:
        app: The page's server.
        calls: What can be called.
    """

    app: ASGIApp
    calls: Calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        path = path_of(scope) if scope["type"] == "http" else ""
        if not path.startswith(API) or scope["method"] != "POST" or not _is_call(path):
            await self.app(scope, receive, send)
            return
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        answer: ASGIApp | Response = self.app
        if fault := self.calls.fault(path, _read(body)):
            answer = refusal(path, fault[1], fault[0])
        bodies = [body]

        async def receive_again() -> Message:
            if bodies:
                return {"type": "http.request", "body": bodies.pop(), "more_body": False}
            return await receive()

        await answer(scope, receive_again, send)


def _is_call(path: str) -> bool:
    return path.startswith((JOIN, COMPONENT)) or bool(CALL.fullmatch(path))


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # Gradio says what is wrong with it.
        return None
