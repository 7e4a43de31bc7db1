"""A zip gives its files, or is refused by the name of what is wrong in it."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from app.datasets.archives import CHUNK, MAX_ENTRIES, Allowance, read_zip
from app.errors import UploadError
from app.images.reading import MAX_BYTES

Fill = Callable[[zipfile.ZipFile], None]


def packed(fill: Fill) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    return buffer.getvalue()


def two(archive: zipfile.ZipFile) -> None:
    archive.writestr("river/one.png", b"one" * 100)
    archive.writestr("two.png", b"two")


def named(name: str, data: bytes = b"data") -> bytes:
    def fill(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        archive.writestr(info, data)

    return packed(fill)


def link() -> bytes:
    def fill(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")

    return packed(fill)


def changed(data: bytes, magic: bytes, at: int, value: bytes) -> bytes:
    """`data` with `value` at `at` behind the last `magic`."""
    place = data.rindex(magic) + at
    return data[:place] + value + data[place + len(value) :]


def encrypted() -> bytes:
    return changed(packed(two), b"PK\x01\x02", 8, struct.pack("<H", 1))


def overlapping() -> bytes:
    """The second entry begins where the first does, as in Fifield's bombs."""
    return changed(packed(two), b"PK\x01\x02", 42, struct.pack("<L", 0))


def overlong() -> bytes:
    """The last entry claims to reach into the list of files."""
    return changed(packed(two), b"PK\x01\x02", 20, struct.pack("<L", 10_000))


def bomb() -> bytes:
    return named("bomb.png", bytes(MAX_BYTES + 1))


def test_the_files_come_with_their_folders_and_without_what_systems_leave() -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        two(archive)
        archive.mkdir("empty")
        archive.writestr(".DS_Store", b"")
        archive.writestr("__MACOSX/two.png", b"")

    entries = list(read_zip(io.BytesIO(packed(fill))))
    assert [(entry.name, entry.folder) for entry in entries] == [
        ("river/one.png", "river"),
        ("two.png", ""),
    ]
    assert [entry.data for entry in entries] == [b"one" * 100, b"two"]


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (named("/etc/one.png"), "/etc/one.png", "absolute"),
        (named("\\one.png"), "one.png", "absolute"),
        (named("C:one.png"), "C:one.png", "absolute"),
        (named("a/../../one.png"), "a/../../one.png", "parent"),
        (named("a\\..\\one.png"), "one.png", "parent"),
        (named("inner.zip"), "inner.zip", "archive"),
        (named("disguised.png", packed(two)), "disguised.png", "archive"),
        (named("a/" + "b" * 256 + "/c.png"), "a/bbb", "too long"),
        (link(), "link.png", "link"),
        (encrypted(), "two.png", "encrypted"),
        (overlapping(), "two.png", "overlaps"),
        (overlong(), "two.png", "overlaps"),
        (bomb(), "bomb.png", "unpacks to more"),
    ],
)
def test_an_attack_is_refused_by_name(data: bytes, name: str, reason: str) -> None:
    with pytest.raises(UploadError, match=reason) as caught:
        list(read_zip(io.BytesIO(data)))
    assert name in caught.value.message.replace("\\\\", "\\")
    assert caught.value.hint


def test_all_files_together_are_counted_while_they_are_unpacked() -> None:
    with pytest.raises(UploadError, match=r"two\.png.*too much"):
        list(read_zip(io.BytesIO(packed(two)), Allowance(unpacked=302)))
    assert len(list(read_zip(io.BytesIO(packed(two)), Allowance(unpacked=303)))) == 2


def test_the_zips_of_an_upload_are_counted_together() -> None:
    for allowance, reason in ((Allowance(unpacked=605), "too much"), (Allowance(3), "entries")):
        list(read_zip(io.BytesIO(packed(two)), allowance))
        with pytest.raises(UploadError, match=reason):
            list(read_zip(io.BytesIO(packed(two)), allowance))


def test_what_is_damaged_counts_as_far_as_it_was_unpacked() -> None:
    damaged = changed(named("a.png", bytes(3 * CHUNK)), b"PK\x01\x02", 16, struct.pack("<L", 1))
    for unpacked, ends in ((2 * CHUNK, False), (2 * CHUNK - 1, True)):
        with pytest.raises(UploadError) if ends else nullcontext():
            assert [
                each.data for each in read_zip(io.BytesIO(damaged), Allowance(9, unpacked))
            ] == [None]


def test_a_file_that_unpacks_to_more_than_it_says_is_left_out() -> None:
    lying = changed(packed(two), b"PK\x01\x02", 24, struct.pack("<L", 1))
    assert [entry.data is None for entry in read_zip(io.BytesIO(lying))] == [False, True]


def test_too_many_entries_are_refused() -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        for i in range(MAX_ENTRIES + 1):
            archive.writestr(f"{i}", b"")

    with pytest.raises(UploadError, match="entries"):
        list(read_zip(io.BytesIO(packed(fill))))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", packed(two)[:-30], b"x" * 1000])
def test_what_is_no_zip_or_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(UploadError, match=r"no zip|damaged"):
        list(read_zip(io.BytesIO(data)))
