"""What stands before the page's server: each visitor's share of requests, and /status."""

from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address, ip_network
from math import ceil
from typing import Final

import gradio as gr
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.service.limits import Visits
from app.service.status import Status
from app.service.studio import Studio

STATUS: Final = "/status"
UPLOADS: Final = ("/gradio_api/upload", "/gradio_api/process_recording")
COUNTED: Final = (
    *(f"/gradio_api/{way}" for way in ("queue/join", "call/", "run/", "api/")),
    *UPLOADS,
)
"""Where work and files come in; what is fetched, answers and heartbeats aren't counted."""

PRIVATE: Final = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7"))
)

MAX_NAME: Final = 200


def gate(studio: Studio, page: gr.Blocks) -> Middleware:
    """The gate of a studio's `page`, for `launch(app_kwargs={"middleware": [...]})`."""
    visits = Visits(studio.limits.requests_per_minute)
    # Gradio has no public way to ask how long its queue is.
    return Middleware(
        Gate,
        visits=visits,
        status=lambda: studio.watch.status(len(page._queue)),
        proxies=studio.settings.proxies,
    )


class Gate:
    """Answers /status, and requests of a visitor beyond their share with 429.

    Args:
        app: The page's server.
        visits: Counts the requests.
        status: Tells how the studio is doing.
        proxies: How many stand in front.
    """

    def __init__(
        self, app: ASGIApp, visits: Visits, status: Callable[[], Status], proxies: int
    ) -> None:
        self._app = app
        self._visits = visits
        self._status = status
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        answer = self._answer(scope) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        # Behind a proxy the path begins with the root path, or the proxy has taken that away.
        path = str(scope["path"]).removeprefix(str(scope.get("root_path") or "").rstrip("/"))
        if path == STATUS and scope["method"] in {"GET", "HEAD"}:
            return JSONResponse(asdict(self._status()), headers={"Cache-Control": "no-store"})
        if scope["method"] != "POST" or not path.startswith(COUNTED):
            return None
        seconds = ceil(self._visits.seconds_to_wait(visitor_of(scope, self._proxies)))
        if not seconds:
            return None
        words = f"These are more requests than one visitor may make. Wait {seconds} s, then go on."
        wait = {"Retry-After": str(seconds)}
        if path.startswith(UPLOADS):  # The page shows the answer as it comes.
            return PlainTextResponse(words, 429, wait)
        return JSONResponse({"detail": words}, 429, wait)


def visitor_of(scope: Scope, proxies: int) -> str:
    """Who sends a request: their address, as the first of so many `proxies` in front saw it.

    Each proxy adds whom it heard from to the end of X-Forwarded-For; what stands before that came
    with the request, and may be invented. An address of a private network is taken for one more
    proxy's, if another stands before it. A request that passed fewer proxies is whose address is
    seen here.
    """
    hops = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    seen = [hop.strip() for hop in hops[: max(0, len(hops) + 1 - proxies)]] if proxies else []
    while len(seen) > 1 and _is_private(seen[-1]):
        seen.pop()
    told = seen[-1] if seen else ""
    client = scope.get("client")
    return told[:MAX_NAME] or (str(client[0]) if client else "")


def _is_private(address: str) -> bool:
    try:
        seen = ip_address(address)
    except ValueError:
        return False
    return any(seen in network for network in PRIVATE)
