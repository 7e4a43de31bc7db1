"""Training from a shell, as a person types it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.__main__ import main
from app.datasets.folder import find_pictures, is_held_out
from app.models.files import ModelFiles
from app.models.store import ModelStore
from app.novelty.index import load_index
from app.novelty.nearest import model_features
from app.settings import ROOT
from app.training.config import TrainConfig
from app.training.resume import open_run, stored_config
from tests.conftest import save_tiny_model, set_timesteps
from tests.training.tiny import config, fields, no_init, save_pictures


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


def test_a_model_found_by_its_id_is_trained_with_all_threads(
    tmp_path: Path, model_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    threads: list[int] = []

    def follow(_run: object, *, bars: bool) -> bool:
        threads.append(torch.get_num_threads())
        return False

    monkeypatch.setattr("app.cli.train._follow", follow)
    monkeypatch.setenv("PLEIN_AIR_MODELS", str(model_root))
    monkeypatch.setattr("app.networks.executor.PROCESSORS", 2)
    settings = fields(save_pictures(tmp_path / "data", 6), network=None, init="tiny")
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    try:
        command = ["train", "--config", str(tmp_path / "settings.json"), "--out"]
        with pytest.raises(SystemExit, match="0"):
            main([*command, str(tmp_path / "run")])
    finally:
        torch.set_num_threads(before)
    assert threads == [2]


def test_samples_of_a_short_model_take_all_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timesteps(save_tiny_model(tmp_path / "short"), 20)
    save_pictures(tmp_path / "data", 6)
    monkeypatch.setattr("app.cli.train._follow", lambda _run, *, bars: False)
    out = tmp_path / "run"
    command = ["train", "--init", str(tmp_path / "short"), "--data", str(tmp_path / "data")]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--views", "64", "--out", str(out)])
    assert (stored_config(out) or {})["sample_steps"] == 20


def test_a_run_goes_on_without_the_model_that_it_began_with(
    tmp_path: Path,
    model_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, out = tmp_path / "base", tmp_path / "run"
    shutil.copytree(model_root / "tiny", base)
    settings = fields(save_pictures(tmp_path / "data", 6), network=None, init=str(base))
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    monkeypatch.setattr("app.cli.train._follow", lambda _run, *, bars: False)
    command = ["train", "--config", str(tmp_path / "settings.json"), "--out", str(out)]

    def code() -> object:
        with pytest.raises(SystemExit) as caught:
            main(command)
        return caught.value.code

    assert code() == 0
    base.rename(tmp_path / "elsewhere")
    assert code() == 0, capsys.readouterr().err
    shutil.rmtree(out / "checkpoints")
    assert code() == 1
    assert "no model" in capsys.readouterr().err


@pytest.mark.parametrize(("beta_end", "warned"), [(0.02, "x_T keeps 36%"), (0.2, "")])
def test_a_schedule_that_leaves_some_of_the_picture_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    beta_end: float,
    warned: str,
) -> None:
    short = {"num_train_timesteps": 100, "beta_end": beta_end}
    settings = fields(save_pictures(tmp_path / "data", 6), schedule=short)
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    monkeypatch.setattr("app.cli.train._follow", lambda _run, *, bars: False)
    config_file = str(tmp_path / "settings.json")
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--config", config_file, "--out", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert warned in said
    assert ("warning" in said) == bool(warned)


def test_a_models_run_cant_go_on_as_a_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save_pictures(tmp_path / "data", 6)
    with open_run(config(data), tmp_path / "run", load_init=no_init):
        pass
    with pytest.raises(SystemExit, match="1"):
        main(["train", "--out", str(tmp_path / "run"), "--stage"])
    assert "a second stage's network" in capsys.readouterr().err


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


@pytest.mark.slow
def test_a_finished_run_knows_what_its_model_was_trained_on(
    tmp_path: Path, model_root: Path
) -> None:
    pictures = save_pictures(tmp_path / "data", 40)
    (tmp_path / "titles.csv").write_text("file,artist,title\n03.png,A. Painter,The bridge\n")
    settings = fields(Path("data"), network=None, titles="titles.csv", held_out_share=0.2)
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    out = tmp_path / "run"
    command = ("--config", str(tmp_path / "settings.json"), "--out", str(out), "--init")
    with start(*command, str(model_root / "tiny")) as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    files = ModelFiles("run", (out / "model").resolve())
    index = load_index(files.folder, files.weights_sha256)
    assert index is not None
    assert index.control_kind == "held-out"
    names = {painting.title for painting in index.paintings}
    trained = [n for n in find_pictures(pictures) if not is_held_out(n, 0.2)]
    assert len(index.paintings) == len(trained)
    assert ("The bridge" in names) == ("river/03.png" in trained)
    store = ModelStore([out])
    with Image.open(pictures / trained[0]) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((16, 16), Image.Resampling.LANCZOS))
    found = index.neighbours(pixels[None], model_features(store.load("model")))
    assert found.distance[0] < 0.05


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
        (("--out", "RUN", "--data", "assets", "--stage", "--size", "64"), "need sides of 256 px"),
        (("--out", "RUN", "--data", "assets", "--stage", "--init", "nobody"), "no second stage"),
        (("--out", "RUN", "--data", "docs", "--stage", "--views", "100"), "no picture"),
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
