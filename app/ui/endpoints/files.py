"""Files that come from a caller of the API, and files that go to one."""

from functools import partial
from mimetypes import guess_type
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast
from urllib.parse import unquote

import gradio as gr
from gradio.blocks import Block
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder
from gradio_client.utils import is_http_url_like

from app.errors import UploadError
from app.ui.errors import no_upload

_SERVED: Final = "/gradio_api/file="
"""The part of an address of this studio's files that comes before the path."""


def upload_folder() -> Path:
    """Return the folder where the server puts what callers upload."""
    return Path(get_upload_folder()).resolve()


def uploaded(file: object) -> Path:
    """Return the path of a file that this caller uploaded; any other path is refused.

    Raises:
        UploadError: If `file` is no uploaded file.
    """
    path = file.get("path") if isinstance(file, dict) else None
    return _upload(path if isinstance(path, str) else "")


async def named_file(component: Block, place: str | Path | None) -> str | None:
    """Find the file that a caller names by its path or, if it is this studio's, by its address.

    Left to itself, Gradio fetches whatever lies at any public address, however large.

    Args:
        component: The component that takes the file.
        place: The path or the address.

    Raises:
        gr.Error: If `place` is the address of anything else.
    """
    text = str(place or "")
    if not is_http_url_like(text):
        path: str | None = await Block.async_move_resource_to_block_cache(component, place)
        return path
    try:
        return str(_upload(unquote(text.partition(_SERVED)[2])))
    except UploadError as error:
        raise gr.Error(str(error), print_exception=False) from error


def keep_to_own_files(page: gr.Blocks) -> None:
    """Let no part of `page` fetch what lies at an address that a caller names."""
    for block in page.blocks.values():
        component: Any = block
        component.async_move_resource_to_block_cache = partial(named_file, block)


def saved_file(name: str, data: bytes) -> gr.FileData:
    """Save a file for a caller to fetch; equal ones are one file, which is whole at any moment."""
    with TemporaryDirectory() as folder:
        # Gradio renames a file into its place, but writes bytes over those that somebody reads.
        path = Path(folder) / Path(name).name
        path.write_bytes(data)
        return served_file(Path(save_file_to_cache(path, get_upload_folder())))


def served_file(path: Path) -> gr.FileData:
    """Describe a file in the upload folder, for a caller to fetch."""
    file = gr.FileData(path=str(path), orig_name=path.name, mime_type=guess_type(path.name)[0])
    # Gradio serves only what it finds in plain dictionaries, whatever the annotation says.
    return cast(gr.FileData, file.model_dump())


def _upload(path: str) -> Path:
    real = Path(path).resolve()
    if not real.is_relative_to(upload_folder()) or not real.is_file():
        raise no_upload()
    return real
