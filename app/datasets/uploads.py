"""The sets of pictures that were uploaded, each kept once, however many owners upload it.

DATA/sets/<sha256>/pictures/  the pictures, square, named by their contents
DATA/sets/<sha256>/labels.csv each picture's class, where there are classes
DATA/sets/<sha256>/set.json   what is the same for all holders of the set
DATA/sets/<sha256>/holders/   a file for each owner and each job that has the set: the names it
                              gives the pictures, what was left out and why
DATA/sets/<sha256>/titles/    the same names as a table, for the novelty index
"""

import csv
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from threading import BoundedSemaphore, Lock
from typing import Any, Final

from app.datasets.ingest import LABELS, PICTURES, RESULT, SECONDS, read_files
from app.errors import StudioError, UploadError
from app.files import read_json, remove, replace_file, replace_json, sweep, sync_below, sync_folder
from app.images.reading import FITS, Fit
from app.locks import locked
from app.owners import check_owner
from app.settings import Settings

HOLDERS: Final = "holders"
TITLES: Final = "titles"

MAX_UPLOAD: Final = 2_000_000_000
AT_ONCE: Final = 2
"""Uploads that are read at once."""

VISITOR_SECONDS: Final = 120
"""The processor time that reading an upload may take where others wait for theirs."""

PATIENCE: Final = 120
"""The seconds that an upload waits until it is read."""

NEW: Final = ".new-"
"""The prefix of the folders that uploads are read into."""


@dataclass(frozen=True)
class Upload:
    """A file that a person sent: its path on the server, and the person's name for it."""

    path: Path
    name: str


@dataclass(frozen=True)
class PictureSet:
    """A set of pictures to train on, as one of its holders sees it.

    Attributes:
        id: The hash of its content.
        folder: The folder that holds the set.
        fit: How its pictures were made square.
        labels: Its classes; empty if it has none.
        names: The holder's name for each picture.
        files: The file of each picture, in `folder`/pictures.
        skipped: The files left out of the holder's upload, each with the reason.
        bytes: The bytes that its pictures take on the disk.
        titles: The table of the holder's names for the pictures.
    """

    id: str
    folder: Path
    fit: Fit
    labels: tuple[str, ...]
    names: tuple[str, ...]
    files: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]
    bytes: int
    titles: Path

    def __len__(self) -> int:
        return len(self.files)

    @property
    def pictures(self) -> Path:
        """The folder of the pictures, to train on."""
        return self.folder / PICTURES

    @property
    def manifest(self) -> Path:
        """The table of classes; it exists if `labels` isn't empty."""
        return self.folder / LABELS


class Sets:
    """The sets in the data folder; an owner sees only the sets that they uploaded.

    An owner or a holder who isn't known is refused with a StudioError.
    """

    def __init__(self, settings: Settings) -> None:
        self._root = settings.data_dir / "sets"
        self._quota = settings.upload_quota_mb * 1_000_000
        self._is_open = not settings.single_user
        self._readers = BoundedSemaphore(AT_ONCE)
        self._waiting: set[str] = set()
        self._lock = Lock()

    def add(
        self, owner: str, uploads: Sequence[Upload], fit: Fit = "crop", *, labels: bool = False
    ) -> PictureSet:
        """Read pictures and zips, and keep them as a set of `owner`'s.

        With `labels` a zip's folders are classes; `fit` says how a picture becomes square.

        Raises:
            StudioError: If the upload is refused as a whole, or there is no room for it.
        """
        check_owner(owner)
        if fit not in FITS:
            raise UploadError(f"There is no way {fit!r} to square.", "Choose crop or squash.")
        if not uploads or sum(upload.path.stat().st_size for upload in uploads) > MAX_UPLOAD:
            raise UploadError(
                f"The upload is empty or has more than {MAX_UPLOAD // 1_000_000:,} MB.",
                "Send pictures, or a zip of pictures.",
            )
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=NEW, dir=self._root) as temporary:
                files = [(upload.path, upload.name) for upload in uploads]
                with self._turn(owner) as seconds:
                    fields = read_files(files, Path(temporary), fit, labels=labels, seconds=seconds)
                replace_json(Path(temporary, RESULT), _shared(fields))
                sync_below(Path(temporary))
                with locked(self._root / ".lock"):
                    self._sweep()
                    return self._keep(owner, Path(temporary), fields)
        except OSError as error:
            raise UploadError(
                f"The upload can't be kept: {error.strerror}.", "Make room on the disk."
            ) from error

    @contextmanager
    def _turn(self, owner: str) -> Iterator[int]:
        """Wait until an upload of `owner` may be read, and yield the seconds that this may take.

        Of a visitor among others one upload is read or waits at a time.
        """
        with self._lock:
            if self._is_open and owner in self._waiting:
                raise UploadError(
                    "Another upload of yours is being read.", "Send this one when it is done."
                )
            self._waiting.add(owner)
        try:
            if not self._readers.acquire(timeout=PATIENCE):
                raise UploadError("Others' uploads are being read.", "Try again in a minute.")
            try:
                yield VISITOR_SECONDS if self._is_open else SECONDS
            finally:
                self._readers.release()
        finally:
            self._waiting.discard(owner)

    def list(self, owner: str) -> tuple[PictureSet, ...]:
        """List the sets of `owner`, the last uploaded last, without damaged ones."""
        check_owner(owner)
        found = []
        for folder in self._folders():
            with suppress(FileNotFoundError):
                found.append((_marker(folder, owner).stat().st_mtime_ns, folder))
        sets = []
        for _, folder in sorted(found):
            with suppress(StudioError):  # A damaged set is mended by uploading it again.
                sets.append(_load(folder, owner))
        return tuple(sets)

    def show(self, owner: str, set_id: str) -> PictureSet:
        """Return the set `set_id` of `owner`.

        Raises:
            StudioError: If the owner has no set of that id.
        """
        for found in self.list(owner):
            if found.id == set_id:
                return found
        raise UploadError("There is no such set of pictures.", "Upload the pictures again.")

    def hold(self, found: PictureSet, holder: str) -> PictureSet:
        """Make `holder`, a job, a holder of the set `found`; return the set as the job sees it."""
        check_owner(holder)
        with locked(self._root / ".lock"):
            files = (path.name for path in found.files)
            names = dict(zip(files, found.names, strict=True))
            _write_names(found.folder, holder, names, found.skipped)
            return _load(found.folder, holder)

    def release(self, set_id: str, holder: str) -> None:
        """Remove `holder` from the holders of a set, and the set with its last holder."""
        check_owner(holder)
        with locked(self._root / ".lock"):
            for folder in self._folders():
                if folder.name == set_id:
                    _release(folder, holder)

    def release_all(self, holder: str) -> None:
        """Remove `holder`, a job, from the holders of every set that it has."""
        if self._root.is_dir():
            with locked(self._root / ".lock"):
                for folder in self._folders():
                    _release(folder, holder)

    def _keep(self, owner: str, new: Path, fields: dict[str, Any]) -> PictureSet:
        folder, names, skipped = self._root / fields["id"], _names(fields), fields["skipped"]
        if not folder.is_dir():
            taken = sum(_bytes(other) for other in self._folders())
            if taken + fields["bytes"] > self._quota:
                raise UploadError(
                    "There is no room for more pictures.",
                    "Delete sets that aren't needed, or raise PLEIN_AIR_UPLOAD_QUOTA_MB.",
                )
            _write_names(new, owner, names, skipped)
            os.rename(new, folder)
            sync_folder(self._root)
            new.mkdir()  # the context that made it expects to find it
        else:
            if not _bytes(folder):
                _mend(folder, new)
            _write_names(folder, owner, names, skipped)
        return _load(folder, owner)

    def _sweep(self) -> None:
        """Remove what killed processes left: half-read uploads, half-removed sets."""
        sweep(self._root)
        for folder in self._root.glob(f"{NEW}*"):
            with suppress(FileNotFoundError):  # Another upload has just ended.
                if time.time() - folder.stat().st_mtime > 2 * SECONDS:
                    remove(folder)
        for folder in self._folders():
            _release(folder, "")

    def _folders(self) -> Iterator[Path]:
        if self._root.is_dir():
            for folder in sorted(self._root.iterdir()):
                if folder.is_dir() and not folder.name.startswith("."):
                    yield folder


def _shared(fields: dict[str, Any]) -> dict[str, Any]:
    """Pick the fields of an upload that are the same for all who upload the same pictures."""
    pictures = [{"file": p["file"], "label": p["label"]} for p in fields["pictures"]]
    return {name: fields[name] for name in ("id", "fit", "labels", "bytes")} | {
        "pictures": pictures
    }


def _release(folder: Path, holder: str) -> None:
    """Take the set from `holder`, and remove the set if it has no holder any more."""
    for path in (_marker(folder, holder), _titles(folder, holder)):
        path.unlink(missing_ok=True)
    if not any((folder / HOLDERS).glob("*")):
        remove(folder)


def _marker(folder: Path, holder: str) -> Path:
    """Return the path of the file that exists as long as `holder` has the set in `folder`."""
    return folder / HOLDERS / hashlib.sha256(holder.encode()).hexdigest()


def _titles(folder: Path, holder: str) -> Path:
    """Return the path of the table of the names that `holder` gives the set in `folder`."""
    return folder / TITLES / f"{_marker(folder, holder).name}.csv"


def _names(fields: dict[str, Any]) -> dict[str, str]:
    """Take the name of each picture, by its file, from the fields that reading an upload gave."""
    return {p["file"]: p.get("name", p["file"]) for p in fields["pictures"]}


def _read_names(folder: Path, holder: str) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """Read the names that `holder` gives the pictures, by their files, and what was left out."""
    path = _marker(folder, holder)
    # The marker is empty in a set from before each holder had its own names.
    fields = read_json(path if path.stat().st_size else folder / RESULT)
    names = fields["names"] if "names" in fields else _names(fields)
    return names, tuple((name, why) for name, why in fields.get("skipped", ()))


def _write_names(
    folder: Path, holder: str, names: dict[str, str], skipped: Sequence[tuple[str, str]]
) -> None:
    """Make `holder` a holder of the set in `folder`, with these names."""
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(("file", "artist", "title"))
    rows.writerows((file, "", PurePath(name).stem) for file, name in names.items())
    for place in (HOLDERS, TITLES):
        (folder / place).mkdir(exist_ok=True)
    replace_file(_titles(folder, holder), table.getvalue().encode())
    replace_json(_marker(folder, holder), {"names": names, "skipped": skipped})


def _bytes(folder: Path) -> int:
    """Read the bytes that a set takes on the disk from its set.json; 0 if it is damaged."""
    try:
        return int(read_json(folder / RESULT)["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _mend(folder: Path, new: Path) -> None:
    """Give a damaged set the files of a whole one; its holders keep it."""
    (folder / PICTURES).mkdir(exist_ok=True)
    for path in (new / PICTURES, new):
        for file in path.iterdir():
            if file.is_file():
                os.replace(file, folder / file.relative_to(new))
    sync_below(folder)


def _load(folder: Path, holder: str) -> PictureSet:
    try:
        fields = read_json(folder / RESULT)
        files = [picture["file"] for picture in fields["pictures"]]
        names, skipped = _read_names(folder, holder)
        titles = _titles(folder, holder)
        return PictureSet(
            id=fields["id"],
            folder=folder,
            fit=fields["fit"],
            labels=tuple(fields["labels"]),
            names=tuple(names[file] for file in files),
            files=tuple(folder / PICTURES / file for file in files),
            skipped=skipped,
            bytes=fields["bytes"],
            titles=titles if titles.is_file() else folder / f"{TITLES}.csv",
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudioError(
            f"The set of pictures {folder.name} is damaged.", "Delete its folder and upload again."
        ) from error
