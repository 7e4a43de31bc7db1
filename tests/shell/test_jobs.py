"""Jobs from a shell, as a person types it."""

import zipfile
from pathlib import Path

import pytest

from app.__main__ import main
from tests.training.tiny import save_pictures


@pytest.fixture
def pictures(tmp_path: Path, model_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip of pictures, for a studio whose jobs wait: no worker is started."""
    monkeypatch.setenv("PLEIN_AIR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(model_root))
    monkeypatch.setattr("app.service.jobs.service.start_worker", lambda settings: None)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in save_pictures(tmp_path / "pictures", 6).rglob("*.png"):
            archive.write(path, path.name)
        archive.writestr("notes.txt", "no picture")
    return tmp_path / "pictures.zip"


def test_a_job_is_started_listed_stopped_resumed_and_removed(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(["jobs", *arguments])
        out, err = capsys.readouterr()
        assert caught.value.code in (0, 1)
        return out if caught.value.code == 0 else err

    with pytest.raises(SystemExit):
        main(["jobs", "start", "my garden", "--data", str(pictures), "--init", "tiny"])
    out, err = capsys.readouterr()
    assert "left out notes.txt" in err
    job, state, progress, name = out.strip().split(maxsplit=3)
    assert (state, progress, name) == ("queued", "0/200", "my garden")
    assert said("list") == out
    assert said("show", job) == out
    assert "Stop it first" in said("rm", job)
    assert "stopped" in said("stop", job)
    assert "queued" in said("resume", job)
    assert "Only what was stopped" in said("resume", job)
    assert "stopped" in said("stop", job)
    assert said("rm", job) == ""
    assert said("list") == ""
    assert "no such job" in said("show", job)
    assert "no such job" in said("rm", "../jobs")
    assert "Name files" in said("start", "another")
