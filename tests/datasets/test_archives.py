"""A zip gives its files, or is refused by the name of what is wrong in it."""

import io
import stat
import struct
import time
import zipfile
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from app.datasets.archives import CHUNK, MAX_DIRECTORY, MAX_ENTRIES, Allowance, read_zip
from app.errors import UploadError
from app.images.reading import MAX_BYTES

PNG = b"\x89PNG"
"""The beginning of a picture."""

Fill = Callable[[zipfile.ZipFile], None]


def packed(fill: Fill) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    return buffer.getvalue()


def two(archive: zipfile.ZipFile) -> None:
    archive.writestr("river/one.png", PNG + b"one" * 100)
    archive.writestr("two.png", PNG + b"two")


def named(name: str, data: bytes = PNG) -> bytes:
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


def unreadable_name() -> bytes:
    """A name that is flagged as UTF-8, and is none in the list of files."""
    return changed(named("aé.png"), b"PK\x01\x02", 47, b"\xff\xff")


def overlapping() -> bytes:
    """The second entry begins where the first does, as in Fifield's bombs."""
    return changed(packed(two), b"PK\x01\x02", 42, struct.pack("<L", 0))


def overlong() -> bytes:
    """The last entry claims to reach into the list of files."""
    return changed(packed(two), b"PK\x01\x02", 20, struct.pack("<L", 10_000))


def long() -> bytes:
    """A zip of two files with the longer end record, as for 4 GB or 65,536 files."""
    data = packed(two)
    end = struct.unpack("<4s4H2LH", data[-22:])
    count, size, start = end[4], end[5], end[6]
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    place = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    return data[:-22] + record + place + last


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
    assert [entry.data for entry in entries] == [PNG + b"one" * 100, PNG + b"two"]


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (named("/etc/one.png"), "/etc/one.png", "absolute"),
        (named("\\one.png"), "one.png", "absolute"),
        (named("C:one.png"), "C:one.png", "absolute"),
        (named("a/../../one.png"), "a/../../one.png", "parent"),
        (named("a\\..\\one.png"), "one.png", "parent"),
        (named(""), "''", "no name"),
        (unreadable_name(), r"b'a\xff\xff.png'", "claims to be UTF-8"),
        (named("a/" + "b" * 256 + "/c.png"), "a/bbb", "too long"),
        (link(), "link.png", "link"),
        (encrypted(), "two.png", "encrypted"),
        (overlapping(), "two.png", "overlaps"),
        (overlong(), "two.png", "overlaps"),
    ],
)
def test_an_attack_is_refused_by_name(data: bytes, name: str, reason: str) -> None:
    with pytest.raises(UploadError, match=reason) as caught:
        list(read_zip(io.BytesIO(data)))
    assert name in caught.value.message.replace("\\\\", "\\")
    assert caught.value.hint


def test_all_files_together_are_counted_while_they_are_unpacked() -> None:
    with pytest.raises(UploadError, match=r"two\.png.*too much"):
        list(read_zip(io.BytesIO(packed(two)), Allowance(unpacked=310)))
    assert len(list(read_zip(io.BytesIO(packed(two)), Allowance(unpacked=311)))) == 2


def test_the_zips_of_an_upload_are_counted_together() -> None:
    for allowance, reason in ((Allowance(unpacked=621), "too much"), (Allowance(3), "entries")):
        list(read_zip(io.BytesIO(packed(two)), allowance))
        with pytest.raises(UploadError, match=reason):
            list(read_zip(io.BytesIO(packed(two)), allowance))


def test_what_is_damaged_counts_as_far_as_it_was_unpacked() -> None:
    damaged = changed(
        named("a.png", PNG + bytes(3 * CHUNK - 4)), b"PK\x01\x02", 16, struct.pack("<L", 1)
    )
    for unpacked, ends in ((2 * CHUNK, False), (2 * CHUNK - 1, True)):
        with pytest.raises(UploadError) if ends else nullcontext():
            assert [
                each.data for each in read_zip(io.BytesIO(damaged), Allowance(9, unpacked))
            ] == [None]


def test_a_file_that_unpacks_to_more_than_it_says_is_left_out() -> None:
    lying = changed(packed(two), b"PK\x01\x02", 24, struct.pack("<L", 1))
    assert [entry.data is None for entry in read_zip(io.BytesIO(lying))] == [False, True]


@pytest.mark.parametrize("name", ["inner.zip", "disguised.png", "faces.npz"])
def test_what_is_no_picture_stays_packed(name: str) -> None:
    inner = packed(two) + bytes(3 * CHUNK)
    [entry] = read_zip(io.BytesIO(named(name, inner)), Allowance(unpacked=CHUNK))
    assert entry.is_foreign
    assert len(entry.data or b"") == CHUNK


def test_of_a_file_too_large_for_a_picture_no_more_is_unpacked() -> None:
    bomb = named("bomb.png", PNG + bytes(3 * MAX_BYTES))
    [entry] = read_zip(io.BytesIO(bomb), Allowance(unpacked=MAX_BYTES + CHUNK))
    assert MAX_BYTES < len(entry.data or b"") <= MAX_BYTES + CHUNK
    assert not entry.is_foreign


def test_a_small_zip_with_the_longer_end_record_is_read() -> None:
    assert [entry.name for entry in read_zip(io.BytesIO(long()))] == ["river/one.png", "two.png"]


def test_a_list_that_claims_to_be_longer_than_the_zip_is_damage() -> None:
    record = changed(long(), b"PK\x06\x06", 40, struct.pack("<Q", MAX_DIRECTORY + 1))
    small = changed(record, b"PK\x05\x06", 12, struct.pack("<L", 100))
    for data in (record, small):
        with pytest.raises(UploadError, match="damaged"):
            list(read_zip(io.BytesIO(data)))


def listed(entries: int) -> bytes:
    """A zip whose list has so many entries, by the longer end record."""
    head = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[20] * 2, *[0] * 7, 1, *[0] * 6)
    names = (head + b"a") * entries
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(names), 0)
    place = struct.pack("<4sLQL", b"PK\6\7", 0, len(names), 1)
    return names + record + place + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 47, 0, 0)


@pytest.mark.parametrize(
    ("entries", "reason"), [(160_000, "10,000 entries"), (2_000_000, "list of files is too long")]
)
def test_an_endless_list_is_not_gone_through(entries: int, reason: str) -> None:
    data = listed(entries)
    begun = time.process_time()
    with pytest.raises(UploadError, match=reason):
        list(read_zip(io.BytesIO(data)))
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("place", [2**63, 2**64 - 1])
def test_an_entry_at_an_impossible_place_is_damage(place: int) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        two(archive)
        archive.filelist[-1].header_offset = place

    with pytest.raises(UploadError, match=r"damaged|overlaps"):
        list(read_zip(io.BytesIO(packed(fill))))


def test_a_name_that_differs_where_its_file_begins_is_damage_of_that_file() -> None:
    data = named("aé.png")
    at = data.index(b"a\xc3\xa9.png")
    [entry] = read_zip(io.BytesIO(data[: at + 1] + b"\xff\xff" + data[at + 3 :]))
    assert (entry.name, entry.data) == ("aé.png", None)


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
