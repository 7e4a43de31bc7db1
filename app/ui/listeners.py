"""Who listens: the connections by which events are heard of, and those of open pages."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ui.routes import API, path_of

PATIENCE_SECONDS: Final = 30.0
"""How long events wait for someone to hear of them, and a message for a listener to take it."""

DATA: Final = f"{API}queue/data"
STREAM: Final = re.compile(
    rf"{API}(?:heartbeat/(?P<page>[^/]+)|call/(?:v2/)?[^/]+/(?P<event>[^/]+))"
)


@dataclass
class Listeners:
    """The connections that are open, by session.

    Attributes:
        pages: Those of open pages and clients, which last as long as they do.
        hearing: Those that hear of events.
        left: When the last of a session's `hearing` ended.
        closed: When the last of a session's `pages` ended.
        clock: Tells the time in seconds.
    """

    pages: Counter[str] = field(default_factory=Counter)
    hearing: Counter[str] = field(default_factory=Counter)
    left: dict[str, float] = field(default_factory=dict)
    closed: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    @contextmanager
    def page(self, session: str) -> Iterator[None]:
        """Count a page of `session` as open inside the context."""
        try:
            with _counted(self.pages, session):
                yield
        finally:
            self.closed[session] = self.clock()

    @contextmanager
    def listener(self, session: str) -> Iterator[None]:
        """Count a listener of `session` inside the context."""
        try:
            with _counted(self.hearing, session):
                yield
        finally:
            self.left[session] = self.clock()

    def keep(self, sessions: Collection[str]) -> None:
        """Forget when others than these `sessions` were left and closed."""
        self.left = {each: left for each, left in self.left.items() if each in sessions}
        self.closed = {each: closed for each, closed in self.closed.items() if each in sessions}

    def silence(self, session: str, since: float) -> float:
        """Return for how many seconds nobody has listened, since its last listener or `since`."""
        if session in self.hearing:
            return 0.0
        return self.clock() - max(since, self.left.get(session, since))


@contextmanager
def _counted(counter: Counter[str], key: str) -> Iterator[None]:
    counter[key] += 1
    try:
        yield
    finally:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]


@dataclass(frozen=True, eq=False)
class CountedListeners:
    """Middleware that keeps `listeners`, and hangs up on those who don't take what they ask for.

    Args:
        app: The page's server.
        listeners: The connections.
        session_of: Returns the session that hears of an event; "" where nothing is to be heard.
    """

    app: ASGIApp
    listeners: Listeners
    session_of: Callable[[str], str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = path_of(scope) if scope["type"] == "http" and scope["method"] == "GET" else ""
        stream = STREAM.fullmatch(path)
        if stream and stream["page"]:
            with self.listeners.page(stream["page"]):
                await self.app(scope, receive, send)
        elif stream:
            session = self.session_of(stream["event"])
            if session:
                await self._heard(session, scope, receive, send)
            else:
                words = "There is nothing to hear of this call. Fetch a call's events within 30 s."
                await JSONResponse({"detail": words}, 404)(scope, receive, send)
        elif path == DATA:
            asked = parse_qs(scope["query_string"].decode("latin-1"))
            await self._heard(asked.get("session_hash", [""])[0], scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _heard(self, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        is_slow = False

        async def send_in_time(message: Message) -> None:
            nonlocal is_slow
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await send(message)
            except TimeoutError:
                is_slow = True
                raise

        with self.listeners.listener(session):
            try:
                await self.app(scope, receive, send_in_time)
            except Exception:
                if not is_slow:
                    raise
