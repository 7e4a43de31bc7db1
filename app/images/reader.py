"""The readers of strangers' pictures: processes of their own, of which two are at work at once.

What comes back from one is RGB of the size that is needed; the file's own pixels never enter the
memory of whoever asks. One process is kept for the next picture, since starting one takes longer
than reading most pictures.
"""

import atexit
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any, Final
from weakref import WeakValueDictionary

from PIL import Image

from app.confined import (
    BrokenProcessError,
    ConfinedProcess,
    ExhaustedError,
    Tell,
    serve,
)
from app.errors import PictureError
from app.images.reading import MAX_SIDE, Fit, check_header, read_picture, square

AT_ONCE: Final = 2
MEMORY: Final = 3 << 29
"""Bytes of address space: a WebP of 50 million pixels, the worst that is read, takes 1.1 GB."""

SECONDS: Final = 10
"""The processor time that a picture may take; the slowest of 50 million pixels takes a third."""

PATIENCE: Final = 30
"""The seconds that a picture may take by the clock, and that one waits for its turn."""

COMMAND: Final = ("-m", "app.images.reader")

Square = tuple[int, Fit]
"""The side in pixels of a square, and how the picture becomes one."""


class Readers:
    """The processes that read pictures; they are started when they are needed, or by `warm_up`.

    Attributes:
        asks: Names whoever asks, of whose pictures one is read at a time; "" has no such limit.
    """

    _idle: ConfinedProcess | None

    def __init__(self) -> None:
        self.asks: Callable[[], str] = str
        self._begin()
        # A process forked from this one shares none of its readers.
        os.register_at_fork(after_in_child=self._begin)

    def warm_up(self) -> None:
        """Start a reader, which loads while this process does other things."""
        with self._reader():
            pass

    def squares(self, picture: Path | bytes, squares: Sequence[Square]) -> list[Image.Image]:
        """Read a picture as upright sRGB, and return it as each of `squares`.

        Raises:
            PictureError: As `read_picture`, or if reading it takes too much memory or time.
        """
        return self._read(picture, squares, MAX_SIDE)

    def whole(self, picture: bytes, max_side: int) -> Image.Image:
        """Read a picture of at most `max_side` pixels a side, as upright sRGB.

        Raises:
            PictureError: As `squares`.
        """
        return self._read(picture, (), max_side)[0]

    def close(self) -> None:
        """End the process that is kept."""
        with self._lock:
            idle, self._idle = self._idle, None
        if idle:
            idle.close()

    def _read(
        self, picture: Path | bytes, squares: Sequence[Square], max_side: int
    ) -> list[Image.Image]:
        with picture.open("rb") if isinstance(picture, Path) else io.BytesIO(picture) as file:
            check_header(file, max_side)
        where, data = (picture.absolute(), b"") if isinstance(picture, Path) else ("", picture)
        request = {"path": str(where), "squares": list(squares), "max_side": max_side}
        sides = [side for side, _ in squares] or [max_side]
        largest = max(1 << 16, sum(3 * side**2 for side in sides))
        try:
            with self._reader() as reader:
                sizes, pixels = reader.ask(
                    request, data, seconds=SECONDS, patience=PATIENCE, largest=largest
                )
        except ExhaustedError as error:
            raise PictureError(
                "Reading the picture takes too much memory or time.",
                "Save it smaller, or in another format.",
            ) from error
        except (BrokenProcessError, OSError) as error:
            raise PictureError(
                "The picture could not be read.", "Try again; the server's log says why."
            ) from error
        stream = io.BytesIO(pixels)
        return [
            Image.frombytes("RGB", (width, height), stream.read(3 * width * height))
            for width, height in sizes
        ]

    @contextmanager
    def _reader(self) -> Iterator[ConfinedProcess]:
        visitor = self.asks()
        with self._lock:
            own = self._visitors.get(visitor) or BoundedSemaphore(1)
            if visitor:
                self._visitors[visitor] = own
        with (
            _acquired(own, "Other pictures of yours are being read."),
            _acquired(self._turns, "Others' pictures are being read."),
        ):
            with self._lock:
                reader, self._idle = self._idle, None
            if reader and not reader.is_alive:
                reader.close()
                reader = None
            reader = reader or ConfinedProcess(COMMAND, MEMORY, PictureError)
            try:
                yield reader
            except PictureError:
                self._keep(reader)
                raise
            except BaseException:
                reader.close()
                raise
            self._keep(reader)

    def _keep(self, reader: ConfinedProcess) -> None:
        with self._lock:
            surplus, self._idle = self._idle, reader
        if surplus:
            surplus.close()

    def _begin(self) -> None:
        self._lock = Lock()
        self._turns = BoundedSemaphore(AT_ONCE)
        self._visitors: WeakValueDictionary[str, BoundedSemaphore] = WeakValueDictionary()
        self._idle = None


READERS: Final = Readers()
atexit.register(READERS.close)


@contextmanager
def _acquired(turn: BoundedSemaphore, words: str) -> Iterator[None]:
    """Have a turn inside the context; whoever waits for it too long is told so."""
    if not turn.acquire(timeout=PATIENCE):
        raise PictureError(words, "Try again in a minute.")
    try:
        yield
    finally:
        turn.release()


def _work(
    request: Any,  # noqa: ANN401 - JSON
    data: bytes,
    _: Tell,
) -> tuple[list[tuple[int, int]], bytes]:
    """Read a picture in a reader's process."""
    path = request["path"]
    with Path(path).open("rb") if path else io.BytesIO(data) as file:
        needed = max((side for side, _ in request["squares"]), default=None)
        image = read_picture(file, request["max_side"], needed)
    images = [square(image, side, fit) for side, fit in request["squares"]] or [image]
    return [each.size for each in images], b"".join(each.tobytes() for each in images)


if __name__ == "__main__":
    serve(_work, PictureError)
