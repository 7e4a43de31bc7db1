"""The queue of events: everybody gets a turn, and what nobody waits for is not done or kept.

Gradio's own queue is first come, first served, keeps what nobody fetches, and a copy of the page
for each session that ever came. This one changes what happens when an event comes (`push`), and
when one ends (`process_events`), and looks once in a while for what nobody waits for.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import gradio as gr
from fastapi import HTTPException, Request
from gradio.block_function import BlockFunction
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import LRUCache, run_coro_in_background

from app.limits import QueueShare
from app.ui.listeners import PATIENCE_SECONDS, Listeners

SWEEP_SECONDS: Final = 2.0
MAX_OVERTAKEN: Final = 50
"""How many events may come later than another and be done before it."""

MAX_CLOSED: Final = 100
"""The closed pages whose state is kept, for those that come back."""

CLOSED_SECONDS: Final = 3600.0

OPENING_SECONDS: Final = 5.0
"""How long after a page's first event it may take until it says that it is open."""

Pushed = tuple[
    bool,
    str | list[dict[str, Any]],
    Literal["success", "error", "queue_full", "validator_error"],
]


@dataclass(frozen=True)
class Visitor:
    """Whoever sends events.

    Attributes:
        address: Their address.
        token: Their cookie's token; "" where they have none, and are one with all others there.
    """

    address: str
    token: str


@dataclass
class Place:
    """Whose an event is, in which round of the turns it runs, and how many overtook it."""

    visitor: Visitor
    round: int
    overtaken: int = 0


class VisitorQueue(Queue):
    """A queue in which visitors take turns.

    Args:
        page: The page whose events wait.
        share: What one visitor, and one address, may have in it.
        visitor: Tells who sent a request.
        listeners: The open connections.
        runs: The concurrency group of the events that are runs.
        concurrency: How many events of a group run at once, where nothing else is said.
        max_size: How many events may wait; None is no limit.
    """

    def __init__(
        self,
        page: gr.Blocks,
        share: QueueShare,
        visitor: Callable[[Request], Visitor],
        listeners: Listeners,
        runs: str,
        concurrency: int,
        max_size: int | None,
    ) -> None:
        super().__init__(True, page.max_threads, 1, max_size, page, concurrency)
        # Otherwise one that is much listened to would make the others be forgotten.
        self.pending_messages_per_session = LRUCache(max_size=10**9)
        self._share, self._visitor, self._listeners, self._runs = share, visitor, listeners, runs
        self._places: dict[str, Place] = {}
        self._rounds: dict[str, dict[Visitor, int]] = {}
        self._begun: Counter[str] = Counter()
        self._asked: dict[str, float] = {}
        # Gradio would learn each group's limit from its first events.
        for fn in page.fns.values():
            self.create_event_queue_for_fn(fn)

    def start(self) -> None:
        """Begin to take events, and to look for those that nobody waits for."""
        super().start()  # type: ignore[no-untyped-call]
        run_coro_in_background(self._look_after)

    async def push(
        self, body: PredictBodyInternal, request: Request, username: str | None
    ) -> Pushed:
        """Take an event into the queue, before those who had more turns than whoever sends it.

        Raises:
            HTTPException: If they, or their address, have as many there as they may (429).
        """
        visitor = self._visitor(request)
        fn = self.blocks.fns.get(body.fn_index) if body.fn_index is not None else None
        if fn is not None:
            self._replace(body, fn)
            self._check_share(visitor, fn)
        pushed: Pushed = await super().push(body, request, username)
        event = self.event_ids_to_events.get(str(pushed[1])) if pushed[0] else None
        if event is not None:
            self._asked[event.session_hash] = self._listeners.clock()
            self._give_place(event, visitor)
        return pushed

    async def process_events(
        self, events: list[Event], batch: bool, begin_time: float, fn: BlockFunction
    ) -> None:
        """Run events, and let go of what was kept for them."""
        for event in events:
            if place := self._places.get(event._id):
                group = str(event.concurrency_id)
                self._begun[group] = max(self._begun[group], place.round)
        try:
            await super().process_events(events, batch, begin_time, fn)
        finally:
            for event in events:
                self._places.pop(event._id, None)
                if event.session_hash == event._id:  # A call's session is its own, without a page.
                    self._forget(event.session_hash)

    def compute_analytics_summary(self, records: Any) -> Any:
        """Compute nothing: nobody is told of it, and it takes longer with each event."""
        return self.cached_event_analytics_summary

    def session_of(self, event_id: str) -> str:
        """Return the session that hears of an event; "" where there is nothing to hear of it."""
        if (event := self.event_ids_to_events.get(event_id)) is not None:
            return event.session_hash
        pending = self.pending_event_ids_session.items()
        return next((session for session, ids in pending if event_id in ids), "")

    def _events(self) -> Iterator[Event]:
        """Yield the events that wait, and those that run and are still heard of."""
        for group in self.event_queue_per_concurrency_id.values():
            yield from group.queue
        for job in self.active_jobs:
            yield from (event for event in job or () if event.alive)

    def _is_run(self, fn: BlockFunction) -> bool:
        is_long = fn.types_generator or fn.api_visibility == "public"
        return fn.concurrency_id == self._runs and is_long

    def _replace(self, body: PredictBodyInternal, fn: BlockFunction) -> None:
        """End a page's earlier run that still waits: the page shows the newest alone."""
        if not self._is_run(fn) or body.session_hash not in self._listeners.pages:
            return
        waiting = self.event_queue_per_concurrency_id[str(fn.concurrency_id)].queue
        for event in [it for it in waiting if it.fn is fn and it.session_hash == body.session_hash]:
            waiting.remove(event)
            output = {"error": "Another run took its place.", "visible": False}
            self.send_message(event, ProcessCompletedMessage(output=output, success=False))
            self.event_ids_to_events.pop(event._id, None)
            self._places.pop(event._id, None)

    def _check_share(self, visitor: Visitor, fn: BlockFunction) -> None:
        is_run = self._is_run(fn)
        places = [
            place.visitor
            for event in self._events()
            if self._is_run(event.fn) == is_run and (place := self._places.get(event._id))
        ]
        own = places.count(visitor)
        theirs = sum(other.address == visitor.address for other in places)
        if refused := self._share.refusal(own, theirs, is_run=is_run):
            raise HTTPException(429, refused, {"Retry-After": "5"})

    def _give_place(self, event: Event, visitor: Visitor) -> None:
        """Put the newest event of its group before those whose round is later.

        A visitor's events are a round apart, and who comes anew begins with the round that runs,
        so each visitor has their first event done before anyone's second: start-time fair queueing.
        """
        group = str(event.concurrency_id)
        rounds = self._rounds.setdefault(group, {})
        place = Place(visitor, max(self._begun[group], rounds.get(visitor, -1) + 1))
        rounds[visitor] = place.round
        self._places[event._id] = place
        waiting = self.event_queue_per_concurrency_id[group].queue
        if event not in waiting:
            return
        waiting.remove(event)
        index = len(waiting)
        while index and (before := self._places[waiting[index - 1]._id]).round > place.round:
            if before.overtaken >= MAX_OVERTAKEN:
                break
            before.overtaken += 1
            index -= 1
        waiting.insert(index, event)
        self.broadcast_estimations(group, index)

    async def _look_after(self) -> None:
        while not self.stopped:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.sweep()

    async def sweep(self) -> None:
        """End the events of sessions to which nobody listens any more, and forget the sessions."""
        app, now = self.server_app, self._listeners.clock()
        if app is None:
            return
        states = app.state_holder.session_data
        sessions = {*self.pending_messages_per_session, *states}
        sessions.update(event.session_hash for event in self._events())
        self._asked = {each: self._asked.get(each, now) for each in sessions}
        self._listeners.keep(sessions)
        for session in sessions:
            if self._listeners.silence(session, self._asked[session]) >= PATIENCE_SECONDS:
                await self.clean_events(session_hash=session)
                self.pending_messages_per_session.pop(session, None)
                self.pending_event_ids_session.pop(session, None)
        busy = {event.session_hash for event in self._events()} | set(self._listeners.pages)
        # Those used longest ago come first.
        closed = [each for each in states if each in self._listeners.closed and each not in busy]
        for session in [each for each in states if each not in busy and each not in closed]:
            if now - self._asked[session] >= OPENING_SECONDS:
                self._forget(session)
        for index, session in enumerate(closed):
            is_old = now - self._listeners.closed[session] >= CLOSED_SECONDS
            if is_old or index < len(closed) - MAX_CLOSED:
                self._forget(session)
        self._prune()

    def _prune(self) -> None:
        known = {event._id for event in self._events()}
        self._places = {each: it for each, it in self._places.items() if each in known}
        for group, rounds in self._rounds.items():
            begun = self._begun[group]
            self._rounds[group] = {who: last for who, last in rounds.items() if last >= begun}

    def _forget(self, session: str) -> None:
        if (app := self.server_app) is not None:
            app.state_holder.delete_state(session)  # values may have files
            app.state_holder.session_data.pop(session, None)
            app.state_holder.time_last_used.pop(session, None)
