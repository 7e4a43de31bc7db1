"""Pictures in a folder, decoded once and kept as bytes at each size that is trained at."""

import hashlib
import math
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from app.engine.processors import usable_processors
from app.errors import StudioError

Pixels = NDArray[np.uint8]
Fit = Literal["crop", "squash"]

ENDINGS: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS: Final = 64_000_000
"""A picture of more is refused before it is decoded."""

MEGABYTE: Final = 2**20

UNREADABLE: Final = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow is known to raise on damaged files."""


@dataclass(frozen=True)
class Skipped:
    """A picture that isn't used, by its path inside the folder, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Pictures:
    """The usable pictures of a folder.

    Attributes:
        names: Their paths inside the folder, sorted.
        pixels: By size: (N, S, S, C) uint8, in memory or memory-mapped.
        skipped: What was left out.
    """

    names: tuple[str, ...]
    pixels: dict[int, Pixels]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Treatment:
    """How pictures are made into arrays.

    Attributes:
        sizes: The sides that are needed, ascending.
        channels: 1 (grey) or 3.
        fit: How a picture becomes square.
        min_side: A picture whose shorter side has fewer pixels is skipped.
    """

    sizes: tuple[int, ...]
    channels: int
    fit: Fit
    min_side: int


def find_pictures(folder: Path) -> tuple[str, ...]:
    """The paths inside `folder` of all files named like pictures, sorted; hidden ones left out.

    Raises:
        StudioError: If there is no such folder, or no such file in it.
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
    return tuple(sorted(names))


def fingerprint(folder: Path, names: Sequence[str]) -> str:
    """A hash of the files' names and contents, by which it is seen that the data changed."""

    def of(name: str) -> bytes:
        try:
            with (folder / name).open("rb") as file:
                contents = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            contents = b"unreadable"  # it will be skipped
        return os.fsencode(name) + b"\0" + contents

    digest = hashlib.sha256()
    with ThreadPoolExecutor(usable_processors()) as pool:
        for line in pool.map(of, names):
            digest.update(line + b"\n")
    return digest.hexdigest()


def load_pictures(
    folder: Path,
    names: Sequence[str],
    treatment: Treatment,
    *,
    memory_bytes: int = 0,
    cache: Path | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Pictures:
    """Decode the pictures `names` of `folder`, each once, on all processors.

    Args:
        folder: Where they are.
        names: Their paths inside it.
        treatment: What is made of them.
        memory_bytes: Arrays that need more than this together are memory-mapped instead.
        cache: The folder for the memory-mapped files; None keeps everything in memory.
        progress: Called once for each picture.

    Raises:
        StudioError: If not one of them can be used.
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
    return Pictures(
        tuple(names[i] for i in used),
        {size: _compacted(array, used) for size, array in arrays.items()},
        skipped,
    )


def _mapped(cache: Path, shape: tuple[int, int, int, int]) -> Pixels:
    """A new memory-mapped file in `cache`; OSError if the disk has no room for it."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{shape[1]}.u8"
    with path.open("wb") as file:
        # Filled now: a full disk met later, through the map, would kill the process.
        for start in range(0, math.prod(shape), MEGABYTE):
            file.write(bytes(min(MEGABYTE, math.prod(shape) - start)))
    return np.memmap(path, np.uint8, "r+", shape=shape)


def decode(path: Path, treatment: Treatment) -> list[Pixels] | str:
    """The picture at each size, (S, S, C) uint8; or, in words, why it can't be used."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return f"it has {width} x {height} pixels, more than {MAX_PIXELS:,}"
            if min(width, height) < treatment.min_side:
                return f"it has {width} x {height} pixels, fewer than {treatment.min_side} a side"
            # A JPEG of twice the size needed or more is cheaper to decode in part.
            wanted = 2 * treatment.sizes[-1]
            image.draft(None, (wanted, wanted))
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I", "F"):
                return "its pixels are numbers of 32 bits, whose black and white nobody knows"
            return _resized(upright, treatment)
    except UNREADABLE as error:
        return f"it can't be read ({str(error).splitlines()[0] if str(error) else type(error)})"


def _resized(image: Image.Image, treatment: Treatment) -> list[Pixels]:
    if image.mode in ("P", "PA", "LA", "RGBA") or "transparency" in image.info:
        # What is transparent is shown on white, as a page would.
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    if image.mode.startswith("I;16"):  # Pillow would cut off all above 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("L" if treatment.channels == 1 else "RGB")
    side = min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side) if treatment.fit == "crop" else None
    squares = (
        image.resize((size, size), Image.Resampling.LANCZOS, box=box) for size in treatment.sizes
    )
    return [np.asarray(square).reshape(*square.size, -1) for square in squares]


def _compacted(array: Pixels, used: Sequence[int]) -> Pixels:
    """The rows `used` of `array`, moved to its front, so that no second array is needed."""
    if len(used) == len(array):
        return array
    for place, i in enumerate(used):
        array[place] = array[i]
    return array[: len(used)]


def is_held_out(name: str, share: float) -> bool:
    """Whether the picture of that name is in the held-out `share`, whatever else is there."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
