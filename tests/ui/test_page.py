"""The page's start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.errors import StudioError
from app.painting.examples import load_examples
from app.settings import ASSETS, ROOT, Settings
from app.studio import Studio
from app.ui import page
from tools.server import running_server

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


@pytest.mark.slow
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


@pytest.mark.parametrize("is_painting", [False, True])
def test_sigterm_ends_the_page_in_order(
    model_root: Path, tmp_path: Path, is_painting: bool
) -> None:
    environment = {"PLEIN_AIR_MODELS": str(model_root), "PLEIN_AIR_DATA": str(tmp_path / "data")}
    with running_server(environment | {"GRADIO_TEMP_DIR": str(tmp_path / "gradio")}) as server:
        if is_painting:
            call = {"steps": 1000, "pictures": 4}
            httpx.post(f"{server.url}gradio_api/call/v2/paint", json=call).raise_for_status()
            while not httpx.get(f"{server.url}status").json()["network_steps"]:
                time.sleep(0.1)
        os.kill(server.pid, signal.SIGTERM)
        ended = os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)


def test_the_form_opens_with_the_seed_of_the_example_that_is_shown(tmp_path: Path) -> None:
    shown = load_examples(ASSETS / "showcase")[0].recipe
    built = page.build(Studio(Settings(data_dir=tmp_path)))
    seeds = [it for it in built.blocks.values() if getattr(it, "label", "") == "seed"]
    assert shown.model == Settings().default_model
    assert [getattr(it, "value", None) for it in seeds[:1]] == [shown.seed]


def test_a_page_is_the_same_whoever_gets_it(tmp_path: Path) -> None:
    built = page.build(Studio(Settings(data_dir=tmp_path)))
    told = json.dumps(built.get_config_file(), default=str)
    assert " object at 0x" not in told, "a browser would have to get it anew"


def test_no_studio_is_open_where_a_readers_memory_has_no_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(StudioError, match="limit the memory"):
        page.serve(Settings(single_user=False))
