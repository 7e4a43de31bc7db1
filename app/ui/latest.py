"""One run a page: a new one ends the one before."""

from collections.abc import Generator

from app.ui.player import Message


class LatestRun:
    """The newest run of each page, known by Gradio's session hash; safe between threads."""

    def __init__(self) -> None:
        self._newest: dict[str, object] = {}

    def follow(
        self, page: str, run: Generator[Message, None, None]
    ) -> Generator[Message, None, None]:
        """`run`'s messages until it ends, is closed, or another run of the same `page` begins."""
        self._newest[page] = run
        try:
            for message in run:
                if self._newest.get(page) is not run:
                    return
                yield message
        finally:
            run.close()
            if self._newest.get(page) is run:
                del self._newest[page]
