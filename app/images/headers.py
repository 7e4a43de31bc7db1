"""What a picture's file says of itself in its first bytes, read without decoding or allocating.

Decoders trust a header: Pillow makes room for all of a moving picture's canvas as it opens the
file. So size, movement and scans are looked up here first, a few bytes at a time. What has no
header that is understood here is left to the decoder, which has its own limits.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_PARTS: Final = 10_000
"""The chunks, segments or entries of a file that are looked at."""

PNG: Final = b"\x89PNG\r\n\x1a\n"

BLOCK: Final = 1 << 16

BEGINNING: Final = re.compile(
    rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|GIF8|BM|II[*+]|MM\0[*+]", re.DOTALL
)
"""How the files begin that are read from strangers."""

_WIDTH: Final = 256
_HEIGHT: Final = 257
"""Tags of a TIFF's directory."""

SCAN: Final = b"\xff\xda"


@dataclass(frozen=True)
class PictureHeader:
    """The size of a picture in pixels, and what else makes it costly to decode.

    Attributes:
        width: 0 where it isn't known.
        height: 0 where it isn't known.
        moves: Whether the file says that it has more than one picture.
        scans: How many times a JPEG goes over all of its pixels.
    """

    width: int = 0
    height: int = 0
    moves: bool = False
    scans: int = 1

    @classmethod
    def of(cls, file: BinaryIO) -> "PictureHeader":
        """Read the header of `file`, whose place moves."""
        head = _at(file, 0, 32)
        try:
            for beginning, read in _FORMATS.items():
                if head.startswith(beginning):
                    return read(file, head)
        except struct.error:
            pass  # The file ends within its header.
        return cls()


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the name and length of each of a PNG's chunks; `file` is then at its contents."""
    place = len(PNG)
    for _ in range(MAX_PARTS):
        head = _at(file, place, 8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        yield name, length
        place += 12 + length


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _png(file: BinaryIO, head: bytes) -> PictureHeader:
    width, height = struct.unpack_from(">II", head, 16)
    for name, _ in png_chunks(file):
        if name == b"IDAT":
            break
        if name == b"acTL":
            return PictureHeader(width, height, moves=struct.unpack(">I", file.read(4)) > (1,))
    return PictureHeader(width, height)


def _jpeg(file: BinaryIO, _head: bytes) -> PictureHeader:
    place = 2
    for _ in range(MAX_PARTS):
        fill, marker, length = struct.unpack(">BBH", _at(file, place, 4))
        if fill != 0xFF:
            break
        if marker == 0xFF:
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", _at(file, place + 5, 4))
            return PictureHeader(width, height, scans=_scans(file, place))
        place += 2 + length
    return PictureHeader()


def _scans(file: BinaryIO, place: int) -> int:
    """Count the scans behind `place`, and those of a second view."""
    file.seek(place)
    count, last = 0, b""
    # Among a scan's own bytes FF is followed by 00.
    while block := file.read(BLOCK):
        count += (last + block).count(SCAN)
        last = block[-1:]
    return count


def _gif(_: BinaryIO, head: bytes) -> PictureHeader:
    return PictureHeader(*struct.unpack_from("<HH", head, 6))


def _bmp(_: BinaryIO, head: bytes) -> PictureHeader:
    is_old = struct.unpack_from("<I", head, 14) == (12,)
    width, height = struct.unpack_from("<HH" if is_old else "<ii", head, 18)
    return PictureHeader(width, abs(height))


def _webp(_: BinaryIO, head: bytes) -> PictureHeader:
    if head[12:16] == b"VP8X":
        flags, width, wider, height, higher = struct.unpack_from("<B3xHBHB", head, 20)
        size = (width | wider << 16) + 1, (height | higher << 16) + 1
        return PictureHeader(*size, moves=bool(flags & 2))
    if head[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return PictureHeader((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", head, 26)
    return PictureHeader(width & 0x3FFF, height & 0x3FFF)


def _tiff(file: BinaryIO, head: bytes) -> PictureHeader:
    """Read the first directory's width and height; of BigTIFF too."""
    order = "<" if head.startswith(b"II") else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)[0]
    number, entry = (f"{order}Q", f"{order}HHQQ") if big else (f"{order}H", f"{order}HHII")
    (count,) = struct.unpack(number, _at(file, start, struct.calcsize(number)))
    size, first = struct.calcsize(entry), start + struct.calcsize(number)
    sides = {_WIDTH: 0, _HEIGHT: 0}
    for i in range(min(count, MAX_PARTS)):
        data = _at(file, first + i * size, size)
        tag, kind, _, value = struct.unpack(entry, data)
        if tag in sides:
            short = struct.unpack_from(f"{order}H", data, size - (8 if big else 4))[0]
            sides[tag] = short if kind == 3 else value
    return PictureHeader(sides[_WIDTH], sides[_HEIGHT])


_FORMATS: Final[dict[bytes, Callable[[BinaryIO, bytes], PictureHeader]]] = {
    b"\x89PNG": _png,
    b"\xff\xd8": _jpeg,
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"II": _tiff,
    b"MM": _tiff,
}
