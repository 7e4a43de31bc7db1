"""Who listens is known by their connections, and who takes nothing is hung up on."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.ui import listeners
from app.ui.listeners import CountedListeners, Listeners

HEARD = [
    ("/gradio_api/queue/data", b"session_hash=mine"),
    ("/gradio_api/call/paint/event", b""),
    ("/gradio_api/call/v2/paint/event", b""),
]


class Server:
    """Answers with one message, and tells who was counted meanwhile."""

    def __init__(self) -> None:
        self.listeners = Listeners(clock=lambda: 7.0)
        self.app = CountedListeners(
            self.answer, self.listeners, lambda event: "mine" * (event == "event")
        )
        self.counted: list[tuple[set[str], set[str]]] = []
        self.sent: list[Message] = []

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.counted.append((set(self.listeners.pages), set(self.listeners.hearing)))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def receive(self) -> Message:
        return {"type": "http.disconnect"}

    def get(self, path: str, query: bytes = b"", send: Send | None = None) -> None:
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": []}
        scope["query_string"] = query
        asyncio.run(self.app(scope, self.receive, send or self.send))


@pytest.mark.parametrize(("path", "query"), HEARD)
def test_who_hears_of_events_is_counted_while_they_do(path: str, query: bytes) -> None:
    server = Server()
    server.get(path, query)
    assert server.counted == [(set(), {"mine"})]
    assert not server.listeners.hearing
    assert server.listeners.left == {"mine": 7.0}


def test_a_page_is_open_while_its_heart_beats() -> None:
    server = Server()
    server.get("/gradio_api/heartbeat/mine")
    assert server.counted == [({"mine"}, set())]
    assert not server.listeners.pages
    assert server.listeners.closed == {"mine": 7.0}


def test_a_call_of_which_nothing_is_to_be_heard_is_not_found() -> None:
    server = Server()
    server.get("/gradio_api/call/paint/other")
    assert server.sent[0]["status"] == 404
    assert b"Fetch a call's events within 30 s" in server.sent[1]["body"]


def test_who_takes_no_message_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "PATIENCE_SECONDS", 0.01)
    server = Server()

    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    server.get(*HEARD[0], send=never)
    assert server.counted == [(set(), {"mine"})]
    assert not server.listeners.hearing
