"""One run a page: a new one ends the one before."""

from collections.abc import Generator
from typing import TypeVar

import gradio as gr

Told = TypeVar("Told")


class LatestRun:
    """The newest run of each page, known by Gradio's session hash; safe between threads."""

    def __init__(self) -> None:
        self._newest: dict[str, object] = {}

    def follow(
        self, request: gr.Request, run: Generator[Told, None, None]
    ) -> Generator[Told, None, None]:
        """What `run` tells until it ends, is closed, or another of the same page begins."""
        page = str(request.session_hash)
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
