"""The examples of docs/api.md, run as they stand there."""

import os
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from gradio_client import Client

from app.painting.recipe import read_recipe
from app.settings import ROOT
from app.ui.middleware import COOKIE
from tests.lacking import lacking
from tools.api_docs.examples import EXAMPLES
from tools.server import Server

pytestmark = pytest.mark.e2e

TRAINING = (
    *("start_training", "trainings", "training", "stop_training", "resume_training"),
    *(
        "training_samples",
        "training_curves",
        "training_model",
        "rename_training",
        "extend_training",
    ),
    *("keep_training", "unkeep_training", "delete_training", "delete_pictures"),
)
"""In an order that a training can be led through."""

OTHERS = tuple(name for name in EXAMPLES if name not in TRAINING)


def example(language: str, head: str) -> str:
    """The code under a heading of the page."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (text,) = re.findall(rf"^##+ {head}$(.*?)(?=^##|\Z)", page, re.M | re.S)
    code = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    assert code, (language, head)
    return "".join(code)


@pytest.fixture(scope="module")
def token(studio: Server) -> str:
    """A visitor's, as the page gives it."""
    with urlopen(studio.url) as response:
        return str(response.headers["Set-Cookie"]).partition("=")[2].partition(";")[0]


@pytest.fixture
def desk(studio: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who has a few paintings and stands in it."""
    painter = Client(studio.url, verbose=False, download_files=tmp_path)
    files, _ = painter.predict(steps=2, pictures=8, api_name="/paint")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in files:
            archive.write(file, Path(file).name)
    for file, name in zip(files[:2], ("picture.png", "other.png"), strict=True):
        shutil.copy(file, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def names(studio: Server, token: str, desk: Path) -> dict[str, Any]:
    """What Python knows after the first example, with the visitor's cookie."""
    found: dict[str, Any] = {}
    start = example("python", "From Python")
    exec(start.replace("http://127.0.0.1:7860", studio.url), found)
    cookies = {"cookies": {COOKIE: token}}
    found["client"] = Client(
        studio.url, verbose=False, httpx_kwargs=cookies, download_files=desk / "downloads"
    )
    return found


@pytest.mark.slow
def test_the_examples_in_python_run(names: dict[str, Any]) -> None:
    for name in OTHERS:
        exec(example("python", name), names)
    assert [Path(file).suffix for file in names["files"]] == [".png"]
    assert names["recipe"]["model"] == "tiny"
    assert len(names["schedules"]) == 4
    assert names["pictures"]["fit"] == "squash"
    assert names["pictures"] in names["sets"]


@pytest.mark.slow
def test_the_examples_lead_a_training_through_its_life(names: dict[str, Any]) -> None:
    exec(example("python", "upload_pictures"), names)
    for name in TRAINING:
        exec(example("python", name), names)
        if name in {"stop_training", "resume_training", "extend_training"}:
            until_ended(names)
    assert names["training"]["name"] == "a second try"
    assert (names["training"]["state"], names["training"]["step"]) == ("done", 150)
    steps = [f"step-{step:08}.png" for step in (50, 100)]
    assert [Path(file).name for file in names["files"]] == steps
    assert zipfile.is_zipfile(names["file"])
    left = [names["client"].predict(api_name=name) for name in ("/trainings", "/picture_sets")]
    assert left == [[], []]


def until_ended(names: dict[str, Any]) -> None:
    deadline = time.monotonic() + 90
    while True:
        exec(example("python", "training"), names)
        if names["training"]["state"] in {"done", "stopped"}:
            return
        assert names["training"]["state"] != "failed", names["training"]["message"]
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.mark.slow
def test_the_examples_with_curl_run(studio: Server, token: str, desk: Path) -> None:
    if shutil.which("curl") is None:
        lacking("the examples with curl need curl: install the package curl")
    start = example("bash", "With curl").replace("http://127.0.0.1:7860/", studio.url)
    calls = [f"echo; echo '= {name}'\n{example('bash', name)}" for name in OTHERS]
    (desk / ".curlrc").write_text(f'cookie = "{COOKIE}={token}"\n', encoding="utf-8")
    done = subprocess.run(
        ["bash", "-euc", "\n".join([start, *calls])],
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(desk)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_recipe((desk / "painting.png").read_bytes()).steps == 20
    answers = dict(text.split("\n", 1) for text in done.stdout.split("\n= ")[1:])
    assert set(answers) == set(OTHERS)
    for name, answer in answers.items():
        assert "event: complete\ndata: [" in answer, (name, answer)
