"""Work ends when its caller is gone."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from gradio.context import LocalContext

from app.errors import StudioError
from app.ui.callers import Steps, finish, finished, is_awaited
from app.ui.endpoints.endpoint import Endpoint


class Work:
    """Steps that count how far they came."""

    def __init__(self) -> None:
        self.done, self.closed = 0, False

    def steps(self, count: int) -> Generator[int, None, str]:
        try:
            for self.done in range(1, count + 1):
                yield self.done
        finally:
            self.closed = True
        return "whole"


@contextmanager
def answering(events: dict[str, SimpleNamespace]) -> Iterator[None]:
    """Answer the event "one" of a page whose queue knows `events`."""
    page = SimpleNamespace(_queue=SimpleNamespace(event_ids_to_events=events))
    blocks = LocalContext.blocks.set(page)  # type: ignore[arg-type]
    event = LocalContext.event_id.set("one")
    try:
        yield
    finally:
        LocalContext.blocks.reset(blocks)
        LocalContext.event_id.reset(event)


def test_steps_are_taken_to_their_end() -> None:
    work = Work()
    assert finish(work.steps(3)) == "whole"
    with answering({"one": SimpleNamespace(alive=True)}):
        assert is_awaited()
        assert finish(work.steps(5)) == "whole"
    assert work.done == 5


@pytest.mark.parametrize("events", [{}, {"one": SimpleNamespace(alive=False)}])
def test_steps_nobody_waits_for_are_closed_after_the_one_under_way(
    events: dict[str, SimpleNamespace],
) -> None:
    work = Work()
    with answering(events), pytest.raises(StudioError, match="Nobody waits"):
        finish(work.steps(3))
    assert (work.done, work.closed) == (1, True)


def test_an_error_closes_the_steps_and_is_told() -> None:
    def failing() -> Steps[str]:
        yield 1
        raise StudioError("No.", "Try.")

    with pytest.raises(StudioError, match="No"):
        finish(failing())


def test_a_finished_generator_is_described_as_the_function_it_is() -> None:
    def word() -> Steps[str]:
        """Say a word.

        Returns:
            word: The last word.
        """
        return (yield from Work().steps(2))

    handler = finished(word)
    assert handler() == "whole"
    (result,) = Endpoint.of(handler).results
    assert (result.name, result.schema) == ("word", {"type": "string"})
