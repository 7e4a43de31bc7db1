"""The reader of an upload to train on, in a process of its own with little memory and little time.

`read_files` starts that process. It tells each file's name before it reads the file, so that the
last one is known if it ends.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any, Final

from app.confined import BrokenProcessError, ConfinedProcess, ExhaustedError, Tell, serve
from app.datasets.archives import Allowance, ArchiveEntry, is_zip, read_zip
from app.errors import PictureError, UploadError
from app.images.reading import MAX_BYTES, Fit, read_picture, square

MIN_PICTURES: Final = 4
MAX_PICTURES: Final = 5_000
MAX_SIDE: Final = 256
"""The side in pixels at which pictures are kept; a smaller picture keeps its own."""

MIN_SIDE: Final = 16
MAX_NAME: Final = 200
"""Letters kept of a picture's name, its folders included; of a longer name the last ones."""

MAX_SKIPPED: Final = 500
"""Left-out files that are named; any more are only counted."""

MAX_KINDS: Final = 5
"""Kinds of a zip's other files that are told apart; all others are counted together."""

MEMORY: Final = 3 << 29
SECONDS: Final = 1_800
"""How long an upload may be read, by the clock and by the processor."""

MAX_ANSWER: Final = 16_000_000
"""The bytes of JSON that a set of MAX_PICTURES is described in take half of this."""

PICTURES: Final = "pictures"
LABELS: Final = "labels.csv"
RESULT: Final = "set.json"


@dataclass(frozen=True)
class Kept:
    """A picture of the set: its file there, the person's name for it, its class or ""."""

    file: str
    name: str
    label: str


@dataclass
class Reading:
    """The pictures read so far, and those left out.

    Attributes:
        out: The folder of the result.
        tell: Called with each file's name before the file is read.
        fit: How a picture becomes square.
        labels: Whether a zip's folders are classes.
        kept: The pictures, by the hash of their contents.
        skipped: The files left out, each with the reason.
        unnamed: How many more were left out.
        foreign: How many files of the zips begin as no picture does, by the ending of their names.
    """

    out: Path
    tell: Tell
    fit: Fit
    labels: bool
    kept: dict[str, Kept] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unnamed: int = 0
    foreign: Counter[str] = field(default_factory=Counter)

    def add(self, entry: ArchiveEntry) -> None:
        """Keep a picture, or note why the picture is left out.

        Raises:
            UploadError: If there are too many pictures.
        """
        name = shortened(entry.name)
        self.tell(name)
        if entry.is_foreign:
            self.foreign[PurePath(name).suffix.lower()[:12] or "without an ending"] += 1
            return
        if entry.data is None:
            self.skip(name, "it is damaged")
            return
        digest = hashlib.sha256(entry.data).hexdigest()
        if digest in self.kept:
            self.skip(name, f"it is the same as {self.kept[digest].name}")
            return
        if len(self.kept) == MAX_PICTURES:
            raise UploadError(
                f"There are more than {MAX_PICTURES:,} pictures.", "Leave some of them out."
            )
        try:
            image = read_picture(entry.data)
            if min(image.size) < MIN_SIDE:
                raise PictureError(f"It has fewer than {MIN_SIDE} pixels a side.", "")
        except PictureError as error:
            self.skip(name, error.message[0].lower() + error.message[1:-1])
            return
        small = square(image, min(MAX_SIDE, *image.size), self.fit)
        file = f"{digest[:32]}.png"
        small.save(self.out / PICTURES / file)
        label = entry.folder if self.labels else ""
        self.kept[digest] = Kept(file, name, label)

    def skip(self, name: str, why: str) -> None:
        """Leave a file out, and note why."""
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append((name, why))
        else:
            self.unnamed += 1

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """The files left out, each with the reason; the last entry counts those not named.

        The first counts a zip's files that are no pictures, by their kinds.
        """
        others = self.foreign.total()
        most = self.foreign.most_common(MAX_KINDS)
        kinds = [f"{count:,} {kind}" for kind, count in most]
        if rest := others - sum(count for _, count in most):
            kinds.append(f"{rest:,} others")
        reason = f"no picture that can be read ({', '.join(kinds)})"
        told = "1 file in a zip" if others == 1 else f"{others:,} files in zips"
        first = [(told, reason)] if others else []
        last = [(f"{self.unnamed:,} more", "for reasons like these")] if self.unnamed else []
        return [*first, *self.skipped, *last]

    @property
    def content_hash(self) -> str:
        """A hash of the pictures, their treatment and their labels, whatever the order."""
        content = sorted((digest, kept.label) for digest, kept in self.kept.items())
        return hashlib.sha256(json.dumps([self.fit, content]).encode()).hexdigest()


def read(files: Sequence[tuple[str, str]], reading: Reading) -> dict[str, object]:
    """Read `files`, each a path and the person's name for it; return the fields of set.json.

    Raises:
        UploadError: If the upload is refused as a whole.
    """
    (reading.out / PICTURES).mkdir()
    for entry in _entries(files):
        reading.add(entry)
    if len(reading.kept) < MIN_PICTURES:
        why = "; ".join(f"{name}: {reason}" for name, reason in reading.left_out[:3])
        raise UploadError(
            f"Only {len(reading.kept)} pictures can be used; {why or 'no more came'}.",
            f"A training needs at least {MIN_PICTURES}.",
        )
    kept = sorted(reading.kept.values(), key=lambda picture: picture.file)
    if reading.labels:
        with (reading.out / LABELS).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("file", "label"))
            table.writerows((picture.file, picture.label) for picture in kept)
    return {
        "id": reading.content_hash,
        "fit": reading.fit,
        "labels": sorted({picture.label for picture in kept}) if reading.labels else [],
        "bytes": sum(path.stat().st_size for path in (reading.out / PICTURES).iterdir()),
        "pictures": [asdict(picture) for picture in kept],
        "skipped": reading.left_out,
    }


def shortened(name: str) -> str:
    """Shorten a name to MAX_NAME letters, keeping the end, where the file's own name is."""
    return name if len(name) <= MAX_NAME else "…" + name[1 - MAX_NAME :]


def _entries(files: Sequence[tuple[str, str]]) -> Iterator[ArchiveEntry]:
    allowance = Allowance()
    for path, name in files:
        with Path(path).open("rb") as file:
            head = file.read(MAX_BYTES + 1)
            if is_zip(head):
                yield from read_zip(file, allowance)
            else:
                yield ArchiveEntry(name, "", head)


READER: Final = ("-m", "app.datasets.ingest")


def read_files(
    files: Sequence[tuple[Path, str]],
    out: Path,
    fit: Fit,
    *,
    labels: bool,
    seconds: int = SECONDS,
) -> dict[str, Any]:
    """Read files into the empty folder `out`, in a process of their own.

    Each file comes with the name that the person gave it; with `labels` a zip's folders are
    classes. The result is the fields of set.json, as `read` makes them.

    Args:
        files: The files, each with its name.
        out: The folder.
        fit: How a picture becomes square.
        labels: Whether a zip's folders are classes.
        seconds: The processor time that it may take.

    Raises:
        UploadError: If the files are refused as a whole, or reading them fails.
        OSError: If they can't be read from the disk or written to it.
    """
    request = {
        "files": [(str(path.absolute()), name) for path, name in files],
        "out": str(out.absolute()),
        "fit": fit,
        "labels": labels,
    }
    told = [files[0][1]]
    process = ConfinedProcess(READER, MEMORY, UploadError)
    try:
        fields: dict[str, Any]
        fields, _ = process.ask(
            request, seconds=seconds, patience=SECONDS, largest=MAX_ANSWER, heard=told.append
        )
    except ExhaustedError as error:
        raise UploadError(
            f"The upload is refused: reading {told[-1]!r} took too much memory or time.",
            "Leave that file out.",
        ) from error
    except BrokenProcessError as error:
        raise UploadError(
            f"The upload could not be read to its end, which was at {told[-1]!r}.",
            "Try again without that file; the server's log says what happened.",
        ) from error
    finally:
        process.close()
    return fields


def _work(
    request: Any,  # noqa: ANN401 - JSON
    _: bytes,
    tell: Tell,
) -> tuple[dict[str, object], bytes]:
    """Read an upload in the process of its own."""
    reading = Reading(Path(request["out"]), tell, request["fit"], request["labels"])
    return read(request["files"], reading), b""


def main() -> None:
    """Be the reader's process."""
    serve(_work, UploadError)


if __name__ == "__main__":
    main()
