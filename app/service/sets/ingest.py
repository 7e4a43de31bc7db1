"""Reading an upload in a process of its own, with little memory and little time.

A picture made to harm its reader can then end this process, and nothing else. The request comes
as JSON on stdin; before each file its name goes to stdout, so that the last one is known.
"""

import csv
import hashlib
import json
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from app.errors import PictureError, UploadError
from app.service.sets.archives import Allowance, Entry, is_zip, read_zip
from app.service.uploads import MAX_BYTES, Fit, read_picture, square

MIN_PICTURES: Final = 4
MAX_PICTURES: Final = 5_000
MAX_SIDE: Final = 256
"""Pictures are kept at this side; a smaller one at its own."""

MIN_SIDE: Final = 16
MAX_NAME: Final = 200
"""Letters that are kept of what a person calls a picture, its folders with it: the last."""

MAX_SKIPPED: Final = 500
"""Files that are named as left out; more are counted."""

MEMORY: Final = 3 << 30
SECONDS: Final = 1_800
PICTURES: Final = "pictures"
LABELS: Final = "labels.csv"
RESULT: Final = "set.json"


@dataclass(frozen=True)
class Request:
    """What is to be read, and where to.

    Attributes:
        files: Each file's path here, and the name that the person gave it.
        out: An empty folder.
        fit: How a picture becomes square.
        labels: Whether a zip's folders are classes.
    """

    files: tuple[tuple[str, str], ...]
    out: str
    fit: Fit
    labels: bool


@dataclass(frozen=True)
class Kept:
    """A picture of the set: its file's name there, the person's name for it, its class or ""."""

    file: str
    name: str
    label: str


@dataclass
class Reading:
    """What was read so far."""

    request: Request
    kept: dict[str, Kept] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unnamed: int = 0

    def add(self, entry: Entry) -> None:
        """Keep a picture, or say why it is left out.

        Raises:
            UploadError: If there are too many.
        """
        name = shortened(entry.name)
        print(json.dumps(name), flush=True)  # noqa: T201 - read by the parent
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
        small = square(image, min(MAX_SIDE, *image.size), self.request.fit)
        file = f"{digest[:32]}.png"
        small.save(Path(self.request.out) / PICTURES / file)
        label = entry.folder if self.request.labels else ""
        self.kept[digest] = Kept(file, name, label)

    def skip(self, name: str, why: str) -> None:
        """Leave a file out."""
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append((name, why))
        else:
            self.unnamed += 1

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What was left out, and why; the last entry stands for those that aren't named."""
        more = [(f"{self.unnamed:,} more", "for reasons like these")] if self.unnamed else []
        return self.skipped + more

    @property
    def content_hash(self) -> str:
        """The same for the same pictures, treated and labelled alike, in whatever order."""
        content = sorted((digest, kept.label) for digest, kept in self.kept.items())
        return hashlib.sha256(json.dumps([self.request.fit, content]).encode()).hexdigest()


def main() -> None:
    """Carry out the request on stdin; the answer is set.json in its folder."""
    limit()
    given = json.load(sys.stdin)
    request = Request(
        tuple(map(tuple, given["files"])), given["out"], given["fit"], given["labels"]
    )
    result = Path(request.out) / RESULT
    try:
        result.write_text(json.dumps(read(request)), encoding="utf-8")
    except UploadError as error:
        result.write_text(json.dumps({"refused": [error.message, error.hint]}), encoding="utf-8")


def limit() -> None:
    """Bound this process's memory and processor time, where the system can."""
    for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        with suppress(ValueError, OSError):  # macOS knows no limit of the address space
            resource.setrlimit(what, (most, most))


def read(request: Request) -> dict[str, object]:
    """Read all files; the fields of set.json.

    Raises:
        UploadError: If the upload is refused as a whole.
    """
    out = Path(request.out)
    (out / PICTURES).mkdir()
    reading = Reading(request)
    for entry in _entries(request.files):
        reading.add(entry)
    if len(reading.kept) < MIN_PICTURES:
        why = "; ".join(f"{name}: {reason}" for name, reason in reading.skipped[:3])
        raise UploadError(
            f"Only {len(reading.kept)} pictures can be used; {why or 'no more came'}.",
            f"A training needs at least {MIN_PICTURES}.",
        )
    kept = sorted(reading.kept.values(), key=lambda picture: picture.file)
    if request.labels:
        with (out / LABELS).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("file", "label"))
            table.writerows((picture.file, picture.label) for picture in kept)
    return {
        "id": reading.content_hash,
        "fit": request.fit,
        "labels": sorted({picture.label for picture in kept}) if request.labels else [],
        "bytes": sum(path.stat().st_size for path in (out / PICTURES).iterdir()),
        "pictures": [asdict(picture) for picture in kept],
        "skipped": reading.left_out,
    }


def shortened(name: str) -> str:
    """A name of at most MAX_NAME letters; of a longer one the end, where the file's own is."""
    return name if len(name) <= MAX_NAME else "…" + name[1 - MAX_NAME :]


def _entries(files: tuple[tuple[str, str], ...]) -> Iterator[Entry]:
    allowance = Allowance()
    for path, name in files:
        with Path(path).open("rb") as file:
            head = file.read(MAX_BYTES + 1)
            if is_zip(head):
                yield from read_zip(file, allowance)
            else:
                yield Entry(name, "", head)


if __name__ == "__main__":
    main()
