"""What was made lately, kept while there is room, so that it needn't be made twice."""

import threading
from collections import OrderedDict
from typing import Final, Generic, TypeVar

from app.service.recipe import Document

MAX_BYTES: Final = 128_000_000
LABORATORY_BYTES: Final = 32_000_000

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by what describes them, the one used longest ago dropped first; safe in threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept: OrderedDict[Document, tuple[Value, int]] = OrderedDict()
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def put(self, key: Document, value: Value, nbytes: int) -> None:
        """Keep `value`; the newest stays even where it alone is over the budget."""
        with self._lock:
            self._kept[key] = (value, nbytes)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and self.nbytes > self._max_bytes:
                self._kept.popitem(last=False)

    def get(self, key: Document) -> Value | None:
        """The value of `key`, if it is still kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    @property
    def nbytes(self) -> int:
        """The bytes of all that is kept."""
        return sum(nbytes for _, nbytes in self._kept.values())
