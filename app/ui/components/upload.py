"""Components that take files: an event gets their paths, and reads of them what it needs."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.errors import UploadError
from app.ui.components.instrument import QuietMeta
from app.ui.endpoints.files import uploaded


class UploadButton(gr.UploadButton, metaclass=QuietMeta):
    """A gr.UploadButton for one file; Gradio's reads it whole, whatever its size."""

    is_template = True  # The browser knows it by Gradio's name, and by its arguments.

    def preprocess(self, payload: Any) -> Path | None:  # type: ignore[override]
        """Return the path of the file."""
        return None if payload is None else _path(payload)


class DropZone(gr.File, metaclass=QuietMeta):
    """A gr.File for many files; Gradio's leaves an empty one on the disk for each."""

    is_template = True

    def preprocess(self, payload: Any) -> list[Path]:  # type: ignore[override]
        """Return the paths of the files."""
        return [_path(file) for file in payload or ()]


def _path(file: gr.FileData) -> Path:
    try:
        return uploaded(file.model_dump())
    except UploadError as error:
        raise gr.Error(str(error), print_exception=False) from error
