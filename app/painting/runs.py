"""Runs: a request is completed, done as a stream, and its result is kept for a while."""

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from cachetools import LRUCache

from app.documents import Document
from app.models.files import Stamp
from app.models.loading import LoadedModel, LoadedStage

KEPT_BYTES: Final = 32_000_000


class _SizedResult(Protocol):
    @property
    def nbytes(self) -> int: ...


Asked = TypeVar("Asked", bound=Document)
Asked_co = TypeVar("Asked_co", bound=Document, covariant=True)
Item = TypeVar("Item")
Left = TypeVar("Left", bound=_SizedResult)
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class CheckedRun(Generic[Asked_co]):
    """A request as it will be done here: checked, with the weights' hash and the versions.

    Attributes:
        request: The request.
        stamps: The stamps of its networks' files, by which a result of replaced ones is noticed.
    """

    request: Asked_co
    stamps: tuple[Stamp, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, eq=False)
class LoadedRun(CheckedRun[Asked_co]):
    """A checked request with its model and second stage, in use while this is held."""

    model: LoadedModel
    stage: LoadedStage | None = None

    @staticmethod
    def of(
        request: Asked, model: LoadedModel, stage: LoadedStage | None = None
    ) -> "LoadedRun[Asked]":
        """Stamp a checked request with its model's files, and its second stage's."""
        stamps = tuple(network.files.stamp for network in (model, stage) if network)
        return LoadedRun(request, model, stage, stamps=stamps)


Completed = TypeVar("Completed", bound=CheckedRun[Any])


class Recent(Generic[Value]):
    """Values by what describes them, the one used longest ago dropped first; safe in threads."""

    def __init__(self, max_bytes: int) -> None:
        # A value that alone is over the budget counts as all of it, or LRUCache would refuse it.
        self._kept: LRUCache[Document, tuple[Value, int]] = LRUCache(
            max_bytes, getsizeof=lambda kept: min(kept[1], max_bytes)
        )
        self._lock = threading.Lock()

    def put(self, key: Document, value: Value, nbytes: int) -> None:
        """Keep `value`; the newest value stays even where it alone is over the budget."""
        with self._lock:
            self._kept[key] = (value, nbytes)

    def get(self, key: Document) -> Value | None:
        """Return the value of `key`, if it is still kept."""
        with self._lock:
            kept = self._kept.get(key)
            return kept[0] if kept else None

    @property
    def nbytes(self) -> int:
        """The bytes of all values kept, at most the budget."""
        return int(self._kept.currsize)


class Runs(Generic[Asked, Item, Left]):
    """Does what requests of one kind ask for, and keeps what the latest of them left.

    Attributes:
        complete: Turns a request into a run.
        network_steps: Counts the network steps of a request, its sources' and parents' included.
    """

    def __init__(
        self,
        complete: Callable[[Asked], Completed],
        network_steps: Callable[[Asked], int],
        work: Callable[[Completed], Iterator[Item]],
        left: type[Left],
        max_bytes: int = KEPT_BYTES,
    ) -> None:
        """Take `work`, which does a run as a stream; its last item of type `left` is kept."""
        self.complete: Callable[[Asked], CheckedRun[Asked]] = complete
        self.network_steps = network_steps
        self._work: Callable[[Any], Iterator[Item]] = work
        self._left = left
        self._recent: Recent[tuple[Left, tuple[Stamp, ...]]] = Recent(max_bytes)

    def stream(self, run: Asked | CheckedRun[Asked]) -> Generator[Item, None, Left]:
        """Do a run, step by step.

        Args:
            run: The request, which is completed first; or what `complete` made of it.

        Yields:
            The run's items, step by step. Closing the stream ends the network's work with the
            step under way.

        Returns:
            The run's result, which is kept.

        Raises:
            ModelError, PictureError, RecipeError: If the model or a source can't be used, or the
                model can't do this.
        """
        run, left = self._completed(run), None
        for item in self._work(run):
            if isinstance(item, self._left):
                left = item
            yield item
        if left is None:
            raise ValueError("a run ended without its result")
        return self._keep(run, left)

    def remembered(self, run: Asked | CheckedRun[Asked]) -> Left | None:
        """Return the result of `run`, if it was done lately and its result is still kept.

        Args:
            run: A completed request, of which the result is found that a person has seen; or what
                `complete` made of it, of which none is found if files were replaced since.
        """
        kept = self._recent.get(self._key(run.request if isinstance(run, CheckedRun) else run))
        if kept is None or (isinstance(run, CheckedRun) and kept[1] != run.stamps):
            return None
        return kept[0]

    def result(self, run: Asked | CheckedRun[Asked]) -> Left:
        """Return a run's result; the run is done first where it hasn't been lately.

        Raises:
            ModelError, PictureError, RecipeError: As `stream` does.
        """
        return at_once(self.steps(run))

    def steps(self, run: Asked | CheckedRun[Asked]) -> Generator[Item, None, Left]:
        """Do a run as `stream` does, without a step where it was done lately."""
        found = self.remembered(run)
        if found is None:
            run = self._completed(run)
            found = self.remembered(run)
        return (yield from self.stream(run)) if found is None else found

    def _completed(self, run: Asked | CheckedRun[Asked]) -> CheckedRun[Asked]:
        return run if isinstance(run, CheckedRun) else self.complete(run)

    def _keep(self, run: CheckedRun[Asked], left: Left) -> Left:
        self._recent.put(self._key(run.request), (left, run.stamps), left.nbytes)
        return left

    def _key(self, request: Asked) -> Document:
        return request


def at_once(stream: Generator[Any, None, Value]) -> Value:
    """Exhaust `stream` and return its value, for callers that have nobody to tell of its steps."""
    while True:
        try:
            next(stream)
        except StopIteration as end:
            value: Value = end.value
            return value
