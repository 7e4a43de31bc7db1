"""Training from a shell, as a person types it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.__main__ import main
from app.settings import ROOT
from app.training.config import TrainConfig
from app.training.opening import open_run, stored_config
from tests.training.tiny import fields, no_init, save_pictures


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {"PATH": "", "HOME": "", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "app", "train", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_terminated_run_saves_and_can_go_on(tmp_path: Path, model_root: Path) -> None:
    pictures = save_pictures(tmp_path / "data", 6)
    (pictures / "broken.png").write_text("no picture")
    settings = fields(Path("data"), network=None, phases=[{"size": 16, "views": 4_000}])
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    out = tmp_path / "run"
    command = ("--config", str(tmp_path / "settings.json"), "--out", str(out), "--init")
    with start(*command, str(model_root / "tiny")) as process:
        metrics = out / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not metrics.exists() or len(metrics.read_bytes().splitlines()) < 3:
            assert process.poll() is None, process.stderr
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert json.loads(stdout[: stdout.rindex("}") + 1])["batch_size"] == 4
    assert "Stopped at step" in stdout
    assert "skipped broken.png" in stderr
    step = int(stdout.split("Stopped at step ")[1].split()[0])
    assert (out / "checkpoints" / f"{step:08d}").is_dir()
    assert (out / "model" / "model_index.json").is_file()
    assert len(metrics.read_bytes().splitlines()) == step
    stored = stored_config(out)
    assert stored is not None
    with open_run(TrainConfig.checked(stored), out, load_init=no_init) as run:
        assert next(run.steps()).step == step + 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--out", "RUN"), "no pictures to train on"),
        (("--out", "RUN", "--data", "nowhere"), "no folder"),
        (("--out", "RUN", "--data", "docs"), "no picture"),
        (("--out", "RUN", "--data", "assets", "--init", "nobody"), "no model 'nobody'"),
        (("--out", "RUN", "--data", "assets", "--batch-size", "0"), "batch_size"),
        (("--out", "RUN", "--data", "assets", "--views", "0"), "views"),
        (("--out", "RUN", "--data", "assets", "--size", "60"), "can't take"),
        (("--out", "RUN", "--data", "assets", "--config", "pyproject.toml"), "build-system"),
        (("--out", "docs", "--data", "assets"), "not empty"),
    ],
)
def test_a_mistake_gets_an_answer_before_any_time_is_spent(
    arguments: tuple[str, ...], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    with pytest.raises(SystemExit) as caught:
        main(["train", *(run if a == "RUN" else a for a in arguments)])
    assert caught.value.code == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
