"""Pictures that somebody sends to train on, and how they are shown before."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from app.errors import UploadError
from app.service.sets.store import PictureSet, Upload
from app.ui.files import upload_folder
from app.ui.lab_messages import jpeg_uri
from app.ui.train_messages import ShownSet

COLUMNS: Final = 6
SIDE: Final = 48
MAX_SHOWN: Final = 120
MAX_SKIPPED: Final = 200


@dataclass(frozen=True)
class Brought:
    """What a page uploaded last.

    Attributes:
        uploads: The files, kept to be squared the other way.
        set_id: The set that they became.
        is_new: Whether its owner didn't have that set before.
    """

    uploads: tuple[Upload, ...] = ()
    set_id: str = ""
    is_new: bool = False

    @property
    def is_there(self) -> bool:
        """Whether there are files that can be squared again."""
        return bool(self.uploads) and all(upload.path.is_file() for upload in self.uploads)

    def discard(self) -> None:
        """Remove the files."""
        discard(self.uploads)


def given_files(paths: Sequence[str]) -> list[Upload]:
    """The files that a gr.File was given."""
    return [Upload(Path(path), Path(path).name) for path in paths]


def called_files(files: object) -> list[Upload]:
    """The files that a caller of the API uploaded: a path to anything else is refused.

    Raises:
        UploadError: If they aren't a list of uploaded files.
    """
    if not isinstance(files, list) or not files:
        raise UploadError("No file came.", "Send a list of uploaded files, as handle_file makes.")
    return [_called_file(file) for file in files]


def discard(uploads: Sequence[Upload]) -> None:
    """Remove uploads that nobody needs any more; nothing outside the upload folder."""
    for upload in uploads:
        if upload.path.resolve().is_relative_to(upload_folder()):
            upload.path.unlink(missing_ok=True)


def set_choices(found: Sequence[PictureSet]) -> list[tuple[str, str]]:
    """Sets of pictures to choose from."""
    return [(f"{title(each)}: {each.names[0]}, …", each.id) for each in found]


def title(found: PictureSet) -> str:
    """A set in a few words: "24 pictures, cropped"."""
    classes = f", {len(found.labels)} classes" if found.labels else ""
    fit = "cropped" if found.fit == "crop" else "squashed"
    return f"{len(found):,} pictures, {fit}{classes}"


def shown_set(found: PictureSet) -> ShownSet:
    """The set's first pictures on a sheet, and what was left out."""
    shown = len(found.files[:MAX_SHOWN])
    rows = -(-shown // COLUMNS)
    sheet = np.full((rows * SIDE, COLUMNS * SIDE, 3), 255, np.uint8)
    for i, path in enumerate(found.files[:MAX_SHOWN]):
        top, left = i // COLUMNS * SIDE, i % COLUMNS * SIDE
        with Image.open(path) as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet[top : top + SIDE, left : left + SIDE] = np.asarray(small)
    return ShownSet(
        words=title(found),
        sheet=jpeg_uri(sheet),
        columns=COLUMNS,
        names=found.names[:MAX_SHOWN],
        skipped=found.skipped[:MAX_SKIPPED],
    )


def _called_file(file: Any) -> Upload:
    path = file.get("path") if isinstance(file, dict) else None
    real = Path(path).resolve() if isinstance(path, str) else upload_folder()
    if not real.is_relative_to(upload_folder()) or not real.is_file():
        raise UploadError(
            "That is no uploaded file.", "Upload the pictures first, as handle_file does."
        )
    name = file.get("orig_name")
    return Upload(real, name if isinstance(name, str) and name else real.name)
