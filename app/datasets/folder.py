"""Pictures in a folder: to train on, decoded once for each training size, or to compare with."""

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.errors import StudioError
from app.images.arrays import Pixels
from app.images.reading import Fit, Treatment, decode
from app.networks.machine import usable_processors

ENDINGS: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)

MEGABYTE: Final = 2**20


@dataclass(frozen=True)
class Skipped:
    """A picture that isn't used, by its path inside the folder, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class DecodedPictures:
    """The usable pictures of a folder.

    Attributes:
        names: Their paths inside the folder, sorted.
        pixels: By size: (N, S, S, C) uint8, in memory or memory-mapped.
        skipped: The pictures that were left out.
    """

    names: tuple[str, ...]
    pixels: dict[int, Pixels]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def find_pictures(folder: Path, least: int = 1) -> tuple[str, ...]:
    """List the paths inside `folder` of all files named like pictures, sorted, without hidden ones.

    Raises:
        StudioError: If there is no such folder, or it has fewer than `least` picture files.
    """
    if not folder.is_dir():
        raise StudioError(f"There is no folder {folder}.", "Name a folder of pictures.")
    names = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(root).relative_to(folder)
        names += [
            (below / name).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in ENDINGS
        ]
    if not names:
        raise StudioError(
            f"There is no picture in {folder}.", f"Known endings: {', '.join(sorted(ENDINGS))}."
        )
    if len(names) < least:
        raise StudioError(
            f"{folder} has {len(names)} pictures, and {least} are needed.",
            f"Add pictures ({', '.join(sorted(ENDINGS))}), or name another folder.",
        )
    return tuple(sorted(names))


def fingerprint(folder: Path, names: Sequence[str]) -> str:
    """Hash the files' names and contents, so that a change of the data shows."""

    def of(name: str) -> bytes:
        try:
            with (folder / name).open("rb") as file:
                contents = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            contents = b"unreadable"  # the picture will be skipped
        return os.fsencode(name) + b"\0" + contents + b"\n"

    with ThreadPoolExecutor(usable_processors()) as pool:
        return hashlib.sha256(b"".join(pool.map(of, names))).hexdigest()


def load_pictures(
    folder: Path,
    names: Sequence[str],
    treatment: Treatment,
    *,
    memory_bytes: int = 0,
    cache: Path | None = None,
    progress: Callable[[], object] = lambda: None,
) -> DecodedPictures:
    """Decode the pictures `names` of `folder`, each once, on all processors.

    Args:
        folder: The folder of the pictures.
        names: The pictures' paths inside the folder.
        treatment: The sizes and channels to decode to, the fit and the least side.
        memory_bytes: Arrays that together need more than this are memory-mapped instead.
        cache: The folder for the memory-mapped files; None keeps everything in memory.
        progress: Called once for each picture.

    Raises:
        StudioError: If none of the pictures can be used.
    """
    if sum(len(names) * s * s * treatment.channels for s in treatment.sizes) <= memory_bytes:
        cache = None
    shapes = {s: (len(names), s, s, treatment.channels) for s in treatment.sizes}
    arrays: dict[int, Pixels] = {}
    for size, shape in shapes.items():
        arrays[size] = np.empty(shape, np.uint8) if cache is None else _mapped(cache, shape)

    def place(i: int) -> Skipped | None:
        named = os.fsencode(names[i]).decode(errors="replace")
        result = (
            decode(folder / names[i], treatment) if named == names[i] else "its name isn't UTF-8"
        )
        progress()
        if isinstance(result, str):
            return Skipped(named, result)
        for size, pixels in zip(treatment.sizes, result, strict=True):
            arrays[size][i] = pixels
        return None

    with ThreadPoolExecutor(usable_processors()) as pool:
        results = list(pool.map(place, range(len(names))))
    skipped = tuple(result for result in results if result is not None)
    used = [i for i, result in enumerate(results) if result is None]
    if not used:
        raise StudioError(
            f"None of the {len(names)} pictures in {folder} can be used; "
            f"{skipped[0].name}: {skipped[0].reason}.",
            f"Pictures of at least {treatment.min_side} pixels a side are needed.",
        )
    return DecodedPictures(
        tuple(names[i] for i in used),
        {size: _compacted(array, used) for size, array in arrays.items()},
        skipped,
    )


def _mapped(cache: Path, shape: tuple[int, int, int, int]) -> Pixels:
    """Make a memory-mapped file in `cache`; raise OSError if the disk has no room for it."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{shape[1]}.u8"
    with path.open("wb") as file:
        # The file is filled now: a disk found full later, through the map, would kill the process.
        for start in range(0, math.prod(shape), MEGABYTE):
            file.write(bytes(min(MEGABYTE, math.prod(shape) - start)))
    return np.memmap(path, np.uint8, "r+", shape=shape)


def _compacted(array: Pixels, used: Sequence[int]) -> Pixels:
    """Move the rows `used` of `array` to its front, so that no second array is needed."""
    if len(used) == len(array):
        return array
    for place, i in enumerate(used):
        array[place] = array[i]
    return array[: len(used)]


def is_held_out(name: str, share: float) -> bool:
    """Tell whether the picture `name` is in the held-out `share`, whatever else is there."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


@dataclass(frozen=True, eq=False)
class ReferencePictures:
    """Pictures read from a folder.

    Attributes:
        pixels: (N, S, S, 3) uint8.
        files: The pictures' paths within the folder.
        skipped: The pictures that were left out.
    """

    pixels: Pixels
    files: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def load_reference(
    folder: Path, size: int, channels: int = 3, least: int = 1, *, fit: Fit = "squash"
) -> ReferencePictures:
    """Read every usable picture of `folder` and its sub-folders, decoded as for training.

    With one channel the pictures become grey, and stay three equal channels.

    Raises:
        StudioError: If fewer than `least` pictures are usable.
    """
    treatment = Treatment((size,), channels, fit, min_side=1)
    read = load_pictures(folder, find_pictures(folder, least), treatment)
    if len(read) < least:
        worst = read.skipped[0]
        raise StudioError(
            f"Only {len(read)} pictures of {folder} can be used, and {least} are needed.",
            f"Check {worst.name}, for one: {worst.reason}.",
        )
    pixels = read.pixels[size]
    # A grey model's pictures are handled as three equal channels.
    return ReferencePictures(np.repeat(pixels, 3 // channels, axis=3), read.names, read.skipped)
