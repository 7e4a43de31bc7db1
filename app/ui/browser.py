"""The page that paints in the visitor's own browser, served beside the studio's.

`python -m app static` writes its folder, and PLEIN_AIR_STATIC names it.
"""

import json
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import StudioError
from app.settings import Settings
from app.static.serve import HEADERS
from app.ui.routes import path_of

FOLDER: Final = "browser"
CARD: Final = "card.json"

STAYS: Final = "plein_air_studio"
"""The cookie of a visitor who chose the full studio, where the other page is the first."""

OFFER: Final = (
    f'<p class="studio-browser"><a href="{FOLDER}/">paint in this browser</a> '
    "without waiting in line: the model then runs on your own device</p>"
)
"""HTML that leads to the page."""


class BrowserPage(StaticFiles):
    """The page's files, with the headers that let a browser compute with several threads."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer a request; the card tells the page of the studio that it is served by."""
        answer: Response
        if path == CARD:
            card = json.loads((Path(str(self.directory)) / CARD).read_text(encoding="utf-8"))
            answer = JSONResponse(card | {"studio": "../?studio"})
        else:
            answer = await super().get_response(path, scope)
        answer.headers.update(HEADERS)
        return answer


def browser_routes(settings: Settings) -> Iterator[BaseRoute]:
    """Yield the routes of the page, if there is one.

    Raises:
        StudioError: If the folder holds no such page.
    """
    folder = settings.static_dir
    if folder is None:
        return
    if not (folder / CARD).is_file():
        raise StudioError(
            f"PLEIN_AIR_STATIC names {folder}, which holds no page that paints in a browser.",
            f"Write one: python -m app static {folder}; or unset it.",
        )
    yield Mount(f"/{FOLDER}", BrowserPage(directory=folder, html=True))


def browser_first(settings: Settings) -> Iterator[Middleware]:
    """Yield what leads visitors to that page first, where the settings say so."""
    if settings.static_dir and settings.static_first:
        yield Middleware(BrowserFirst)


class BrowserFirst:
    """Middleware that leads who opens the studio, without asking for it, to the other page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on; `?studio` asks for the studio, from then on."""
        asked = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        if not asked or path_of(scope) not in {"", "/"}:
            await self.app(scope, receive, send)
            return
        if scope["query_string"] == b"" and not _stays(scope):
            root = str(scope.get("root_path") or "").rstrip("/")
            await RedirectResponse(f"{root}/{FOLDER}/")(scope, receive, send)
            return

        async def send_staying(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["query_string"] == b"studio":
                cookie = f"{STAYS}=1; Path=/; HttpOnly; SameSite=Lax"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_staying)


def _stays(scope: Scope) -> bool:
    try:
        return STAYS in SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return False
