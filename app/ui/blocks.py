"""The page as Gradio runs it: what goes wrong inside Gradio is told as our own errors are."""

import logging
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError

from app.errors import StudioError
from app.files import is_disk_full
from app.ui.errors import page_error

_log = logging.getLogger(__name__)


class StudioBlocks(gr.Blocks):
    """Blocks whose callers are told nothing of this machine's folders, and of no exception's text.

    Gradio itself tells a caller the text of whatever was raised while it read their values, ran a
    function, or kept its results.
    """

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Answer an event.

        Raises:
            gr.Error: If that fails, with words for whoever asked.
        """
        try:
            answer: dict[str, Any] = await super().process_api(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False  # It is said to the caller; the log need not have it.
            raise
        except Exception as error:
            raise page_error(error) from error
        return answer

    async def preprocess_data(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Read an event's values.

        Raises:
            StudioError: If they are none that the page sends.
        """
        try:
            values: list[Any] = await super().preprocess_data(*args, **kwargs)
        except (gr.Error, StudioError, InvalidPathError):
            raise
        except Exception as error:
            if is_disk_full(error):
                raise
            _log.warning("values that nothing here sends came: %s", type(error).__name__)
            raise StudioError(
                "The values don't fit what they are for.",
                "Reload the page, or see what the API says of the call.",
            ) from error
        return values
