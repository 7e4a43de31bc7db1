"""Colour profiles for pictures in tests, written tag by tag as ICC.1:2001 lays them out."""

import struct
from collections.abc import Sequence

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
_D65_XY = (0.3127, 0.3290)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

INKS = {
    (0, 0, 0): (100, 0, 0),
    (1, 0, 0): (55, -37, -50),
    (0, 1, 0): (48, 74, -3),
    (0, 0, 1): (89, -5, 93),
    (1, 1, 0): (24, 22, -46),
    (1, 0, 1): (50, -68, 27),
    (0, 1, 1): (47, 68, 48),
    (1, 1, 1): (23, 0, 0),
}
"""What cyan, magenta and yellow give on paper, each with all of its ink or none, as CIE LAB."""


def display_p3() -> bytes:
    """Display P3: its primaries under D65, adapted to D50 by Bradford's matrix; sRGB's curve."""
    xyz = [_xyz(x, y) for x, y in ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))]
    primaries, white = np.array(xyz).T, _xyz(*_D65_XY)
    primaries = primaries * np.linalg.solve(primaries, white)
    cones = (_BRADFORD @ np.array(D50)) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ primaries
    curve = np.linspace(0, 1, 1024)
    curve = np.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)
    tags = {f"{name}XYZ": _xyz_tag(adapted[:, i]) for i, name in enumerate("rgb")}
    return _profile("mntr", "RGB ", "XYZ ", tags | {f"{name}TRC": _curve(curve) for name in "rgb"})


def grey(gamma: float) -> bytes:
    """A grey profile: light is the level to the power of `gamma`."""
    return _profile("mntr", "GRAY", "XYZ ", {"kTRC": _curve(np.linspace(0, 1, 1024) ** gamma)})


def cmyk() -> bytes:
    """A press whose inks are INKS; black ink leaves a lightness of 10."""
    corners = [
        (10, 0, 0) if k else INKS[c, m, y]
        for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
    ]  # fmt: skip
    lab = [[round(light * 2.55), 128 + a, 128 + b] for light, a, b in corners]
    straight = bytes(range(256))
    table = struct.pack(">4s4xBBBx", b"mft1", 4, 3, 2) + struct.pack(
        ">9i", *(65536 * int(i % 4 == 0) for i in range(9))
    )
    table += straight * 4 + bytes(np.array(lab, np.uint8)) + straight * 3
    return _profile("prtr", "CMYK", "Lab ", {"A2B0": table})


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def _xyz_tag(values: Sequence[float]) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * float(value)) for value in values))


def _curve(values: np.ndarray) -> bytes:
    head = struct.pack(">4s4xI", b"curv", len(values))
    return head + (values * 65535).round().astype(">u2").tobytes()


def _profile(kind: str, space: str, connection: str, tags: dict[str, bytes]) -> bytes:
    tags = {"wtpt": _xyz_tag(D50)} | tags
    place = 132 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name.encode(), place + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4xI", size, 0x02400000) + f"{kind}{space}{connection}".encode()
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += _xyz_tag(D50)[8:]
    return header.ljust(128, b"\0") + table + data
