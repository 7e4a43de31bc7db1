"""The page's HTML, sent again only where it has changed since the browser last got it."""

import hashlib
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ui.routes import path_of

HTML: Final = "text/html"


@dataclass(frozen=True, eq=False)
class UnchangedPage:
    """Middleware that answers 304 where the browser has the page's HTML as it is.

    Attributes:
        app: The page's server.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the page, or pass another one on."""
        if scope["type"] != "http" or scope["method"] != "GET" or path_of(scope) != "/":
            await self.app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            headers, content = MutableHeaders(raw=list(start["headers"])), bytes(body)
            if start["status"] == 200 and headers.get("content-type", "").startswith(HTML):
                tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
                headers["ETag"], headers["Cache-Control"] = tag, "no-cache"
                if tag in known:
                    del headers["content-length"]
                    start, content = {**start, "status": 304}, b""
            await send({**start, "headers": headers.raw})
            await send({"type": "http.response.body", "body": content})

        await self.app(scope, receive, collect)
