"""Reading a person's zip: whatever isn't plain files of a sane size is refused by its name.

Nothing that the zip says of itself is believed: bytes are counted while they are unpacked, and
places are compared with each other. No entry's name is ever used as a path.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Final

from app.errors import UploadError
from app.service.uploads import MAX_BYTES

MAX_ENTRIES: Final = 10_000
MAX_DIRECTORY: Final = 8_000_000
MAX_NAME: Final = 255
"""Of a file or a folder in a zip: what file systems allow."""

MAX_UNPACKED: Final = 4_000_000_000
CHUNK: Final = 1 << 16

_ENCRYPTED: Final = 0x1 | 0x40
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER: Final = 30
_ARCHIVES: Final = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_MAGIC: Final = b"PK\x03\x04"
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError)


@dataclass(frozen=True)
class Entry:
    """A file in a zip: the name it has there, the folder it lies in, and its bytes.

    Attributes:
        name: As in the zip; shown, never used as a path.
        folder: The last folder of the name; "" at the top.
        data: The contents; None where they are damaged.
    """

    name: str
    folder: str
    data: bytes | None


@dataclass
class Allowance:
    """What the zips of one upload may yet have together: it falls as they are read.

    Attributes:
        entries: Files and folders.
        unpacked: Bytes of all files.
    """

    entries: int = MAX_ENTRIES
    unpacked: int = MAX_UNPACKED


def is_zip(head: bytes) -> bool:
    """Whether a file that begins with `head` is a zip, whatever it is named."""
    return head[:4] in (_MAGIC, b"PK\x05\x06")


def read_zip(file: BinaryIO, allowance: Allowance | None = None) -> Iterator[Entry]:
    """The files in a zip, one after the other; all entries are checked before the first.

    Args:
        file: The zip.
        allowance: What is left of the upload's; by default all.

    Raises:
        UploadError: If it is no zip, or an entry has an absolute, parent or overlong path, is a
            link, an archive, encrypted, overlaps another or unpacks to too much.
    """
    allowance = allowance or Allowance()
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            allowance.entries -= len(entries)
            if allowance.entries < 0:
                raise UploadError(
                    f"The upload's zips have more than {MAX_ENTRIES:,} entries.",
                    "Pack the pictures alone, or fewer of them.",
                )
            for info in entries:
                _check(info)
            _check_places(file, archive)
            for info in entries:
                if not info.is_dir() and not _is_hidden(info.filename):
                    yield _read(archive, info, allowance)
    except _BROKEN as error:
        raise UploadError("The zip is damaged.", "Pack the pictures again.") from error


def _check_directory(file: BinaryIO) -> None:
    """Refuse a directory so long that listing it alone would take the memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise UploadError("The file is no zip, or is cut off.", "Pack the pictures again.")
    length = struct.unpack("<L", tail[at + 12 : at + 16])[0]
    if length > MAX_DIRECTORY:
        raise UploadError(
            "The zip's list of files is too long.", "Pack fewer files, as a plain zip."
        )


def _check(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    mode = info.external_attr >> 16
    if "\0" in name or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise _refused(name, "its path is absolute or impossible")
    if ".." in re.split(r"[/\\]", name):
        raise _refused(name, "its path leads to a parent folder")
    if any(len(part) > MAX_NAME for part in re.split(r"[/\\]", name)):
        raise _refused(name, "a name in its path is too long")
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(name, "it is a link or a device")
    if info.flag_bits & _ENCRYPTED:
        raise _refused(name, "it is encrypted")
    if info.compress_type not in _METHODS:
        raise _refused(name, "it is packed in an unusual way")
    if name.lower().endswith(_ARCHIVES):
        raise _refused(name, "it is an archive inside the zip")


def _check_places(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Refuse entries whose bytes overlap: by them a small zip unpacks to any size."""
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
    """Whether a system left the file there unasked, as .DS_Store."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, allowance: Allowance) -> Entry:
    name = info.filename
    folder = PurePosixPath(name).parent.name
    parts: list[bytes] = []
    count = 0
    try:
        with archive.open(info) as file:
            while chunk := file.read(CHUNK):
                count += len(chunk)
                if count > MAX_BYTES:
                    raise _refused(name, f"it unpacks to more than {MAX_BYTES // 1_000_000} MB")
                allowance.unpacked -= len(chunk)
                if allowance.unpacked < 0:
                    raise _refused(name, "with it the upload unpacks to too much")
                parts.append(chunk)
    except _BROKEN:
        return Entry(name, folder, None)
    data = b"".join(parts)
    if is_zip(data):
        raise _refused(name, "it is an archive inside the zip")
    return Entry(name, folder, data)


def _refused(name: str, why: str) -> UploadError:
    shown = name if len(name) <= 80 else name[:77] + "..."
    return UploadError(
        f"The zip is refused: {shown!r}, {why}.", "Pack the pictures alone, as a plain zip."
    )
