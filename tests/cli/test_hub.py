"""Models come from the Hub in a shell, are painted with, and go again; offline too."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.settings import ROOT
from tests.hub.stand_in import TOKEN, StandIn, stand_in_hub

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[StandIn]:
    with stand_in_hub() as served:
        yield served


@pytest.fixture
def run(hub: StandIn, tmp_path: Path) -> Run:
    def start(*arguments: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "",
            "HOME": "",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "huggingface"),
            "HF_HUB_DISABLE_XET": "1",
            "PLEIN_AIR_DATA": str(tmp_path / "data"),
        }
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=ROOT,
            env=environment | more,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )

    return start


@pytest.mark.slow
def test_a_model_is_added_painted_with_offline_and_forgotten(
    hub: StandIn, run: Run, model_root: Path, tmp_path: Path
) -> None:
    hub.put("monet/tiny", model_root / "tiny")
    added = run("models", "--add", "monet/tiny")
    assert added.returncode == 0, added.stderr
    assert "monet/tiny · 16 px" in added.stdout
    painted = run(
        *("paint", "--model", "monet/tiny", "--steps", "2", "--out", str(tmp_path / "out")),
        HF_HUB_OFFLINE="1",
    )
    assert painted.returncode == 0, painted.stderr
    assert (tmp_path / "out" / "monet-tiny-dpm-solver-sde-2-seed-0.png").is_file()
    forgotten = run("models", "--remove", "monet/tiny", HF_HUB_OFFLINE="1")
    assert "monet/tiny" not in forgotten.stdout


def test_what_the_hub_lacks_is_said_in_words(run: Run) -> None:
    done = run("models", "--add", "monet/tiny")
    assert done.returncode == 1
    assert "The Hub has no public model monet/tiny." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_nothing_is_published_before_it_was_shown_and_agreed_to(
    hub: StandIn, run: Run, model_root: Path
) -> None:
    tiny = str(model_root / "tiny")
    refused = run("push", tiny, "me/garden", "--licence", "mit", typed="n\n", HF_TOKEN=TOKEN)
    assert refused.returncode == 1
    assert "license: mit" in refused.stdout
    assert "unet/diffusion_pytorch_model.safetensors" in refused.stdout
    assert "everybody can read them" in refused.stdout
    assert hub.requests == []
    agreed = run("push", tiny, "me/garden", "--licence", "mit", typed="y\n", HF_TOKEN=TOKEN)
    assert agreed.returncode == 0, agreed.stderr
    assert agreed.stdout.strip().endswith(f"{hub.url}/me/garden")
    assert "README.md" in hub.main("me/garden")
    assert TOKEN not in agreed.stdout + agreed.stderr


@pytest.mark.slow
def test_without_a_token_it_says_so(run: Run, model_root: Path) -> None:
    tiny = str(model_root / "tiny")
    done = run("push", tiny, "me/garden", "--licence", "mit", "--private", "--yes")
    assert done.returncode == 1
    assert "There is no token for the Hub." in done.stderr


def test_the_preflight_asks_the_hub_only_online(hub: StandIn, run: Run) -> None:
    hub.refused_fields = {"space": {"emoji"}}
    path = os.environ["PATH"]  # of git
    alone = run("preflight", "--no-clean-imports", PATH=path)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert hub.requests == []
    asked = run("preflight", "--no-clean-imports", "--online", PATH=path)
    assert asked.returncode == 1
    assert 'the Hub refuses it: "emoji" is not allowed' in asked.stdout
    assert hub.requests == ["POST /api/validate-yaml"]
