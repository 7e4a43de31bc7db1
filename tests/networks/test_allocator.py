"""Memory that was freed stays with the process."""

import subprocess
import sys

import pytest

from app.settings import ROOT

RESIDENT = """
import sys
from app.networks.machine import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("no glibc")
block = b"x" * 200_000_000
del block
print(int(open("/proc/self/statm").read().split()[1]) * 4096)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_block_that_is_freed_is_kept_where_there_is_glibc() -> None:
    resident = {}
    for mode in ("keep", "leave"):
        done = subprocess.run(
            [sys.executable, "-c", RESIDENT, mode],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if "no glibc" in done.stderr:
            pytest.skip("another C library")
        resident[mode] = int(done.stdout)
    assert resident["leave"] < 100_000_000
    assert resident["keep"] > 190_000_000
