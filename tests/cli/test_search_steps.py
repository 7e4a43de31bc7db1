"""`search-steps` from a shell: what it finds is kept with the model, and it can be resumed."""

import json
import shutil
from pathlib import Path

import pytest

from app.__main__ import main
from app.models.step_schedules import STEP_SCHEDULES
from app.models.store import ModelStore
from tests.training.pictures import landscapes, save_pictures


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["search-steps", *map(str, arguments)])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


@pytest.fixture
def models(model_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(model_root / "tiny", tmp_path / "models" / "tiny")
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_what_a_search_finds_is_kept_with_the_model(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save_pictures(tmp_path / "paintings", landscapes(40, seed=1))
    state = tmp_path / "state.json"
    asked = ("tiny", "--data", data, "--steps", 3, "--count", 16, "--no-style", "--out", state)
    code, out, err = run(capsys, *asked, "--rounds", 1)
    assert code == 0, err
    assert "aim, dpm-solver-sde in 50 steps: " in out
    assert "round 1: best " in out
    files = ModelStore([models]).find("tiny")
    first = files.schedule("3 steps")
    assert (first.sampler, first.step_t[0], len(first.step_eta)) == ("dpm-solver-eta", 1000, 3)
    assert list(first.step_t) == json.loads(out.rpartition("  t ")[2].partition("\n")[0])
    begun = json.loads(state.read_text())

    code, out, err = run(capsys, *asked, "--rounds", 2, "--name", "again")
    assert code == 0, err
    assert "round 2: best " in out
    assert "aim" not in out
    names = [it.name for it in ModelStore([models]).find("tiny").schedules]
    assert names == ["3 steps", "again"]
    assert json.loads(state.read_text())["of"] == begun["of"]

    code, _, err = run(capsys, *asked, "--seed", 1)
    assert code == 1
    assert "is of another search" in err


def test_what_cannot_be_searched_for_is_refused_before_painting(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save_pictures(tmp_path / "paintings", landscapes(20, seed=1))
    for options, reason in [
        (("--steps", 1), "1 steps can't be searched for"),
        (("--count", 15), "15 samples can't be judged"),
        (("--name", "a:b"), "can't be called 'a:b'"),
        ((), "20 pictures"),
    ]:
        code, _, err = run(capsys, "tiny", "--data", data, "--no-style", *options)
        assert code == 1
        assert reason in err
    assert not (models / "tiny" / STEP_SCHEDULES).exists()
