"""Jobs from a shell, as a person types it."""

import zipfile
from pathlib import Path

import pytest

from app.__main__ import main
from app.jobs.record import JobFolder, Record
from tests.conftest import save_tiny_model
from tests.training.tiny import save_pictures


@pytest.fixture
def pictures(tmp_path: Path, model_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip of pictures, for a studio whose jobs wait: no worker is started."""
    monkeypatch.setenv("PLEIN_AIR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(model_root))
    monkeypatch.setattr("app.jobs.jobs.start_worker", lambda settings: None)
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

    assert "no setting 'stepps'" in said(
        "start", "no", "--data", str(pictures), "--init", "tiny", "--set", "stepps=1"
    )
    with pytest.raises(SystemExit):
        main([
            *("jobs", "start", "my garden", "--data", str(pictures), "--init", "tiny"),
            *("--set", "steps=250", "--set", "ema_sigma_rels=[0.05]", "--set", "precision=exact"),
        ])  # fmt: skip
    out, err = capsys.readouterr()
    assert "left out 1 file in a zip: no picture that can be read (1 .txt)" in err
    job, state, progress, name = out.strip().split(maxsplit=3)
    assert (state, progress, name) == ("queued", "0/250", "my garden")
    assert said("list") == out
    assert said("show", job) == out
    assert "  my garden  kept" in said("keep", job)
    assert said("unkeep", job) == out
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


def test_the_shell_paints_with_any_kept_model_of_any_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLEIN_AIR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PLEIN_AIR_SINGLE_USER", "0")
    job = "0123456789abcdef"
    folder = JobFolder(tmp_path / "data" / "jobs" / job)
    for step in (3, 7):
        save_tiny_model(folder.run / "exports" / f"{step:08d}")
    (folder.run / "model").symlink_to("exports/00000007")
    folder.write(Record(job, "somebody's", "garden", "tiny", "set", 7, 1, 0.0))
    with pytest.raises(SystemExit):
        main(["jobs", "show", job])
    assert f"models: {job}-3 {job}-7" in capsys.readouterr().out
    out = str(tmp_path / "out")
    with pytest.raises(SystemExit) as caught:
        main(["paint", "--model", f"{job}-3", "--steps", "2", "--out", out])
    assert caught.value.code == 0
    assert len(list(Path(out).glob(f"{job}-3-*.png"))) == 1
    with pytest.raises(SystemExit):
        main(["paint", "--model", f"{job}-5", "--steps", "2", "--out", out])
    assert "newer model took this one's place" in capsys.readouterr().err
