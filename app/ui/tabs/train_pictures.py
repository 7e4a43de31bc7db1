"""Train's pictures: uploaded, squared, shown before they are used, found again later."""

from collections.abc import Sequence
from typing import Any, Final

import gradio as gr

from app.service.sets.store import PictureSet, Upload
from app.service.studio import Studio
from app.service.uploads import Fit
from app.ui.faults import said
from app.ui.instrument import LabInstrument
from app.ui.messages import Message
from app.ui.owner import owner_of
from app.ui.tabs.lab_parts import light, quiet
from app.ui.train_messages import ShownSet
from app.ui.uploads import discard, given_files, set_choices, shown_set

TAB: Final = "train"

UPLOADING: Final[dict[str, Any]] = {"concurrency_id": "upload", "concurrency_limit": 2}
"""Reading an upload takes a process of its own; more than two at once help nobody."""


class PictureDesk:
    """The controls and what becomes of an upload; `chosen` holds the id of the set."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._sets = studio.workshop.sets
        self.files = gr.File(
            label="pictures, or a zip of them",
            file_count="multiple",
            file_types=["image", ".zip"],
            height=112,
            elem_classes="studio-drop-zone train-drop",
        )
        self.fit = gr.Radio(
            ["crop", "squash"],
            value="crop",
            label="how a picture becomes a square",
            show_label=False,
            elem_classes="studio-segments",
        )
        self.shelf = LabInstrument(
            "trainSet", ShownSet(), tab=TAB, label="the pictures to train on"
        )
        self.chosen = gr.Dropdown([], label="uploaded before", visible=False)
        self._uploads: gr.State = gr.State([], delete_callback=discard)

    def wire(self, labels: gr.Checkbox) -> None:
        """Deal with what is uploaded and chosen; `labels` says whether folders are classes."""
        outputs = [self.files, self._uploads, self.chosen]
        how = quiet() | UPLOADING | {"show_progress": "minimal", "show_progress_on": self.files}
        inputs = [self.files, self.fit, labels, self._uploads]
        uploading = self.files.upload(said(self._add), inputs, outputs, **how)
        # What was refused makes room for the next.
        uploading.failure(lambda: None, None, self.files, **light())
        for control in (self.fit, labels):
            inputs = [self.chosen, self.fit, labels, self._uploads]
            control.input(said(self._again), inputs, outputs, **how)
        self.chosen.change(said(self._show), self.chosen, self.shelf, **light())
        self.shelf.select(said(self._forget), [self.chosen, self._uploads], outputs, **light())

    def opened(self, chosen: str | None, request: gr.Request) -> Any:
        """What `chosen` becomes when the tab is opened: one of the person's sets."""
        owner = self._owner(request)
        found = self._sets.list(owner) if owner else ()  # who isn't known may look around
        kept = chosen if any(each.id == chosen for each in found) else None
        return _choices(found, kept or (found[-1].id if found else None))

    def count(self, chosen: str | None, request: gr.Request) -> int:
        """The pictures of a set of the person's; 0 where none is chosen."""
        return len(self._sets.show(self._owner(request), chosen)) if chosen else 0

    def _add(
        self,
        paths: Sequence[str] | None,
        fit: Fit,
        labels: bool,
        before: list[Upload],
        request: gr.Request,
    ) -> list[Any]:
        uploads = given_files(paths or ())
        discard([upload for upload in before if upload not in uploads])
        try:
            added = self._sets.add(self._owner(request), uploads, fit, labels=labels)
        except Exception:
            discard(uploads)
            raise
        return [None, uploads, _choices(self._sets.list(self._owner(request)), added.id)]

    def _again(
        self,
        chosen: str | None,
        fit: Fit,
        labels: bool,
        uploads: list[Upload],
        request: gr.Request,
    ) -> list[Any]:
        """Square the last upload the other way; an earlier one stays as it was brought."""
        if not uploads or not all(upload.path.is_file() for upload in uploads):
            return [gr.skip()] * 3
        owner = self._owner(request)
        added = self._sets.add(owner, uploads, fit, labels=labels)
        if chosen and chosen != added.id:
            self._sets.release(chosen, owner)
        return [gr.skip(), uploads, _choices(self._sets.list(owner), added.id)]

    def _show(self, chosen: str | None, request: gr.Request) -> Message:
        if not chosen:
            return ShownSet()
        return shown_set(self._sets.show(self._owner(request), chosen))

    def _forget(self, chosen: str | None, uploads: list[Upload], request: gr.Request) -> list[Any]:
        owner = self._owner(request)
        if chosen:
            self._sets.release(chosen, owner)
        discard(uploads)
        found = self._sets.list(owner)
        return [None, [], _choices(found, found[-1].id if found else None)]

    def _owner(self, request: gr.Request) -> str:
        return owner_of(self._studio.settings, request)


def _choices(found: Sequence[PictureSet], chosen: str | None) -> Any:
    return gr.update(choices=set_choices(found), value=chosen, visible=len(found) > 1)
