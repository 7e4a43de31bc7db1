"""The middleware before the page's server: a visitor's cookie, their share of requests, /status.

A visitor is a random token in a cookie that no script can read.
"""

import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from math import ceil
from typing import Final

import gradio as gr
from gradio.context import LocalContext
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.files import is_disk_full
from app.limits import Visits
from app.owners import ALONE
from app.settings import Settings
from app.studio import Status, Studio
from app.ui.queue import Visitor
from app.ui.routes import COUNTED, path_of, refusal

STATUS: Final = "/status"
PRIVATE: Final = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7"))
)

IPV6_PREFIX: Final = 64
"""The bits of an IPv6 address that tell visitors apart; one visitor has all of the others."""

MAX_NAME: Final = 200

_PORT: Final = re.compile(r"\[([^]]*)\](?::\d+)?|([^:]*):\d+")


def outermost(*middleware: Middleware) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return a lifespan that puts `middleware` round a server, outside what Gradio puts round it.

    Gradio's own would answer some requests, and change answers, before the page's came to see them.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # The stack is built by now, and no request has come.
        stack = app.middleware_stack
        if stack is None:
            raise RuntimeError("Starlette starts its lifespan inside its middleware")
        for cls, args, options in reversed(middleware):
            stack = cls(stack, *args, **options)
        app.middleware_stack = stack
        yield

    return lifespan


async def tell_full_disk(request: Request, error: Exception) -> Response:
    """Answer a request during which the disk was full, for `FastAPI(exception_handlers=...)`.

    Raises:
        Exception: The `error`, if it is another.
    """
    if not is_disk_full(error):
        raise error
    words = "The disk is full. Try again when there is room on it."
    return refusal(path_of(request.scope), words, 507)


def gate(studio: Studio, page: gr.Blocks) -> Middleware:
    """Return the gate of a studio's `page`, for `launch(app_kwargs={"middleware": [...]})`."""
    return Middleware(
        RateLimit,
        visits=Visits(studio.limits.requests_per_minute),
        # Gradio has no public way to ask how long its queue is.
        status=lambda: studio.status(len(page._queue)),
        proxies=studio.settings.proxies,
    )


@dataclass(frozen=True, eq=False)
class RateLimit:
    """Middleware that answers /status, and a visitor's requests beyond their share with 429.

    Attributes:
        app: The page's server.
        visits: Counts the requests.
        status: Tells how the studio is doing.
        proxies: How many proxies stand in front.
    """

    app: ASGIApp
    visits: Visits
    status: Callable[[], Status]
    proxies: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        answer = self._answer(scope) if scope["type"] == "http" else None
        await (answer or self.app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path = path_of(scope)
        if path == STATUS and scope["method"] in {"GET", "HEAD"}:
            return JSONResponse(asdict(self.status()), headers={"Cache-Control": "no-store"})
        if scope["method"] != "POST" or not path.startswith(COUNTED):
            return None
        seconds = ceil(self.visits.seconds_to_wait(visitor_of(scope, self.proxies)))
        if not seconds:
            return None
        words = f"These are more requests than one visitor may make. Wait {seconds} s, then go on."
        return refusal(path, words, 429, {"Retry-After": str(seconds)})


def visitor_of(scope: Scope, proxies: int) -> str:
    """Return the address that sends a request, as the first of so many `proxies` in front saw it.

    Of an IPv6 address that is the network of 64 bits which one visitor is given.

    Each proxy adds the address it heard from to the end of X-Forwarded-For; whatever stands before
    that came with the request, and may be invented. An address of a private network is taken for
    one more proxy's, if another address stands before it. A request that passed fewer proxies
    counts as sent by the address of its connection.
    """
    hops = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    seen = [hop.strip() for hop in hops[: max(0, len(hops) + 1 - proxies)]] if proxies else []
    while len(seen) > 1 and _is_private(seen[-1]):
        seen.pop()
    client = scope.get("client")
    told = seen[-1] if seen and seen[-1] else str(client[0]) if client else ""
    address = _address(told)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return str(address) if address else told[:MAX_NAME]


def visitor(request: HTTPConnection, proxies: int) -> Visitor:
    """Return who sends a request: a cookie and an address."""
    token = token_in(request.headers.get("cookie", ""))
    return Visitor(visitor_of(request.scope, proxies), token)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """Read an address, which may have a port: 192.0.2.1:80, [2001:db8::1]:80, ::ffff:192.0.2.1."""
    match = _PORT.fullmatch(name)
    try:
        address = ip_address(match[1] or match[2] if match else name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_private(name: str) -> bool:
    address = _address(name)
    return address is not None and any(address in network for network in PRIVATE)


COOKIE: Final = "plein_air_owner"
MAX_AGE: Final = 400 * 24 * 3600
"""The longest that browsers keep a cookie, in seconds; each visit renews it."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, eq=False)
class VisitorCookie:
    """Middleware that gives each visitor a token, by which they find their own jobs again."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the page itself comes with the cookie."""
        if scope["type"] != "http" or scope["method"] != "GET" or path_of(scope) not in {"", "/"}:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = token_in(headers.get("cookie", "")) or secrets.token_urlsafe(32)
        secure = "; Secure" if _is_https(scope, headers) else ""
        cookie = f"{COOKIE}={token}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}"

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def token_in(header: str) -> str:
    """Read the token in a Cookie header; "" where there is none, or nothing like one."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel and _TOKEN.fullmatch(morsel.value) else ""


def owner_of(settings: Settings, request: gr.Request | None) -> str:
    """Return the owner who sends `request`; "" where the request names none."""
    if settings.single_user:
        return ALONE
    if request is None or request.request is None:
        return ""
    return token_in(request.request.headers.get("cookie", ""))


def asker(settings: Settings) -> str:
    """Return the owner who sent the request being answered, as `owner_of` does."""
    return owner_of(settings, LocalContext.request.get(None))


def _is_https(scope: Scope, headers: Headers) -> bool:
    forwarded = headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return (forwarded or scope["scheme"]) == "https"
