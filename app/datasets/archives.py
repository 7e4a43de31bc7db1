"""The reader of a person's zip: anything but plain files is refused by name.

Nothing that the zip claims about itself is trusted: bytes are counted as they are unpacked, and
the entries' positions are compared. No entry's name is ever used as a path. Of a file that doesn't
begin as a picture does, no more is unpacked: archives in the zip stay closed.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Final, cast

from app.errors import UploadError
from app.images.reading import MAX_BYTES, begins_as_picture

MAX_ENTRIES: Final = 10_000
MAX_DIRECTORY: Final = 8_000_000
MAX_NAME: Final = 255
"""The longest name of a file or folder in a zip, in characters: what file systems allow."""

MAX_UNPACKED: Final = 4_000_000_000
CHUNK: Final = 1 << 16

_ENCRYPTED: Final = 0x1 | 0x40
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER: Final = 30
_MAGIC: Final = b"PK\x03\x04"
_END: Final = b"PK\x05\x06"
_LISTED: Final = b"PK\x01\x02"
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    NotImplementedError,
    ValueError,  # of places before the file's beginning, and of names
    OverflowError,
)


@dataclass(frozen=True)
class ArchiveEntry:
    """A file in a zip: its name there, the folder it lies in, and its bytes.

    Attributes:
        name: As in the zip; shown, never used as a path.
        folder: The last folder of the name; "" at the top.
        data: The contents, of a file too large for a picture only the beginning; None if they are
            damaged.
        is_foreign: Whether it doesn't begin as a picture does.
    """

    name: str
    folder: str
    data: bytes | None
    is_foreign: bool = False


@dataclass
class Allowance:
    """What the zips of one upload may still hold together; it shrinks as they are read.

    Attributes:
        entries: Files and folders left.
        unpacked: Unpacked bytes left.
    """

    entries: int = MAX_ENTRIES
    unpacked: int = MAX_UNPACKED


def is_zip(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is a zip, whatever its name."""
    return head[:4] in (_MAGIC, _END)


def read_zip(file: BinaryIO, allowance: Allowance | None = None) -> Iterator[ArchiveEntry]:
    """Yield the files in a zip one by one, once all its entries have been checked.

    Args:
        file: The zip.
        allowance: What is left of the upload's allowance; the whole of it by default.

    Yields:
        Each file, without those that a system put there unasked.

    Raises:
        UploadError: If the file is no zip, or an entry has an absolute, parent or overlong path,
            is a link or encrypted, or overlaps another, or they unpack to too much.
    """
    allowance = allowance or Allowance()
    try:
        with _opened(file) as archive:
            entries = archive.infolist()
            allowance.entries -= len(entries)
            if allowance.entries < 0:
                raise _too_many()
            for info in entries:
                _check(info)
            _check_places(file, archive)
            for info in entries:
                if not info.is_dir() and not _is_hidden(info.filename):
                    yield _read(archive, info, allowance)
    except _BROKEN as error:
        raise UploadError("The zip is damaged.", "Pack the pictures again.") from error


def _opened(file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(cast(BinaryIO, _Guarded(file)))
    except UnicodeDecodeError as error:
        raise UploadError(
            f"The zip is refused: {_shown(repr(error.object))} is a name in it that claims to be "
            "UTF-8 and is not.",
            "Pack the pictures again, as a plain zip.",
        ) from error


class _Guarded:
    """A zip's file, of whose list of files no more is read than memory and time allow.

    Where the list is and how long it says it is zipfile finds out, and then reads it at once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or all.

        Raises:
            UploadError: If they are a list of too many bytes or files.
        """
        if size > MAX_DIRECTORY:
            raise UploadError(
                "The zip's list of files is too long.", "Pack fewer files, as a plain zip."
            )
        data = self._file.read(size)
        if data.startswith(_LISTED) and data.count(_LISTED) > MAX_ENTRIES:
            raise _too_many()
        return data


def _too_many() -> UploadError:
    return UploadError(
        f"The upload's zips have more than {MAX_ENTRIES:,} entries.",
        "Pack the pictures alone, or fewer of them.",
    )


def _check(info: zipfile.ZipInfo) -> None:
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    parts = re.split(r"[/\\]", name)
    odd = "\0" in name or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name)
    for wrong, why in (
        (not name, "it has no name"),
        (odd, "its path is absolute or impossible"),
        (".." in parts, "its path leads to a parent folder"),
        (max(map(len, parts)) > MAX_NAME, "a name in its path is too long"),
        (kind not in (0, stat.S_IFREG, stat.S_IFDIR), "it is a link or a device"),
        (info.flag_bits & _ENCRYPTED, "it is encrypted"),
        (info.compress_type not in _METHODS, "it is packed in an unusual way"),
    ):
        if wrong:
            raise _refused(name, why)


def _check_places(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Refuse entries whose bytes overlap: with such entries a small zip unpacks to any size."""
    entries = sorted(archive.infolist(), key=lambda info: info.header_offset)
    end, before = 0, ""
    for info in entries:
        if info.header_offset < end:
            raise _refused(info.orig_filename, f"it overlaps {before!r}")
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != _MAGIC:
            raise zipfile.BadZipFile("no header where an entry should begin")
        name, extra = struct.unpack("<HH", header[26:30])
        end = info.header_offset + _LOCAL_HEADER + name + extra + info.compress_size
        before = info.orig_filename
        if end > archive.start_dir:
            raise _refused(before, "it overlaps the zip's own list of files")


def _is_hidden(name: str) -> bool:
    """Tell whether a system put the file there unasked, such as .DS_Store."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, allowance: Allowance) -> ArchiveEntry:
    name = info.filename
    folder = PurePosixPath(name).parent.name
    data = bytearray()
    try:
        with archive.open(info) as file:
            while len(data) <= MAX_BYTES and (chunk := file.read(CHUNK)):
                data += chunk
                allowance.unpacked -= len(chunk)
                if allowance.unpacked < 0:
                    raise _refused(name, "with it the upload unpacks to too much")
                if not begins_as_picture(data):
                    break
    except _BROKEN:
        return ArchiveEntry(name, folder, None)
    return ArchiveEntry(name, folder, bytes(data), not begins_as_picture(data))


def _refused(name: str, why: str) -> UploadError:
    return UploadError(
        f"The zip is refused: {_shown(name)!r}, {why}.", "Pack the pictures alone, as a plain zip."
    )


def _shown(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "..."
