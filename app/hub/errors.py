"""The errors of the Hub's client, in words for a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from app.errors import HubError, UnreachableError
from app.files import FULL, is_disk_full
from app.hub.repository import HubId

HTTPError: Final = cast(type[Exception], HfHubHTTPError.__bases__[0])
"""The HTTPError of httpx, which versions of the client import under different names."""

_OFFLINE: Final = (
    "{model} is not on this machine, and the Hub can't be reached.",
    "Connect to the network (HF_HUB_OFFLINE must not be 1) and try again.",
)
_WORDS: Final = (
    (
        GatedRepoError,
        "{model} is gated: its owner asks for consent to conditions first.",
        "Accept them on its page on the Hub, and set HF_TOKEN to a token that may read it.",
    ),
    (
        RepositoryNotFoundError,
        "The Hub has no public model {model}.",
        "Check the name; a private one needs HF_TOKEN, a token that may read it.",
    ),
    (
        RevisionNotFoundError,
        "{model} has no revision {revision!r}.",
        "Choose one from its page on the Hub, or leave the revision out.",
    ),
    (OfflineModeIsEnabled, *_OFFLINE),
    (LocalEntryNotFoundError, *_OFFLINE),
    (EntryNotFoundError, "{model} lacks a file that it lists.", "Try again, or another revision."),
    (LocalTokenNotFoundError, "There is no token for the Hub.", "Give one, or set HF_TOKEN."),
)
_STATUS: Final = {
    401: ("The Hub refuses access to {model} (401).", "Use a token that may do this."),
    403: ("The Hub refuses access to {model} (403).", "Use a token that may do this."),
    409: ("{model} is there already, or changed meanwhile.", "Look at it on the Hub first."),
    429: ("The Hub asks for patience (429).", "Try again in a few minutes."),
}


@contextmanager
def hub_faults(model: HubId) -> Iterator[None]:
    """Turn the errors of the Hub's client inside into a HubError about `model`.

    Raises:
        HubError: With the reason in words; an UnreachableError if the Hub didn't answer.
    """
    try:
        yield
    except (HTTPError, OSError, EntryNotFoundError, RuntimeError) as error:
        message, hint = _explained(error)
        message = message.format(model=model.repository, revision=model.revision or "main")
        raise (UnreachableError if _never_answered(error) else HubError)(message, hint) from error


def _never_answered(error: BaseException) -> bool:
    refused = isinstance(error, HfHubHTTPError) or isinstance(error.__cause__, HfHubHTTPError)
    unreached = isinstance(error, (HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError))
    return unreached and not refused


def _explained(error: BaseException) -> tuple[str, str]:
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return _explained(error.__cause__)  # an upload that failed
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HfHubHTTPError):
        return _explained(error.__cause__)  # the Hub was reached, and refused
    for kind, message, hint in _WORDS:
        if isinstance(error, kind):
            return message, hint
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        failed = (f"The Hub answers with an error ({status}).", "Try again later.")
        return _STATUS.get(status, failed)
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        return _about_files(error)
    return (
        f"The connection to the Hub failed ({type(error).__name__}).",
        "Check the network, then try again; what is whole is kept.",
    )


def _about_files(error: OSError) -> tuple[str, str]:
    if is_disk_full(error):
        return FULL
    if "Consistency check failed" in str(error):
        return (
            "The download of {model} broke off: a file is shorter than the Hub says.",
            "Try again; what is whole is kept.",
        )
    reason = (error.strerror or str(error).partition("\n")[0]).replace("{", "").replace("}", "")
    return f"A file can't be read or written: {reason}.", "Check the Hub's cache folder."
