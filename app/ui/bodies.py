"""The limits of requests' bodies: what is larger is refused as its bytes arrive."""

from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.datasets.uploads import MAX_UPLOAD
from app.ui.routes import UPLOADS, path_of, refusal

MEGA: Final = 1_000_000

MAX_BODY: Final = 8 * MEGA
"""The most bytes of a request that uploads nothing."""

MAX_UPLOAD_BODY: Final = MAX_UPLOAD + MEGA
"""The most bytes of an upload: the files, and what divides them."""


@dataclass(frozen=True, eq=False)
class BodyLimit:
    """Middleware that answers with 413 as soon as a body is longer than its route takes.

    Starlette's own raises an exception where the route reads the body, which Gradio's
    component_server turns into a 400.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on with a body that ends where the limit is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        most = MAX_UPLOAD_BODY if path.startswith(UPLOADS) else MAX_BODY
        refused = refusal(path, f"A request here may have at most {most // MEGA:,} MB.", 413)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > most:
            await refused(scope, receive, send)
            return
        body = _Body(most)

        async def receive_within() -> Message:
            if body.is_too_long:
                return {"type": "http.disconnect"}
            message = await receive()
            body.taken += len(message.get("body", b""))
            if not body.is_too_long:
                return message
            if not body.is_answered:
                await refused(scope, receive, send)
            return {"type": "http.disconnect"}

        async def send_unless_refused(message: Message) -> None:
            if not body.is_too_long:
                body.is_answered = True
                await send(message)

        try:
            await self.app(scope, receive_within, send_unless_refused)
        except ClientDisconnect:
            if not body.is_too_long:
                raise


@dataclass
class _Body:
    most: int
    taken: int = 0
    is_answered: bool = False

    @property
    def is_too_long(self) -> bool:
        return self.taken > self.most
