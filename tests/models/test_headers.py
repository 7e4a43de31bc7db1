"""The header of a weights file is anybody's: odd ones are refused, whatever they declare."""

import json
import resource
import struct
import sys
from pathlib import Path
from typing import Final

import pytest

from app.errors import ModelError
from app.models.files import ModelFiles
from app.models.network_files import WEIGHTS, stored_shapes


def file_of(header: bytes, nbytes: int) -> bytes:
    """A safetensors file with that header, and so many bytes of data."""
    return struct.pack("<Q", len(header)) + header + bytes(nbytes)


def tensors(nbytes: int, **stored: tuple[str, list[object], int, int]) -> bytes:
    """A file whose header declares by name: a dtype, a shape, and where its bytes lie."""
    table = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        for name, (dtype, shape, begin, end) in stored.items()
    }
    return file_of(json.dumps(table).encode(), nbytes)


def declared(length: int) -> bytes:
    """A whole file that declares another length of its header."""
    return struct.pack("<Q", length) + WHOLE[8:]


WHOLE: Final = tensors(12, a=("F32", [2, 1], 0, 8), b=("F16", [2], 8, 12))
ODD: Final = {
    "empty": b"",
    "shorter than a length": b"1234567",
    "no header": struct.pack("<Q", 0),
    "no safetensors file": b"PK\x03\x04 a zip that says it is safetensors",
    "truncated in its data": WHOLE[:-1],
    "truncated in its header": WHOLE[:30],
    "surplus bytes": WHOLE + b"x",
    "a header of fewer bytes": declared(20),
    "a header of more bytes than the file": declared(5_000),
    "a header of 99 MB": declared(99_000_000),
    "a header of a terabyte": declared(2**40),
    "a header of all bytes": declared(2**64 - 1),
    "no JSON": file_of(b"{nope", 0),
    "no UTF-8": file_of(b'{"\xff": 1}', 0),
    "deep JSON": file_of(b"[" * 200_000, 0),
    "deep metadata": file_of(b'{"__metadata__":' + b"[" * 200_000, 0),
    "no table": file_of(b'["a"]', 4),
    "no dtype": file_of(b'{"a": {"shape": [1], "data_offsets": [0, 4]}}', 4),
    "overlapping tensors": tensors(12, a=("F32", [2], 0, 8), b=("F32", [2], 4, 12)),
    "the same bytes twice": tensors(8, a=("F32", [2], 0, 8), b=("F32", [2], 0, 8)),
    "a gap": tensors(16, a=("F32", [2], 0, 8), b=("F32", [1], 12, 16)),
    "an end before its beginning": tensors(8, a=("F32", [2], 8, 0)),
    "a dtype that isn't known": tensors(8, a=("F99", [2], 0, 8)),
    "a dtype of another size": tensors(8, a=("F16", [2], 0, 8)),
    "a shape of more than its bytes": tensors(4, a=("F32", [2], 0, 4)),
    "a shape beyond 64 bits": tensors(1, a=("U8", [2**62, 2**62], 0, 1)),
    "a negative shape": tensors(4, a=("F32", [-1], 0, 4)),
    "a shape in words": tensors(16, a=("F32", ["4"], 0, 16)),
    "a fractional shape": tensors(4, a=("F32", [1.0], 0, 4)),
    "elements of half a byte": tensors(2, a=("F4", [4], 0, 2)),
    "elements of six bits": tensors(3, a=("F6_E2M3", [4], 0, 3)),
}


def test_shapes_are_read_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(WHOLE)
    assert stored_shapes(path) == {"a": (2, 1), "b": (2,)}
    path.write_bytes(tensors(4, scalar=("F32", [], 0, 4), nothing=("F32", [0, 3], 4, 4)))
    assert stored_shapes(path) == {"scalar": (), "nothing": (0, 3)}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_an_odd_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match="is truncated or no safetensors file") as caught:
        _ = ModelFiles("odd", tmp_path).shapes
    assert caught.value.hint == "Copy the file again."


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        stored_shapes(tmp_path / WEIGHTS)


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 4_000_000_000))
        file.truncate(5_000_000_000)  # a hole: it takes no room on the disk
    before = peak_memory()
    with pytest.raises(ModelError, match="is truncated or no safetensors file"):
        _ = ModelFiles("huge", tmp_path).shapes
    assert peak_memory() - before < 500_000_000


def peak_memory() -> int:
    """The most bytes that this process has had in memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
