"""`evaluate` and `index` from a shell."""

import json
import shutil
import time
from pathlib import Path

import pytest

from tests.shell.test_shell import run
from tests.training.pictures import landscapes, save_pictures


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with `paintings` and `validation`."""
    save_pictures(tmp_path / "data" / "paintings", landscapes(40, seed=1))
    save_pictures(tmp_path / "data" / "validation", landscapes(20, seed=2))
    return tmp_path / "data"


def test_index_then_evaluate_prints_a_table_and_writes_json(
    model_root: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_root / "tiny", tmp_path / "models" / "tiny")
    models = tmp_path / "models"
    made = run(
        "index", "tiny", "--data", str(data / "paintings"), "--held-out",
        str(data / "validation"), models=models,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "indexed 40 pictures" in made.stdout
    assert (models / "tiny" / "novelty.safetensors").is_file()

    out = tmp_path / "figures.json"
    done = run(
        "evaluate", "tiny", "--data", str(data / "validation"), "--sampler", "ddim:2:17",
        "--sampler", "ddpm:3", "--count", "16", "--no-style", "--out", str(out), models=models,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| ddim | 2 | 17 / 20 |" in done.stdout
    assert "| ddpm | 3 | 16 / 20 |" in done.stdout
    assert "nearest training picture of" in done.stdout
    found = json.loads(out.read_text())
    assert [row["plan"]["sampler"] for row in found["rows"]] == ["ddim", "ddpm"]
    assert found["rows"][0]["novelty"]["pictures"] == 17
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("evaluate", "nobody", "--data", "{validation}"), "no model 'nobody'"),
        (("evaluate", "tiny", "--data", "{missing}"), "There is no folder"),
        (("evaluate", "tiny", "--data", "{empty}"), "has 0 pictures, and 16 are needed"),
        (("evaluate", "tiny", "--data", "{validation}", "--train", "{empty}"), "has 0 pictures"),
        (("evaluate", "tiny", "--data", "{validation}", "--sampler", "magic:5"), "no sampler"),
        (("evaluate", "tiny", "--data", "{validation}", "--sampler", "ddim"), "sampler:steps"),
        (("evaluate", "tiny", "--data", "{validation}", "--sampler", "ddim:1001"), "1000"),
        (("evaluate", "tiny", "--data", "{validation}", "--count", "3"), "can't be judged"),
        (("evaluate", "tiny", "--data", "{validation}", "--out", "{missing}/x.json"), "no folder"),
        (("evaluate", "tiny", "--data", "{validation}", "--precision", "vague"), "precision"),
        (("evaluate", "tiny"), "--data"),
        (("index", "nobody", "--data", "{validation}"), "no model 'nobody'"),
        (("index", "tiny", "--data", "{empty}"), "has 0 pictures"),
        (("index", "tiny", "--data", "{validation}", "--manifest", "{missing}"), "can't be read"),
    ],
)  # fmt: skip
def test_a_wrong_word_gets_an_answer_before_any_time_is_spent(
    model_root: Path, data: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {
        "validation": data / "validation",
        "empty": tmp_path / "empty",
        "missing": tmp_path / "missing",
    }
    began = time.monotonic()
    done = run(*(text.format(**places) for text in arguments), models=model_root)
    assert done.returncode != 0
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert "reading" not in done.stderr
    assert time.monotonic() - began < 60
