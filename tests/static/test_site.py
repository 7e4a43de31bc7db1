"""The folder of a page without a server, and the command that writes it."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from app.errors import ModelError
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import read_recipe
from app.static.site import write_site
from tests.static.conftest import Serving, Shell


def test_the_card_has_the_schedule_bit_for_bit(site: Path, painter: Painter) -> None:
    card = json.loads((site / "card.json").read_text())
    table = painter.models.load("tiny").schedule.alphas_cumprod
    assert card["network"]["alphas_cumprod"] == table.tolist()
    assert card["weights"] == painter.models.find("tiny").weights_sha256


def test_a_latent_model_is_refused(latent_root: Path, tmp_path: Path) -> None:
    painter = Painter(ModelStore([latent_root], "cpu", 1))
    files = painter.models.find("AutoencoderKL")
    with pytest.raises(ModelError, match="can't paint in a browser: it diffuses latents"):
        write_site(tmp_path / "site", painter, files, None, runtime=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_examples_carry_their_recipes(site: Path) -> None:
    card = json.loads((site / "card.json").read_text())
    for example in card["examples"]:
        assert (
            json.loads(read_recipe((site / example["picture"]).read_bytes()).to_json())
            == (example["recipe"])
        )
    assert len(card["examples"]) == 6


def test_it_opens_as_a_static_space(site: Path) -> None:
    _, front, text = (site / "README.md").read_text().split("---", 2)
    fields = yaml.safe_load(front)
    assert (fields["sdk"], fields["app_file"]) == ("static", "index.html")
    assert set(fields["custom_headers"]) == {
        "cross-origin-embedder-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
    }
    assert len(fields["short_description"]) <= 60
    assert "tiny · 16 px" in text


def test_its_own_server_sends_the_headers_for_threads(site: Path, serving: Serving) -> None:
    with urlopen(f"{serving(site)}worker.js") as answer:
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers.get_content_type() == "text/javascript"


def test_serve_py_runs_by_itself(site: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-I", str(site / "serve.py"), "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        address = process.stdout.readline().split()[0]
        with urlopen(address) as answer:
            assert b"Plein Air" in answer.read()
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nothing"], "There is no model 'nothing' here."),
        (["--model", "tiny", "--stage", "nothing"], "There is no second stage 'nothing' here."),
        (["--model", "tiny", "--code", "somewhere"], "is no address of a page"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str],
    words: str,
    shell: Shell,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shell("static", tmp_path / "out", *arguments) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_leaves_other_folders_alone(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert shell("static", tmp_path) == 1
    assert "holds other files" in capsys.readouterr().err
    assert (tmp_path / "letter.txt").read_text() == "dear"
