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
from app.ui.uploads import Brought, discard, given_files, set_choices, shown_set

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
        self._brought: gr.State = gr.State(Brought(), delete_callback=Brought.discard)

    def wire(self, labels: gr.Checkbox) -> None:
        """Deal with what is uploaded and chosen; `labels` says whether folders are classes."""
        outputs = [self.files, self._brought, self.chosen]
        how = quiet() | UPLOADING | {"show_progress": "minimal", "show_progress_on": self.files}
        inputs = [self.files, self.fit, labels, self._brought]
        uploading = self.files.upload(said(self._add), inputs, outputs, **how)
        # What was refused makes room for the next.
        uploading.failure(lambda: None, None, self.files, **light())
        for control in (self.fit, labels):
            inputs = [self.chosen, self.fit, labels, self._brought]
            control.input(said(self._again), inputs, outputs, **how)
        self.chosen.change(said(self._show), self.chosen, self.shelf, **light())
        self.shelf.select(said(self._forget), [self.chosen, self._brought], outputs, **light())

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
        before: Brought,
        request: gr.Request,
    ) -> list[Any]:
        uploads, owner = given_files(paths or ()), self._owner(request)
        discard([upload for upload in before.uploads if upload not in uploads])
        try:
            brought = self._squared(owner, uploads, fit, labels)
        except Exception:
            discard(uploads)
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
            brought.discard()
            brought = Brought()
        found = self._sets.list(owner)
        return [None, brought, _choices(found, found[-1].id if found else None)]

    def _owner(self, request: gr.Request) -> str:
        return owner_of(self._studio.settings, request)


def _choices(found: Sequence[PictureSet], chosen: str | None) -> Any:
    return gr.update(choices=set_choices(found), value=chosen, visible=len(found) > 1)
