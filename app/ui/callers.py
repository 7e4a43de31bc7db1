"""Work for callers: it ends with the step under way when its caller no longer waits for it."""

from collections.abc import Callable, Generator
from contextlib import closing
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar, get_args

from gradio.context import LocalContext

from app.errors import StudioError

P = ParamSpec("P")
R = TypeVar("R")

Steps = Generator[object, None, R]
"""A stream of steps that returns what they lead to."""


def is_awaited() -> bool:
    """Tell whether whoever sent the request being answered still waits for the answer."""
    page, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if page is None or event_id is None:
        return True  # It came past the queue, where Gradio doesn't tell.
    # Gradio closes an event's generator when it is cancelled or its caller hangs up, but lets a
    # function go on. It forgets an event that was cancelled, and marks one whose caller hung up.
    event = page._queue.event_ids_to_events.get(event_id)
    return event is not None and event.alive


def finish(steps: Steps[R]) -> R:
    """Take `steps` to their end, and return what they lead to.

    Raises:
        StudioError: If the caller cancels the request or hangs up; the steps are closed.
    """
    with closing(steps):
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: R = end.value
                return result
            if not is_awaited():
                raise StudioError("Nobody waits for this any more.", "Ask again.")


def finished(handler: Callable[P, Steps[R]]) -> Callable[P, R]:
    """Turn `handler`, a generator, into the function that takes its steps to their end."""
    whole = signature(handler)
    returned = get_args(whole.return_annotation)[-1]

    @wraps(handler)
    def finishing(*args: P.args, **kwargs: P.kwargs) -> R:
        return finish(handler(*args, **kwargs))

    told: dict[str, Any] = vars(finishing)
    told["__signature__"] = whole.replace(return_annotation=returned)
    finishing.__annotations__ = handler.__annotations__ | {"return": returned}
    return finishing
