"""A process keeps to the processors that its container has a share of."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.networks.machine import usable_processors
from app.settings import ROOT

SHARED = """
import torch
from app.networks import machine as processors
torch.get_num_threads = lambda: 3
processors.usable_processors = lambda: {usable}
from app.networks.executor import PROCESSORS
print(PROCESSORS)
"""


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.parametrize(
    ("quota", "usable"),
    [("200000", 2), ("150000", 2), ("10000", 1), ("9900000", 64), ("max", 64)],
)
def test_a_containers_share_counts_where_it_is_smaller(
    tmp_path: Path, quota: str, usable: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    assert usable_processors(tmp_path) == usable


@pytest.mark.parametrize(("quota", "usable"), [("120000", 3), ("-1", 64)])
def test_the_first_version_of_cgroups_is_understood(
    tmp_path: Path, quota: str, usable: int
) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("50000\n")
    assert usable_processors(tmp_path) == usable


def test_without_a_share_all_count(tmp_path: Path) -> None:
    assert usable_processors(tmp_path) == 64


@pytest.mark.parametrize(("usable", "threads"), [(2, "2"), (64, "3")])
def test_networks_take_what_torch_would_and_no_more_than_there_are(
    usable: int, threads: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHARED.format(usable=usable)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [threads]
