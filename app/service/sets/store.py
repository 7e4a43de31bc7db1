"""The sets of pictures that were uploaded, each once, whoever brings it.

DATA/sets/<sha256>/pictures/  the pictures, square, named by their contents
DATA/sets/<sha256>/labels.csv each picture's class, where there are classes
DATA/sets/<sha256>/set.json   what is the same for all who have it
DATA/sets/<sha256>/holders/   a file for each owner and each job that has the set, with their
DATA/sets/<sha256>/titles/    names of the pictures
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import StudioError, UploadError
from app.service.owners import check_owner
from app.service.sets.ingest import LABELS, PICTURES, RESULT, SECONDS
from app.service.sets.names import HOLDERS, Names, forget, marker, titles
from app.service.sets.reader import read_files
from app.service.uploads import FITS, Fit
from app.settings import Settings
from app.training.files import read_json, remove, replace_json, sweep, sync_below, sync_folder

MAX_UPLOAD: Final = 2_000_000_000
NEW: Final = ".new-"
"""How the names of folders begin that uploads are read into."""


@dataclass(frozen=True)
class Upload:
    """A file that a person sent: where the server put it, and what they call it."""

    path: Path
    name: str


@dataclass(frozen=True)
class PictureSet:
    """A set of pictures to train on, as one of those who have it sees it.

    Attributes:
        id: The hash of its content.
        folder: Where it is kept.
        fit: How its pictures were made square.
        labels: Its classes; empty without.
        names: Their name of each picture.
        files: The file of each, in `folder`/pictures.
        skipped: What was left out of what they brought, and why.
        bytes: What its pictures take on the disk.
        titles: The table of what they call each picture.
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
        """The folder to train on."""
        return self.folder / PICTURES

    @property
    def manifest(self) -> Path:
        """The table of classes; there where `labels` aren't empty."""
        return self.folder / LABELS


class Sets:
    """The sets in the data folder; an owner sees those that they brought."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.data_dir / "sets"
        self._quota = settings.upload_quota_mb * 1_000_000

    def add(
        self, owner: str, uploads: Sequence[Upload], fit: Fit = "crop", *, labels: bool = False
    ) -> PictureSet:
        """Read pictures and zips, and keep them as `owner`'s.

        Args:
            owner: Who brings them.
            uploads: The files.
            fit: How a picture becomes square.
            labels: Whether a zip's folders are classes.

        Raises:
            StudioError: If the owner isn't known, the upload is refused as a whole, or there is no
                room for it.
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
                fields = read_files(files, Path(temporary), fit, labels=labels)
                replace_json(Path(temporary, RESULT), _shared(fields))
                sync_below(Path(temporary))
                with self._locked():
                    self._sweep()
                    return self._keep(owner, Path(temporary), fields)
        except OSError as error:
            raise UploadError(
                f"The upload can't be kept: {error.strerror}.", "Make room on the disk."
            ) from error

    def list(self, owner: str) -> tuple[PictureSet, ...]:
        """The sets of `owner`, the last uploaded last; a damaged one is left out.

        Raises:
            StudioError: If the owner isn't known.
        """
        check_owner(owner)
        found = []
        for folder in self._folders():
            with suppress(FileNotFoundError):
                found.append((marker(folder, owner).stat().st_mtime_ns, folder))
        sets = []
        for _, folder in sorted(found):
            with suppress(StudioError):  # One that is damaged is mended by uploading it again.
                sets.append(_load(folder, owner))
        return tuple(sets)

    def show(self, owner: str, set_id: str) -> PictureSet:
        """The set `set_id` of `owner`.

        Raises:
            StudioError: If the owner isn't known, or has none of that id.
        """
        for found in self.list(owner):
            if found.id == set_id:
                return found
        raise UploadError("There is no such set of pictures.", "Upload the pictures again.")

    def hold(self, found: PictureSet, holder: str) -> PictureSet:
        """The set as `holder`, a job, has it from now on, with the names that it has in `found`.

        Raises:
            StudioError: If the holder isn't known.
        """
        check_owner(holder)
        with self._locked():
            files = (path.name for path in found.files)
            names = Names(dict(zip(files, found.names, strict=True)), found.skipped)
            names.write(found.folder, holder)
            return _load(found.folder, holder)

    def release(self, set_id: str, holder: str) -> None:
        """Let go of a set; the last to do so removes it.

        Raises:
            StudioError: If the holder isn't known.
        """
        check_owner(holder)
        with self._locked():
            for folder in self._folders():
                if folder.name == set_id:
                    _release(folder, holder)

    def release_all(self, holder: str) -> None:
        """Let go of whatever set `holder`, a job, has."""
        if self._root.is_dir():
            with self._locked():
                for folder in self._folders():
                    _release(folder, holder)

    def _keep(self, owner: str, new: Path, fields: dict[str, Any]) -> PictureSet:
        folder, names = self._root / fields["id"], Names.of(fields)
        if not folder.is_dir():
            taken = sum(_bytes(other) for other in self._folders())
            if taken + fields["bytes"] > self._quota:
                raise UploadError(
                    "There is no room for more pictures.",
                    "Delete sets that aren't needed, or raise PLEIN_AIR_UPLOAD_QUOTA_MB.",
                )
            names.write(new, owner)
            os.rename(new, folder)
            sync_folder(self._root)
            new.mkdir()  # the context that made it expects to find it
        else:
            if not _bytes(folder):
                _mend(folder, new)
            names.write(folder, owner)
        return _load(folder, owner)

    def _sweep(self) -> None:
        """Remove what killed processes left: uploads half read, sets half removed."""
        sweep(self._root)
        for folder in self._root.glob(f"{NEW}*"):
            with suppress(FileNotFoundError):  # Another upload that has just ended.
                if time.time() - folder.stat().st_mtime > 2 * SECONDS:
                    remove(folder)
        for folder in self._folders():
            _release(folder, "")

    def _folders(self) -> Iterator[Path]:
        if self._root.is_dir():
            for folder in sorted(self._root.iterdir()):
                if folder.is_dir() and not folder.name.startswith("."):
                    yield folder

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _shared(fields: dict[str, Any]) -> dict[str, Any]:
    """What of an upload is the same for all who bring the same pictures."""
    pictures = [{"file": p["file"], "label": p["label"]} for p in fields["pictures"]]
    return {name: fields[name] for name in ("id", "fit", "labels", "bytes")} | {
        "pictures": pictures
    }


def _release(folder: Path, holder: str) -> None:
    """Take the set from `holder`, and remove it if nobody has it any more."""
    forget(folder, holder)
    if not any((folder / HOLDERS).glob("*")):
        remove(folder)


def _bytes(folder: Path) -> int:
    """What a set takes on the disk, as it says itself; 0 if it is damaged."""
    try:
        return int(read_json(folder / RESULT)["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _mend(folder: Path, new: Path) -> None:
    """Give a damaged set the files of a whole one, and leave it to those who have it."""
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
        names = Names.read(folder, holder)
        return PictureSet(
            id=fields["id"],
            folder=folder,
            fit=fields["fit"],
            labels=tuple(fields["labels"]),
            names=tuple(names.by_file[file] for file in files),
            files=tuple(folder / PICTURES / file for file in files),
            skipped=names.skipped,
            bytes=fields["bytes"],
            titles=titles(folder, holder),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudioError(
            f"The set of pictures {folder.name} is damaged.", "Delete its folder and upload again."
        ) from error
