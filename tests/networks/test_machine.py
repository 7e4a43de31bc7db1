"""What a network takes is told from its configuration, and a container's limit is seen."""

import os
from pathlib import Path

import psutil
import pytest

from app.networks.machine import available_bytes, network_bytes, process_bytes, total_bytes


def test_a_larger_picture_or_network_needs_more() -> None:
    config = {"sample_size": 32, "block_out_channels": (32, 64), "layers_per_block": 2}
    small = network_bytes(1_000_000, config)
    assert small > 1_000_000 * 4
    assert network_bytes(2_000_000, config) > small
    assert network_bytes(1_000_000, config | {"sample_size": 256}) > small
    assert network_bytes(1_000_000, config | {"block_out_channels": (64, 64)}) > small


@pytest.mark.parametrize("size", ["wide", None, [[1]]])
def test_sizes_that_are_no_numbers_are_refused(size: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        network_bytes(1, {"sample_size": 8, "block_out_channels": size})


def test_a_containers_limit_counts_where_it_is_lower(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("500000000\n")
    (tmp_path / "memory.current").write_text("480000000\n")
    assert total_bytes(tmp_path) == 500_000_000
    assert available_bytes(tmp_path) == 20_000_000


def test_a_containers_cache_of_files_that_nobody_reads_is_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("500000000\n")
    (tmp_path / "memory.current").write_text("480000000\n")
    stat = "anon 130000000\nfile 350000000\nactive_file 50000000\ninactive_file 300000000\n"
    (tmp_path / "memory.stat").write_text(stat)
    assert available_bytes(tmp_path) == 320_000_000
    (tmp_path / "memory.current").write_text("290000000\n")  # read a moment before
    assert available_bytes(tmp_path) == 500_000_000


@pytest.mark.parametrize("limit", [None, "max"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, limit: str | None) -> None:
    if limit:
        (tmp_path / "memory.max").write_text(limit)
    assert total_bytes(tmp_path) == psutil.virtual_memory().total
    assert 0 < available_bytes(tmp_path) <= total_bytes(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells it another way")
def test_this_process_is_measured() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert process_bytes() == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.1)
