"""What the bench compares is the same work; how long it takes is for a person to read."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from app.settings import ROOT, Settings
from app.studio import Studio
from tests.laboratory.pictures import network_calls
from tools.bench import grid as bench_grid
from tools.bench import stages as bench_stages
from tools.bench import viewers as bench_viewers


@pytest.mark.parametrize("model", ["tiny", "classes"])
def test_a_grid_is_timed_against_its_own_network_steps(model_root: Path, model: str) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model=model, threads=1))
    contest = bench_grid.contest(studio, model, 8, "exact")
    with network_calls() as grid:
        contest.grid()
    with network_calls() as bare:
        contest.bare()
    assert contest.steps == len(grid.t) == len(bare.t) == 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8
    assert all(torch.equal(a, b) for a, b in zip(grid.t, bare.t, strict=True))
    assert {x.shape for x in bare.x_t} == {x.shape for x in grid.x_t}


def test_the_grids_ratio_is_printed(model_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model="tiny", threads=1))
    bench_grid.report(studio, "tiny", 2, 1)
    first, second = capsys.readouterr().out.splitlines()
    assert "63 pictures, exact, takes" in first
    assert "63 pictures, fast, takes" in second


@pytest.mark.slow
def test_the_second_stage_is_timed_beside_paintings_without(
    model_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model="tiny", threads=1))
    bench_stages.report(studio, "tiny", 1)
    told = capsys.readouterr().out
    assert "the second stage takes" in told
    for batch in bench_stages.BATCHES:
        assert f"{batch} at once, 16 px, 50 steps" in told
        assert f"{batch} at once, 64 px, 50 + 12" in told
    assert told.count("its first frame comes after") == len(bench_stages.BATCHES)


def test_eight_viewers_are_timed_beside_one_after_another(
    model_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = Studio(Settings(models_dir=model_root, default_model="tiny", threads=1))
    with network_calls() as steps:
        bench_viewers.report(studio, "tiny", 2, 1)
    assert len(steps.t) == 2 * (1 + 8 + 8) * 2
    exact, fast = capsys.readouterr().out.splitlines()
    assert exact.startswith("8 viewers at once, exact, get ")
    assert fast.startswith("8 viewers at once, fast, get ")


@pytest.mark.parametrize("part", ["page", "all"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_bench_that_is_ended_leaves_no_process_behind(part: str, number: int) -> None:
    wanted = "base" if part == "all" else "serve"
    bench = subprocess.Popen(
        [sys.executable, "-m", "tools.bench", part],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started: list[psutil.Process] = []
    while not any(wanted in it.cmdline() for it in started):
        assert bench.poll() is None
        time.sleep(0.05)
        started = psutil.Process(bench.pid).children(recursive=True)
    bench.send_signal(number)
    bench.wait(60)
    assert not psutil.wait_procs(started, 10)[1]
