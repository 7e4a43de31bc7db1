"""What networks take of the machine's memory, and how much of it there is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

BYTES_PER_WEIGHT: Final = 16
"""As read and `exact`, 4 each; `fast`, bf16 and packed for the processor, about 8 (measured)."""

CGROUP: Final = Path("/sys/fs/cgroup")


def network_bytes(parameters: int, config: Mapping[str, Any]) -> int:
    """About what a UNet2DModel takes in both precisions, with one picture's activations.

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
    """The memory that this process may have: the machine's, or its container's share."""
    return min(psutil.virtual_memory().total, _number(cgroup / "memory.max") or 2**63)


def available_bytes(cgroup: Path = CGROUP) -> int:
    """The memory that is left for this process now.

    A container's cache of files that nobody has read lately counts as free, as it does to
    container runtimes: the kernel lets go of it before it refuses anybody memory.
    """
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    free = psutil.virtual_memory().available
    if limit is None or used is None:
        return free
    return max(0, min(free, limit - max(0, used - _inactive_file(cgroup))))


def process_bytes() -> int:
    """What this process has in memory."""
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
