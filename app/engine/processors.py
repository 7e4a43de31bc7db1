"""How many processors there are for this process."""

import os
from math import ceil
from pathlib import Path

from app.engine.memory import CGROUP


def usable_processors(cgroup: Path = CGROUP) -> int:
    """The processors that this process may use: those it may run on, or its container's share.

    Of a share, what is left over counts as one more. Without torch, for a worker does without it.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return min(allowed, _share(cgroup) or allowed)


def _share(cgroup: Path) -> int | None:
    """A quota of time over its period, rounded up, by either version of cgroups."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((cgroup / file).read_text(encoding="ascii") for file in files)
        except OSError:
            continue
        quota, period = words.split()
        if quota.isdecimal():  # "max" and -1 are no limit.
            return ceil(int(quota) / int(period))
    return None
