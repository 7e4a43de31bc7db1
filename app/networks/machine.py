"""What this machine has: processors, memory, and how the C library hands memory out."""

import ctypes
import os
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any, Final

import psutil

BYTES_PER_WEIGHT: Final = 32
"""4 as read, 4 for `exact`, and for `fast` up to 24: OpenVINO's graphs of one picture and of more
take 10 to 13 each, torch's packed bf16 takes 8 (measured)."""

CGROUP: Final = Path("/sys/fs/cgroup")


def network_bytes(parameters: int, config: Mapping[str, Any]) -> int:
    """Estimate a UNet2DModel's bytes in both precisions, with one picture's activations.

    Args:
        parameters: The number of its weights.
        config: Its config.json: sample_size, block_out_channels and layers_per_block.
    """
    side = int(config["sample_size"])
    widths = [int(width) for width in config.get("block_out_channels", (224, 448, 672, 896))]
    # On the way down each level keeps its blocks' outputs for the way up, in fp32; the way up
    # works on about as much again.
    layers = int(config.get("layers_per_block", 2)) + 1
    kept = sum(layers * width * max(1, side >> i) ** 2 for i, width in enumerate(widths))
    return parameters * BYTES_PER_WEIGHT + 2 * 4 * kept


def total_bytes(cgroup: Path = CGROUP) -> int:
    """Return the bytes of memory that this process may have: the machine's or its container's."""
    return min(psutil.virtual_memory().total, _number(cgroup / "memory.max") or 2**63)


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Return the bytes of memory that are left for this process now.

    A container's cache of files that nobody has read lately counts as free, as it does to
    container runtimes: the kernel lets go of it before it refuses anybody memory.
    """
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    free = psutil.virtual_memory().available
    if limit is None or used is None:
        return free
    return max(0, min(free, limit - max(0, used - _inactive_file(cgroup))))


def process_bytes() -> int:
    """Return the bytes that this process has in memory."""
    return int(psutil.Process().memory_info().rss)


def _inactive_file(cgroup: Path) -> int:
    try:
        lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(n) for name, n in map(str.split, lines) if name == "inactive_file"), 0)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None  # No cgroup, or the first version of them.
    return int(text) if text.isdecimal() else None  # "max" is no limit.


_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_LARGEST: Final = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to keep large blocks that are freed, process-wide; return whether it will.

    By default glibc returns them to the system and gets them back as pages to be cleared anew:
    training the bundled network is 9% faster without that, and takes no more memory.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # Another C library.
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST))


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Count the processors that this process may run on, or its container's share if less.

    A fraction of a processor counts as one. torch isn't asked, for a worker runs without it.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return min(allowed, _share(cgroup) or allowed)


def _share(cgroup: Path) -> int | None:
    """Read a quota of time over its period, rounded up, from either version of cgroups."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((cgroup / file).read_text(encoding="ascii") for file in files)
        except OSError:
            continue
        quota, period = words.split()
        if quota.isdecimal():  # "max" and -1 are no limit.
            return ceil(int(quota) / int(period))
    return None
