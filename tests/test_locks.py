"""A lock on a file is held by one, and by nobody who is dead."""

import subprocess
import sys
from pathlib import Path

from app.locks import is_locked, locked, locked_unless


def test_a_lock_is_held_until_its_context_ends(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    assert not is_locked(path)
    with locked(path):
        assert is_locked(path)
        with locked_unless(path, lambda: True) as second:
            assert second is None
    assert not is_locked(path)


def test_whoever_waits_asks_again_until_the_lock_is_free(tmp_path: Path) -> None:
    holder = locked(tmp_path / "lock")
    holder.__enter__()
    asked = []

    def gives_up() -> bool:
        asked.append(True)
        if len(asked) == 2:
            holder.__exit__(None, None, None)
        return False

    with locked_unless(tmp_path / "lock", gives_up) as file:
        assert file is not None
    assert len(asked) == 2


def test_a_child_that_inherits_a_lock_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked_unless(path, lambda: True) as file:
        assert file is not None
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[file.fileno()]
        )
    with child:
        assert is_locked(path)
        child.kill()
    assert not is_locked(path)
