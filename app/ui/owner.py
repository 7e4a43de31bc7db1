"""Who a visitor is: a random token in a cookie that no script can read."""

import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final

import gradio as gr
from gradio.context import LocalContext
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.service.owners import ALONE
from app.settings import Settings

COOKIE: Final = "plein_air_owner"
MAX_AGE: Final = 400 * 24 * 3600
"""As long as browsers keep a cookie; each visit renews it."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class OwnerCookie:
    """Gives each visitor of the page a token, by which they find their own jobs again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the page itself comes with the cookie."""
        if scope["type"] != "http" or scope["method"] != "GET" or not _is_page(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = token_in(headers.get("cookie", "")) or secrets.token_urlsafe(32)
        secure = "; Secure" if _is_https(scope, headers) else ""
        cookie = f"{COOKIE}={token}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}"

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def token_in(header: str) -> str:
    """The token in a Cookie header; "" where there is none, or nothing like one."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel and _TOKEN.fullmatch(morsel.value) else ""


def owner_of(settings: Settings, request: gr.Request | None) -> str:
    """Who sends this request; "" where they don't say."""
    if settings.single_user:
        return ALONE
    if request is None or request.request is None:
        return ""
    return token_in(request.request.headers.get("cookie", ""))


def asker(settings: Settings) -> str:
    """Who sent the request that is being answered; nobody outside of one."""
    return owner_of(settings, LocalContext.request.get(None))


def _is_page(scope: Scope) -> bool:
    # Behind a proxy the path begins with the root path, or the proxy has taken that away.
    path = str(scope["path"]).removeprefix(str(scope.get("root_path") or ""))
    return path in {"", "/"}


def _is_https(scope: Scope, headers: Headers) -> bool:
    forwarded = headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return (forwarded or scope["scheme"]) == "https"
