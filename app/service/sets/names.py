"""What each holder of a set calls its pictures: who brings equal ones has names of their own.

holders/<hash>      for each owner and each job that has the set: names, what was left out and why
titles/<hash>.csv   the same names as a table, for the novelty index
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final, Self

from app.service.sets.ingest import RESULT
from app.training.files import read_json, replace_file, replace_json

HOLDERS: Final = "holders"
TITLES: Final = "titles"


@dataclass(frozen=True)
class Names:
    """A holder's names.

    Attributes:
        by_file: The name of each picture, by its file's.
        skipped: What was left out of what they brought, and why.
    """

    by_file: dict[str, str]
    skipped: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The names in what was read of an upload."""
        by_file = {p["file"]: p.get("name", p["file"]) for p in fields["pictures"]}
        return cls(by_file, tuple((name, why) for name, why in fields.get("skipped", ())))

    @classmethod
    def read(cls, folder: Path, holder: str) -> Self:
        """The names of `holder` for the set in `folder`.

        Raises:
            OSError: If they don't have it.
            ValueError: If they can't be read.
        """
        path = marker(folder, holder)
        if not path.stat().st_size:  # a set of before each had names of their own
            return cls.of(read_json(folder / RESULT))
        fields = read_json(path)
        skipped = tuple((name, why) for name, why in fields["skipped"])
        return cls(fields["names"], skipped)

    def write(self, folder: Path, holder: str) -> None:
        """Make `holder` one of those who have the set in `folder`, with these names."""
        table = io.StringIO(newline="")
        rows = csv.writer(table)
        rows.writerow(("file", "artist", "title"))
        rows.writerows((file, "", PurePath(name).stem) for file, name in self.by_file.items())
        for place in (HOLDERS, TITLES):
            (folder / place).mkdir(exist_ok=True)
        path = folder / TITLES / f"{_hashed(holder)}.csv"
        replace_file(path, table.getvalue().encode())
        replace_json(marker(folder, holder), {"names": self.by_file, "skipped": self.skipped})


def marker(folder: Path, holder: str) -> Path:
    """The file that is there as long as `holder` has the set in `folder`."""
    return folder / HOLDERS / _hashed(holder)


def titles(folder: Path, holder: str) -> Path:
    """The table of what `holder` calls the pictures of the set in `folder`."""
    path = folder / TITLES / f"{_hashed(holder)}.csv"
    return path if path.is_file() else folder / f"{TITLES}.csv"


def forget(folder: Path, holder: str) -> None:
    """Make `holder` none of those who have the set."""
    marker(folder, holder).unlink(missing_ok=True)
    (folder / TITLES / f"{_hashed(holder)}.csv").unlink(missing_ok=True)


def _hashed(holder: str) -> str:
    return hashlib.sha256(holder.encode()).hexdigest()
