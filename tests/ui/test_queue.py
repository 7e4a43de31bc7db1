"""Everybody gets a turn in the queue, and what nobody waits for isn't done or kept."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import gradio as gr
import pytest
from fastapi import HTTPException, Request
from gradio.data_classes import PredictBodyInternal
from gradio.events import api
from gradio.routes import App
from gradio.server_messages import ProcessCompletedMessage

from app.limits import QueueShare
from app.ui.listeners import PATIENCE_SECONDS, Listeners
from app.ui.queue import MAX_CLOSED, MAX_OVERTAKEN, OPENING_SECONDS, Visitor, VisitorQueue

GROUP = "network"
RUN, LIGHT = 0, 1
NONE = QueueShare()


class Desk:
    """A queue that isn't started, a clock, and visitors who send events."""

    def __init__(self, share: QueueShare) -> None:
        self.now = 0.0
        self.listeners = Listeners(clock=lambda: self.now)

        def runs() -> Iterator[int]:
            yield 1

        with gr.Blocks() as page:
            box = gr.Number()
            kept = gr.State([0])
            page.load(runs, None, box, concurrency_id=GROUP, concurrency_limit=16)
            page.load(lambda: ([1], 2), None, [kept, box], concurrency_id="light")
            page.load(lambda: 2, None, box, concurrency_id="few", concurrency_limit=2)
            api(lambda: 1, api_name="run", concurrency_id=GROUP)
        page.queue()
        self.page = page

        def visitor(request: Request) -> Visitor:
            address, _, token = request.headers["who"].partition("/")
            return Visitor(address, token)

        self.queue = VisitorQueue(page, share, visitor, self.listeners, GROUP, 8, 50)
        page._queue = self.queue
        self.app = App.create_app(page)
        self.queue.set_server_app(self.app)

    async def send(self, who: str, fn: int = RUN, session: str | None = None) -> str:
        scope = {"type": "http", "method": "POST", "headers": [(b"who", who.encode())]}
        body = PredictBodyInternal(data=[], fn_index=fn, session_hash=session)
        taken, event_id, _ = await self.queue.push(body, Request(scope), None)
        assert taken
        return str(event_id)

    def order(self) -> str:
        waiting = self.queue.event_queue_per_concurrency_id[GROUP].queue
        return " ".join(self.queue._places[event._id].visitor.token for event in waiting)


Scene = Callable[[Desk], Coroutine[Any, Any, None]]


def play(scene: Scene, share: QueueShare = NONE) -> None:
    async def played() -> None:
        await scene(Desk(share))

    asyncio.run(played())


def test_each_group_has_its_limit_before_its_first_event() -> None:
    async def scene(desk: Desk) -> None:
        limits = desk.queue.event_queue_per_concurrency_id
        assert limits["few"].concurrency_limit == 2
        assert limits[GROUP].concurrency_limit == 8, "the least of those that its events name"

    play(scene)


def test_turns_go_round_by_visitor() -> None:
    async def scene(desk: Desk) -> None:
        for who in "aaabbc":
            await desk.send(f"192.0.2.1/{who}")
        assert desk.order() == "a b c a b a"

    play(scene)


def test_who_comes_later_does_not_make_the_others_wait_for_ever() -> None:
    async def scene(desk: Desk) -> None:
        for _ in range(3):
            await desk.send("192.0.2.1/a")
        ended = []
        for number in range(3 * MAX_OVERTAKEN):
            await desk.send(f"192.0.2.1/{number}")
            first = desk.queue.event_queue_per_concurrency_id[GROUP].queue.pop(0)
            ended.append(desk.queue._places[first._id].visitor.token)
        assert ended.count("a") == 3
        assert ended[:3] == ["a", "0", "1"]

    play(scene)


def test_beyond_their_share_a_visitor_is_told_why() -> None:
    async def scene(desk: Desk) -> None:
        for fn in (RUN, RUN, LIGHT):
            await desk.send("192.0.2.1/a", fn)
        with pytest.raises(HTTPException, match="2 runs of yours wait or run already") as refused:
            await desk.send("192.0.2.1/a")
        assert refused.value.status_code == 429
        with pytest.raises(HTTPException, match="1 requests of yours"):
            await desk.send("192.0.2.1/a", LIGHT)
        await desk.send("192.0.2.1/b")
        with pytest.raises(HTTPException, match="3 runs from your network's address"):
            await desk.send("192.0.2.1/c")
        await desk.send("192.0.2.2/c")
        await desk.send("192.0.2.2/a")

    play(scene, QueueShare(runs=2, runs_at_address=3, others=1))


def test_a_pages_newer_run_takes_the_place_of_one_that_waits() -> None:
    async def scene(desk: Desk) -> None:
        with desk.listeners.page("mine"):
            for _ in range(5):
                newest = await desk.send("192.0.2.1/a", session="mine")
            (event,) = desk.queue.event_queue_per_concurrency_id[GROUP].queue
            assert event._id == newest
            messages = desk.queue.pending_messages_per_session["mine"]
            ended = [messages.get_nowait() for _ in range(messages.qsize())]
            replaced = [it for it in ended if isinstance(it, ProcessCompletedMessage)]
            assert len(replaced) == 4
            assert all(it.output == replaced[0].output for it in replaced)
            assert replaced[0].output["visible"] is False

    play(scene, QueueShare(runs=2))


def test_what_nobody_fetches_is_ended_and_forgotten() -> None:
    async def scene(desk: Desk) -> None:
        alone, heard = await desk.send("192.0.2.1/a"), await desk.send("192.0.2.1/b")
        desk.now = PATIENCE_SECONDS - 1
        with desk.listeners.listener(heard):
            await desk.queue.sweep()
            assert desk.order() == "a b"
            desk.now += 2
            await desk.queue.sweep()
            assert desk.order() == "b"
            assert desk.queue.session_of(alone) == ""
            assert desk.queue.session_of(heard) == heard
            desk.now += 1000
            await desk.queue.sweep()
        desk.now += PATIENCE_SECONDS - 1
        await desk.queue.sweep()
        assert desk.order() == "b"
        desk.now += 2
        await desk.queue.sweep()
        assert desk.order() == ""
        assert not desk.queue.pending_messages_per_session
        assert not desk.queue.event_ids_to_events

    play(scene)


def test_a_run_nobody_listens_to_is_told_to_end() -> None:
    async def scene(desk: Desk) -> None:
        await desk.send("192.0.2.1/a")
        batch = desk.queue.get_events()
        assert batch is not None
        desk.queue.active_jobs = [batch[0]]
        desk.now = PATIENCE_SECONDS + 1
        await desk.queue.sweep()
        assert not batch[0][0].alive

    play(scene)


def test_a_session_ends_with_its_page_and_never_before() -> None:
    async def scene(desk: Desk) -> None:
        states = desk.app.state_holder.session_data
        holder = desk.app.state_holder
        with desk.listeners.page("open"):
            for session in ("open", "nowhere"):
                holder[session][1] = [session]
            await desk.queue.sweep()
            desk.now = OPENING_SECONDS + 1
            await desk.queue.sweep()
            assert set(states) == {"open"}
            desk.now += 1e6
            await desk.queue.sweep()
            assert set(states) == {"open"}
        await desk.queue.sweep()
        assert set(states) == {"open"}, "a closed page may come back"
        for number in range(MAX_CLOSED):
            with desk.listeners.page(f"{number}"):
                holder[f"{number}"][1] = [number]
        await desk.queue.sweep()
        assert "open" not in states
        assert len(states) == MAX_CLOSED
        desk.now += 3601
        await desk.queue.sweep()
        assert not states

    play(scene)
