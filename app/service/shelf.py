"""What is kept in memory within a budget: the one used longest ago goes first, none in use."""

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.service.budget import MemoryBudget
from app.service.model_files import ModelFiles

T = TypeVar("T")


@dataclass(eq=False)
class _Kept(Generic[T]):
    """A model and about what it takes; emptied for a moment to see whether others hold it."""

    model: T | None
    nbytes: int


class Shelf(Generic[T]):
    """Loaded models by id; safe in threads.

    A model is in use as long as anybody but the shelf holds it: a stream does until it is closed.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model_id: str) -> T | None:
        """The model, if it is here; it counts as used now."""
        with self._lock:
            if model_id not in self._kept:
                return None
            self._kept.move_to_end(model_id)
            return self._kept[model_id].model

    def put(self, model_id: str, model: T, nbytes: int) -> None:
        """Keep `model`, for which `make_room` has made room."""
        with self._lock:
            self._kept[model_id] = _Kept(model, nbytes)

    def drop(self, model_id: str) -> None:
        """Keep it no longer; who uses it goes on with it."""
        with self._lock:
            self._kept.pop(model_id, None)

    @property
    def ids(self) -> tuple[str, ...]:
        """What is here, the one used longest ago first."""
        with self._lock:
            return tuple(self._kept)

    @property
    def nbytes(self) -> int:
        """About what all of them take."""
        with self._lock:
            return sum(kept.nbytes for kept in self._kept.values())

    def renew_lock(self) -> None:
        """Forget who holds the lock: in a forked process, nobody does."""
        self._lock = threading.Lock()

    def make_room(self, files: ModelFiles) -> int:
        """Drop what must go for the model in `files`; about what that will take, in bytes.

        Raises:
            ModelError: If it is larger than the whole budget, or too large beside those in use.
        """
        needed = self._budget.needed(files)
        available = self._budget.available()
        while self.nbytes + needed > self._budget.limit or needed > available:
            freed = self._drop_idle()
            if not freed:
                raise self._budget.refusal(files, needed, self.nbytes)
            # What was freed counts at once, though the C library may keep it for what comes.
            available += freed
        return needed

    def _drop_idle(self) -> int:
        """Drop the model used longest ago that nobody else holds; its bytes, 0 if all are used."""
        with self._lock:
            for model_id, kept in self._kept.items():
                held = weakref.ref(kept.model) if kept.model is not None else None
                kept.model = None
                kept.model = held() if held else None
                if kept.model is None:
                    del self._kept[model_id]
                    return kept.nbytes
        return 0
