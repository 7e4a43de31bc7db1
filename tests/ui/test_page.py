"""The page's start."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import StudioError
from app.settings import ROOT, Settings
from app.ui import page

START = """
import sys
from pathlib import Path

from gradio.utils import MatplotlibBackendMananger

from app.studio import Studio
from app.settings import Settings
from app.ui import page


def launch(studio, blocks):
    assert "matplotlib" not in sys.modules
    with MatplotlibBackendMananger():  # as Gradio does for each event
        assert "matplotlib" in sys.modules
    assert "matplotlib.pyplot" not in sys.modules
    assert "matplotlib.font_manager" not in sys.modules
    print("launched")


page._launch = launch
Studio.warm_up = lambda self: None
page.serve(Settings(data_dir=Path(sys.argv[1]), server_port=int(sys.argv[2])))
"""


def test_matplotlib_is_left_to_gradio_which_takes_little_of_it_and_says_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "home").touch()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MPL", "XDG"))}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-c", START, str(tmp_path / "data"), str(port)],
        cwd=ROOT,
        env=kept | {"HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "launched\n", "")


def test_no_studio_is_open_where_a_readers_memory_has_no_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(StudioError, match="limit the memory"):
        page.serve(Settings(single_user=False))
