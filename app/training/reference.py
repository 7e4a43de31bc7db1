"""Reference pictures from a folder, and what a manifest says about them."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from app.errors import StudioError
from app.training.features import Pixels

ENDINGS: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
PARTICLES: Final = ("de", "der", "du", "van", "von")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures read from a folder.

    Attributes:
        pixels: (N, S, S, 3) uint8.
        files: Their paths within the folder.
        skipped: The files that could not be read.
    """

    pixels: Pixels
    files: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Painting:
    """What a person calls a picture; `artist` is empty where nobody is named."""

    title: str
    artist: str


def picture_files(folder: Path, least: int = 1) -> tuple[Path, ...]:
    """The picture files in `folder` and its sub-folders, sorted, by their names' endings.

    Raises:
        StudioError: If there is no such folder, or fewer than `least` files in it.
    """
    if not folder.is_dir():
        raise StudioError(f"There is no folder {folder}.", "Name a folder of pictures.")
    try:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
    except OSError as error:
        raise StudioError(f"{folder} can't be read.", "Allow reading it.") from error
    if len(found) < least:
        raise StudioError(
            f"{folder} has {len(found)} pictures, and {least} are needed.",
            f"Add pictures ({', '.join(ENDINGS)}), or name another folder.",
        )
    return tuple(found)


def load_pictures(folder: Path, size: int, channels: int = 3, least: int = 1) -> Pictures:
    """Every readable picture of `folder`, squashed to `size` as the training pictures were.

    Args:
        folder: Searched with its sub-folders.
        size: The side in pixels; the aspect isn't kept.
        channels: 1 makes them grey.
        least: How many must be readable.

    Raises:
        StudioError: If there are fewer than `least`.
    """
    pixels, names, skipped = [], [], []
    for path in picture_files(folder, least):
        name = path.relative_to(folder).as_posix()
        try:
            with Image.open(path) as image:
                # A grey model's pictures are handled as three equal channels.
                shown = image.convert("RGB" if channels == 3 else "L").convert("RGB")
                pixels.append(np.asarray(shown.resize((size, size), Image.Resampling.LANCZOS)))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            skipped.append(name)
            continue
        names.append(name)
    if len(pixels) < least:
        raise StudioError(
            f"Only {len(pixels)} pictures of {folder} can be read, and {least} are needed.",
            f"Check {skipped[0]}, for one." if skipped else "Add pictures.",
        )
    return Pictures(np.stack(pixels), tuple(names), tuple(skipped))


def paintings(files: Sequence[str], manifest: Path | None = None) -> tuple[Painting, ...]:
    """What the `files` are called: by the manifest's file, artist and title, else by their names.

    Raises:
        StudioError: If the manifest can't be read or lacks one of the columns.
    """
    named = {} if manifest is None else _read_manifest(manifest)
    return tuple(
        named.get(Path(file).name) or Painting(_spoken(Path(file).stem), "") for file in files
    )


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
