"""The server's paths by which work and files come in, and how they refuse."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

API: Final = "/gradio_api/"
UPLOADS: Final = (f"{API}upload", f"{API}process_recording")
COUNTED: Final = (
    *(f"{API}{way}" for way in ("queue/join", "call/", "run/", "api/", "component_server")),
    *UPLOADS,
)
"""The paths by which work and files come in; fetches, answers and heartbeats aren't counted."""


def path_of(scope: Scope) -> str:
    """Return a request's path without the root path that a proxy serves the page under."""
    # A proxy leaves the root path there, or has taken it away.
    return str(scope["path"]).removeprefix(str(scope.get("root_path") or "").rstrip("/"))


def refusal(
    path: str, words: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that refuses a request of `path`, with the reason in `words`."""
    if path.startswith(UPLOADS):  # The page shows the answer as it comes.
        return PlainTextResponse(words, status, headers)
    return JSONResponse({"detail": words}, status, headers)
