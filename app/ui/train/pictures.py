"""Train's pictures: uploaded, squared, shown before they are used, found again later."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gradio as gr
import numpy as np

from app.datasets.uploads import PictureSet, Upload
from app.errors import UploadError
from app.images.encoding import jpeg_uri
from app.images.reading import Fit, own_picture, square
from app.images.sheets import tiled
from app.studio import Studio
from app.ui.components.instrument import LabComponent
from app.ui.components.layout import fit_control, light, quiet
from app.ui.components.messages import Message
from app.ui.components.upload import DropZone
from app.ui.endpoints.files import uploaded
from app.ui.errors import errors_to_page
from app.ui.middleware import owner_of
from app.ui.train.messages import ShownSet
from app.ui.uploads import discard

COLUMNS: Final = 6
SIDE: Final = 48
MAX_SHOWN: Final = 120
MAX_SKIPPED: Final = 200


@dataclass(frozen=True)
class Brought:
    """A page's last upload.

    Attributes:
        uploads: The files, kept to be squared the other way.
        set_id: The set that the files became.
        is_new: Whether its owner didn't have that set before.
    """

    uploads: tuple[Upload, ...] = ()
    set_id: str = ""
    is_new: bool = False

    @property
    def is_there(self) -> bool:
        """Tell whether the files are still there, to be squared again."""
        return bool(self.uploads) and all(upload.path.is_file() for upload in self.uploads)


def called_files(files: object) -> list[Upload]:
    """Return the files that a caller of the API uploaded; a path to anything else is refused.

    Raises:
        UploadError: If `files` isn't a list of uploaded files.
    """
    if not isinstance(files, list) or not files:
        raise UploadError("No file came.", "Send a list of uploaded files, as handle_file makes.")
    return [_called_file(file) for file in files]


def discard_all(uploads: Sequence[Upload]) -> None:
    """Remove uploads that nobody needs any more."""
    for upload in uploads:
        discard(upload.path)


def title(found: PictureSet) -> str:
    """Describe a set in a few words: "24 pictures, cropped"."""
    classes = f", {len(found.labels)} classes" if found.labels else ""
    fit = "cropped" if found.fit == "crop" else "squashed"
    return f"{len(found):,} pictures, {fit}{classes}"


def shown_set(found: PictureSet) -> ShownSet:
    """Show the set's first pictures on a sheet, and what was left out."""
    small = [
        np.asarray(square(own_picture(path), SIDE, "squash")) for path in found.files[:MAX_SHOWN]
    ]
    return ShownSet(
        words=title(found),
        sheet=jpeg_uri(tiled(np.stack(small), COLUMNS)),
        columns=COLUMNS,
        names=found.names[:MAX_SHOWN],
        skipped=found.skipped[:MAX_SKIPPED],
    )


def _called_file(file: Any) -> Upload:
    real = uploaded(file)
    name = file.get("orig_name")
    return Upload(real, name if isinstance(name, str) and name else real.name)


TAB: Final = "train"

UPLOADING: Final[dict[str, Any]] = {"concurrency_id": "upload", "concurrency_limit": 2}
"""Reading an upload takes a process of its own; more than two at once help nobody."""


class PictureDesk:
    """The controls of a person's pictures, and their events; `chosen` holds the id of the set."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._sets = studio.workshop.sets
        self.files = DropZone(
            label="pictures, or a zip of them",
            file_count="multiple",
            file_types=["image", ".zip"],
            height=112,
            elem_classes="studio-drop-zone train-drop",
        )
        self.fit = fit_control("how a picture becomes a square")
        self.shelf = LabComponent("trainSet", ShownSet(), tab=TAB, label="the pictures to train on")
        self.chosen = gr.Dropdown([], label="uploaded before", visible=False)
        self._brought: gr.State = gr.State(
            Brought(), delete_callback=lambda it: discard_all(it.uploads)
        )

    def wire(self, labels: gr.Checkbox) -> None:
        """Wire uploads and choices; `labels` says whether folders are classes."""
        outputs = [self.files, self._brought, self.chosen]
        how = quiet() | UPLOADING | {"show_progress": "minimal", "show_progress_on": self.files}
        inputs = [self.files, self.fit, labels, self._brought]
        uploading = self.files.upload(errors_to_page(self._add), inputs, outputs, **how)
        # A refused upload makes room for the next.
        uploading.failure(lambda: None, None, self.files, **light())
        for control in (self.fit, labels):
            inputs = [self.chosen, self.fit, labels, self._brought]
            control.input(errors_to_page(self._again), inputs, outputs, **how)
        self.chosen.change(errors_to_page(self._show), self.chosen, self.shelf, **light())
        self.shelf.select(
            errors_to_page(self._forget), [self.chosen, self._brought], outputs, **light()
        )

    def opened(self, chosen: str | None, request: gr.Request) -> Any:
        """Update `chosen` when the tab is opened: to one of the person's sets."""
        owner = self._owner(request)
        found = self._sets.list(owner) if owner else ()  # unknown visitors may look around
        kept = chosen if any(each.id == chosen for each in found) else None
        return _choices(found, kept or (found[-1].id if found else None))

    def count(self, chosen: str | None, request: gr.Request) -> int:
        """Count the pictures in a set of the person's; 0 where none is chosen."""
        return len(self._sets.show(self._owner(request), chosen)) if chosen else 0

    def _add(
        self,
        paths: Sequence[Path],
        fit: Fit,
        labels: bool,
        before: Brought,
        request: gr.Request,
    ) -> list[Any]:
        uploads, owner = [Upload(path, path.name) for path in paths], self._owner(request)
        discard_all([upload for upload in before.uploads if upload not in uploads])
        try:
            brought = self._squared(owner, uploads, fit, labels)
        except Exception:
            discard_all(uploads)
            raise
        return [None, brought, _choices(self._sets.list(owner), brought.set_id)]

    def _again(
        self, chosen: str | None, fit: Fit, labels: bool, brought: Brought, request: gr.Request
    ) -> list[Any]:
        """Square the last upload the other way; an earlier one stays as it was brought."""
        if chosen != brought.set_id or not brought.is_there:
            return [gr.skip()] * 3
        owner = self._owner(request)
        again = self._squared(owner, brought.uploads, fit, labels)
        if again.set_id == brought.set_id:
            return [gr.skip()] * 3
        if brought.is_new:
            self._sets.release(brought.set_id, owner)
        return [gr.skip(), again, _choices(self._sets.list(owner), again.set_id)]

    def _squared(self, owner: str, uploads: Sequence[Upload], fit: Fit, labels: bool) -> Brought:
        known = {each.id for each in self._sets.list(owner)}
        added = self._sets.add(owner, uploads, fit, labels=labels)
        return Brought(tuple(uploads), added.id, added.id not in known)

    def _show(self, chosen: str | None, request: gr.Request) -> Message:
        if not chosen:
            return ShownSet()
        return shown_set(self._sets.show(self._owner(request), chosen))

    def _forget(self, chosen: str | None, brought: Brought, request: gr.Request) -> list[Any]:
        owner = self._owner(request)
        if chosen:
            self._sets.release(chosen, owner)
        if chosen == brought.set_id:
            discard_all(brought.uploads)
            brought = Brought()
        found = self._sets.list(owner)
        return [None, brought, _choices(found, found[-1].id if found else None)]

    def _owner(self, request: gr.Request) -> str:
        return owner_of(self._studio.settings, request)


def _choices(found: Sequence[PictureSet], chosen: str | None) -> Any:
    choices = [(f"{title(each)}: {each.names[0]}, …", each.id) for each in found]
    return gr.update(choices=choices, value=chosen, visible=len(found) > 1)
