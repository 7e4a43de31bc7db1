"""A worker ends whichever way its heartbeats fail."""

import fcntl
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from app.jobs import worker
from app.jobs.engine import Engine
from app.jobs.worker import Worker
from app.settings import Settings


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("way", ["refused", "broken", "silent"])
def test_a_worker_that_can_not_tell_that_it_lives_ends(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def beat(_: str) -> bool:
        if way == "broken":
            raise RuntimeError("nobody foresaw this")
        return way == "silent" and over.wait()

    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(worker, "FENCE_SECONDS", 0.2 if way == "silent" else 60.0)
    engine = cast(Engine, SimpleNamespace(leases=SimpleNamespace(beat=beat, dead=list)))
    ending = Worker(Settings())
    beating = threading.Thread(target=ending._beat, args=(engine, "a worker"))
    beating.start()
    ending._fence()
    over.set()
    beating.join()
    assert codes == [1]


@pytest.mark.parametrize(("seconds", "held"), [(0.2, True), (60, False)])
def test_who_only_asks_whether_there_is_a_worker_sends_none_away(
    tmp_path: Path, seconds: float, held: bool
) -> None:
    path = tmp_path / "worker"
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as `is_locked` does
        timer = threading.Timer(seconds, fcntl.flock, (file, fcntl.LOCK_UN))
        timer.start()
        with worker._exclusive(path, threading.Event(), True, lambda: None) as mine:
            assert bool(mine) is held
        timer.cancel()
