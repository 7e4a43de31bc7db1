"""What visitors upload: each upload in a folder of its own, within quotas, for an hour.

Gradio puts a file under the hash of its contents, among all that the page serves: two visitors'
equal files are one there, a file may be one of the page's own, and what was broken off stays. Here
an upload's folder has a name that nobody can guess, so whoever names a file in it has uploaded it;
it goes when the upload is broken off, when its files are used up, and after an hour.
"""

import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Final

from gradio.route_utils import upload_fn
from gradio.routes import file_upload_statuses
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.datasets.uploads import MAX_UPLOAD
from app.errors import LimitError
from app.limits import Limits
from app.studio import Studio
from app.ui.endpoints.files import upload_folder
from app.ui.middleware import token_in, visitor_of

PATH: Final = "/gradio_api/upload"
FOLDER: Final = "uploads"
SECONDS: Final = 3_600
"""How long an upload is kept at the most, and how long it may take."""

LOOK: Final = 60
"""The seconds between two looks for uploads that are past their time."""

ALL: Final = "all"
LEAST: Final = 4_096
"""The bytes that an upload counts for at least."""

TOO_LARGE: Final = "maximum allowed size"
"""Gradio's words for a file that has too many bytes."""

IN_MEMORY: Final = 8_000_000
"""The bytes of an upload that may be no file's: Gradio keeps those in memory."""


def own_folder() -> Path:
    """Return the folder of what visitors upload."""
    return upload_folder() / FOLDER


def discard(path: Path) -> None:
    """Remove a file that a visitor uploaded, and its upload's folder with the last; no other."""
    real = path.resolve()
    if not real.is_relative_to(own_folder()):
        return
    real.unlink(missing_ok=True)
    upload = own_folder() / real.relative_to(own_folder()).parts[0]
    if not any(each.is_file() for each in upload.rglob("*")):
        shutil.rmtree(upload, ignore_errors=True)


@dataclass
class Arrival:
    """An upload.

    Attributes:
        senders: The visitor, their address, and all.
        begun: The time when it began.
        size: The bytes that have come of it.
    """

    senders: tuple[str, ...]
    begun: float
    size: int = 0


class Quotas:
    """How much has been uploaded and is still there, by visitor, by address, and in all."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        each, together = (mb * 1_000_000 for mb in (limits.visitor_upload_mb, limits.uploads_mb))
        self._most = (
            ("Your uploads", each),
            ("The uploads from your address", together // 2),
            ("All visitors' uploads", together),
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._uploads: dict[Path, Arrival] = {}
        self._taken: Counter[str] = Counter()
        for folder in own_folder().glob("*"):  # of the process before
            arrival = self._uploads[folder] = Arrival((ALL,), folder.stat().st_mtime)
            files = (path for path in folder.rglob("*") if path.is_file())
            self._add(arrival, LEAST + sum(path.stat().st_size for path in files))

    def begin(self, visitor: str, address: str) -> Path:
        """Return the folder of a new upload of `visitor`; who isn't known is their `address`."""
        folder = own_folder() / secrets.token_hex(16)
        folder.mkdir(parents=True)
        arrival = Arrival((visitor, f"from {address}", ALL), self._clock())
        with self._lock:
            self._uploads[folder] = arrival
            self._add(arrival, LEAST)
        return folder

    def grow(self, folder: Path, more: int) -> None:
        """Count `more` bytes to an upload, before they are written.

        Raises:
            LimitError: If they are more than the visitor, their address or all may have.
        """
        with self._lock:
            arrival = self._uploads.get(folder)
            if arrival is None:
                raise LimitError("The upload took too long.", "Send it again, or less at once.")
            if self._exceeded(arrival, more):
                self._forget_gone()
            if exceeded := self._exceeded(arrival, more):
                whose, most = exceeded
                raise LimitError(
                    f"{whose} would have more than {most // 1_000_000:,} MB.",
                    "Wait until they are used or an hour old, or send less.",
                )
            self._add(arrival, more)

    def remove(self, folder: Path) -> None:
        """Remove an upload that came to nothing."""
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            self._forget(folder)

    def sweep(self) -> None:
        """Remove the uploads that are past their time."""
        with self._lock:
            self._forget_gone()
            late = self._clock() - SECONDS
            old = [folder for folder, each in self._uploads.items() if each.begun < late]
        for folder in old:
            self.remove(folder)

    def tend(self) -> None:
        """Sweep from time to time, for as long as the page is served."""
        while True:
            time.sleep(LOOK)
            self.sweep()

    def _add(self, arrival: Arrival, more: int) -> None:
        arrival.size += more
        for sender in arrival.senders:
            self._taken[sender] += more

    def _exceeded(self, arrival: Arrival, more: int) -> tuple[str, int] | None:
        """Return the quota that `more` bytes would exceed, if they would."""
        for sender, (whose, most) in zip(arrival.senders, self._most, strict=True):
            if most and self._taken[sender] + more > most:
                return whose, most
        return None

    def _forget(self, folder: Path) -> None:
        if arrival := self._uploads.pop(folder, None):
            self._add(arrival, -arrival.size)
            for sender in arrival.senders:
                if not self._taken[sender]:
                    del self._taken[sender]

    def _forget_gone(self) -> None:
        for folder in [each for each in self._uploads if not each.is_dir()]:
            self._forget(folder)


def upload_desk(studio: Studio) -> Middleware:
    """Return the desk of a studio's page, which looks after what was uploaded from then on."""
    quotas = Quotas(studio.limits)
    threading.Thread(target=quotas.tend, daemon=True).start()
    return Middleware(UploadDesk, quotas=quotas, proxies=studio.settings.proxies)


@dataclass(frozen=True, eq=False)
class UploadDesk:
    """Middleware that takes what visitors upload, in place of Gradio's own route.

    Attributes:
        app: The page's server.
        quotas: Count the uploads.
        proxies: How many proxies stand in front.
    """

    app: ASGIApp
    quotas: Quotas
    proxies: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take an upload, or pass the request on."""
        # A proxy may have left the root path before it.
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith(PATH):
            await (await self._take(Request(scope, receive)))(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _take(self, request: Request) -> Response:
        address = visitor_of(request.scope, self.proxies)
        visitor = token_in(request.headers.get("cookie", "")) or address
        upload_id = request.query_params.get("upload_id")
        folder = self.quotas.begin(visitor, address)
        files: list[str] = []
        try:
            counted = Request(request.scope, self._counted(request.receive, folder))
            progress = file_upload_statuses if upload_id else None
            files, _, _ = await upload_fn(
                counted, folder, MAX_UPLOAD, upload_id, upload_progress=progress
            )
        except (LimitError, MultiPartException, HTTPException, ClientDisconnect) as error:
            return _refused(error)
        except TypeError:
            pass  # Gradio's for a field of the files' name that is no file.
        except OSError as error:
            if error.errno != ENOSPC:
                raise
            return PlainTextResponse("The disk is full. Try again when there is room on it.", 507)
        finally:
            if not files:
                await run_in_threadpool(self.quotas.remove, folder)
                if upload_id:
                    file_upload_statuses.set_done(upload_id)
        return JSONResponse(files) if files else PlainTextResponse("No file came.", 400)

    def _counted(self, receive: Receive, folder: Path) -> Receive:
        """Return `receive` for an upload's request, which counts the bytes as they come."""
        come, looked = 0, 0

        async def counted() -> Message:
            nonlocal come, looked
            message = await receive()
            if more := len(message.get("body", b"")):
                come += more
                self.quotas.grow(folder, more)
                if come - looked > IN_MEMORY:
                    looked = come
                    written = await run_in_threadpool(_bytes_in, folder)
                    if come - written > 2 * IN_MEMORY:
                        raise MultiPartException(f"The form's fields exceed the {TOO_LARGE}.")
            return message

        return counted


def _refused(error: Exception) -> Response:
    """Return the answer to an upload that is refused, which the page shows as it comes."""
    match error:
        case LimitError():
            return PlainTextResponse(str(error), 413)
        case MultiPartException():
            return PlainTextResponse(error.message, 413 if TOO_LARGE in error.message else 400)
        case HTTPException():
            return PlainTextResponse(error.detail, error.status_code)
        case _:
            return PlainTextResponse("The upload was broken off.", 400)


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
