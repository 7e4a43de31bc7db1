"""Files that come from a caller of the API, and files that go to one."""

from pathlib import Path
from typing import Final, cast

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from app.errors import RecipeError

_MIME: Final = {".png": "image/png", ".gif": "image/gif", ".webp": "image/webp"}


def uploaded(file: object) -> bytes:
    """The bytes of a file that this caller uploaded: a path to anything else is refused.

    Raises:
        RecipeError: If it is no such file.
    """
    path = file.get("path") if isinstance(file, dict) else None
    folder = Path(get_upload_folder()).resolve()
    real = Path(path).resolve() if isinstance(path, str) else folder
    if not real.is_relative_to(folder) or not real.is_file():
        raise RecipeError(
            "That is no uploaded file.", "Upload the picture first, as handle_file does."
        )
    return real.read_bytes()


def saved_file(name: str, data: bytes) -> gr.FileData:
    """A file for a caller to fetch."""
    path = save_bytes_to_cache(data, name, get_upload_folder())
    file = gr.FileData(path=path, orig_name=name, mime_type=_MIME[Path(name).suffix])
    # Gradio serves only what it finds in plain dictionaries, whatever the annotation says.
    return cast(gr.FileData, file.model_dump())
