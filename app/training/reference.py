"""Reference pictures from a folder, and what a manifest says about them."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.errors import StudioError
from app.training import dataset
from app.training.dataset import ENDINGS, Fit, Skipped, Treatment, find_pictures
from app.training.features import Pixels

PARTICLES: Final = ("de", "der", "du", "van", "von")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures read from a folder.

    Attributes:
        pixels: (N, S, S, 3) uint8.
        files: Their paths within the folder.
        skipped: What was left out.
    """

    pixels: Pixels
    files: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Painting:
    """What a person calls a picture; `artist` is empty where nobody is named."""

    title: str
    artist: str


def picture_files(folder: Path, least: int = 1) -> tuple[str, ...]:
    """The paths inside `folder` of its picture files, by their names' endings, sorted.

    Raises:
        StudioError: If there is no such folder, or fewer than `least` files in it.
    """
    found = find_pictures(folder)
    if len(found) < least:
        raise StudioError(
            f"{folder} has {len(found)} pictures, and {least} are needed.",
            f"Add pictures ({', '.join(sorted(ENDINGS))}), or name another folder.",
        )
    return found


def load_pictures(
    folder: Path, size: int, channels: int = 3, least: int = 1, *, fit: Fit = "squash"
) -> Pictures:
    """Every readable picture of `folder`, decoded as for training.

    Args:
        folder: Searched with its sub-folders.
        size: The side in pixels.
        channels: 1 makes them grey.
        least: How many must be readable.
        fit: How they become square.

    Raises:
        StudioError: If there are fewer than `least`.
    """
    treatment = Treatment((size,), channels, fit, min_side=1)
    read = dataset.load_pictures(folder, picture_files(folder, least), treatment)
    if len(read) < least:
        worst = read.skipped[0]
        raise StudioError(
            f"Only {len(read)} pictures of {folder} can be used, and {least} are needed.",
            f"Check {worst.name}, for one: {worst.reason}.",
        )
    pixels = read.pixels[size]
    # A grey model's pictures are handled as three equal channels.
    return Pictures(np.repeat(pixels, 3 // channels, axis=3), read.names, read.skipped)


def paintings(files: Sequence[str], manifest: Path | None = None) -> tuple[Painting, ...]:
    """What the `files` are called: by the manifest's file, artist and title, else by their names.

    The manifest may list paths as in `files`, or names alone where they tell the files apart.

    Raises:
        StudioError: If the manifest can't be read or lacks one of the columns.
    """
    named = {} if manifest is None else _read_manifest(manifest)
    names = Counter(Path(file).name for file in files)

    def called(file: str) -> Painting:
        path = Path(file)
        by_name = named.get(path.name) if names[path.name] == 1 else None
        return named.get(file) or by_name or Painting(_spoken(path.stem), "")

    return tuple(map(called, files))


def _read_manifest(manifest: Path) -> dict[str, Painting]:
    try:
        with manifest.open(encoding="utf-8", newline="") as lines:
            return {
                row["file"]: Painting(_spoken(row["title"]), _name(row["artist"]))
                for row in csv.DictReader(lines)
            }
    except (OSError, UnicodeError, csv.Error) as error:
        raise StudioError(f"The manifest {manifest} can't be read.", "Name a CSV file.") from error
    except (KeyError, AttributeError) as error:
        raise StudioError(
            f"The manifest {manifest} lacks a column or a value.",
            "It needs the columns file, artist and title.",
        ) from error


def _spoken(slug: str) -> str:
    """The title of a file: of "the-artist-s-garden-1897", "The artist's garden, 1897"."""
    words = slug.replace("-", " ").replace("_", " ").strip()
    words = re.sub(r"(?<=\w) s\b", "'s", words)
    words = re.sub(r"\b([dl]) (?=[aeiouh])", r"\1'", words)
    words = re.sub(r"^(.*\D) (1[5-9]\d\d|20\d\d)$", r"\1, \2", words)
    return words[:1].upper() + words[1:]


def _name(slug: str) -> str:
    """The name of an artist: of "theo-van-rysselberghe", "Theo van Rysselberghe"."""
    words = slug.replace("-", " ").split()
    return " ".join(w if w in PARTICLES else w[:1].upper() + w[1:] for w in words)
