"""The runs painted lately, kept while there is room, so that a film needn't be painted twice."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from app.service.moments import Moment
from app.service.recipe import Recipe

MAX_BYTES: Final = 128_000_000


class RecentRuns:
    """Films by recipe, the one used longest ago dropped first; safe between threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._films: OrderedDict[Recipe, tuple[Moment, ...]] = OrderedDict()
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def put(self, recipe: Recipe, film: Sequence[Moment]) -> None:
        """Keep `film`; the newest stays even where it alone is over the budget."""
        with self._lock:
            self._films[recipe] = tuple(film)
            self._films.move_to_end(recipe)
            while len(self._films) > 1 and self.nbytes > self._max_bytes:
                self._films.popitem(last=False)

    def get(self, recipe: Recipe) -> tuple[Moment, ...] | None:
        """The film of `recipe`, if it is still kept."""
        with self._lock:
            if recipe not in self._films:
                return None
            self._films.move_to_end(recipe)
            return self._films[recipe]

    @property
    def nbytes(self) -> int:
        """The bytes of all pictures kept."""
        return sum(moment.nbytes for film in self._films.values() for moment in film)
