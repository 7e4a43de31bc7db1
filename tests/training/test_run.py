"""A run's folder: resumed exactly, never left half written, refused where it doesn't fit."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
from PIL import Image
from torch import Tensor

from app import files
from app.errors import StudioError
from app.models.files import ModelFiles
from app.models.store import ModelStore
from app.settings import ROOT
from app.training import checkpoint
from app.training import checkpoint as tensors
from app.training.architecture import load_initial_model
from app.training.config import TrainConfig
from app.training.export import export_choice
from app.training.resume import open_run
from app.training.run import Run
from tests.conftest import save_tiny_model
from tests.training.tiny import config, fields, no_init, save_pictures


def go_on(settings: TrainConfig, folder: Path, steps: int | None = None) -> None:
    with open_run(settings, folder, load_init=no_init) as run:
        for step in islice(run.steps(), steps):
            run.after(step)


def read_metrics(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, by file and name."""
    return {
        f"{path.name}/{name}": value
        for path in sorted(folder.glob("*.safetensors"))
        for name, value in checkpoint.read_tensors(path).items()
    }


def assert_same_bits(one: Path, other: Path) -> None:
    a, b = contents(one), contents(other)
    assert a.keys() == b.keys()
    assert {"weights.safetensors", "exp_avg.safetensors", "ema-0.050.safetensors"} <= {
        name.split("/")[0] for name in a
    }
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


KILLED = """
import os, signal, sys
import torch
from pathlib import Path
from app.training.config import TrainConfig, read_fields
from app.training.resume import open_run

torch.set_num_threads(1)
settings = TrainConfig.checked(read_fields(Path(sys.argv[1])))
with open_run(settings, Path(sys.argv[2]), load_init=None) as run:
    for step in run.steps():
        run.after(step)
        if step.step == 13:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("optimiser", ["adamw", pytest.param("muon", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_where_it_saved_and_ends_bit_for_bit_the_same(
    optimiser: str, data: Path, tmp_path: Path
) -> None:
    changes = {"held_out_share": 0.2, "immiscible": True, "precision": "fast"}
    changes["optimiser"] = optimiser
    settings = config(data, **changes)
    go_on(settings, tmp_path / "straight")

    stored = tmp_path / "settings.json"
    stored.write_text(json.dumps(fields(data, **changes)))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(stored), str(tmp_path / "killed")],
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint.saved(tmp_path / "killed" / "checkpoints")[-1].step == 10
    go_on(settings, tmp_path / "killed")

    ends = [tmp_path / name / "checkpoints" / "00000020" for name in ("straight", "killed")]
    assert_same_bits(*ends)
    lines = [read_metrics(tmp_path / name) for name in ("straight", "killed")]
    for run in lines:
        assert [line["step"] for line in run if line["kind"] == "step"] == list(range(1, 21))
        for line in run:
            line.pop("pictures_per_second", None)
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_a_run_that_stops_while_it_measures_makes_up_for_it(data: Path, tmp_path: Path) -> None:
    settings = config(data, held_out_share=0.2)
    go_on(settings, tmp_path / "straight")
    with open_run(settings, tmp_path / "stopped", load_init=no_init) as run:
        run.is_stopping = lambda: run.state.step == 10
        for step in run.steps():
            run.after(step)
            if run.is_stopping():
                break
    [begun, stopped] = checkpoint.saved(tmp_path / "stopped" / "checkpoints")
    assert (begun.step, stopped.step, stopped.held_out) == (0, 10, {})
    go_on(settings, tmp_path / "stopped")

    straight, stopped_ends = (
        tmp_path / name / "checkpoints" / "00000020" for name in ("straight", "stopped")
    )
    assert_same_bits(straight, stopped_ends)
    lines = [read_metrics(tmp_path / name) for name in ("straight", "stopped")]
    for line in (*lines[0], *lines[1]):
        line.pop("pictures_per_second", None)
    assert lines[0] == lines[1]


def interrupted(run: Run) -> None:
    raise KeyboardInterrupt


def full_disk(path: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.parametrize("after", [0, 1, 4, 6])
def test_a_full_disk_loses_only_the_steps_since_the_last_save(
    after: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = config(data, keep=1), tmp_path / "run"
    go_on(settings, folder, 10)
    before = contents(folder / "checkpoints" / "00000010")
    write, left = files.write_bytes, after

    def writes_until_full(path: Path, content: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            path.write_bytes(content[: len(content) // 2])
            full_disk(path)
        write(path, content)

    with open_run(settings, folder, load_init=no_init) as run:
        for module in (files, tensors):
            monkeypatch.setattr(module, "write_bytes", writes_until_full)
        for step in islice(run.steps(), 9):
            run.after(step)
        step = next(run.steps())
        with pytest.raises(StudioError, match="No space left") as caught:
            run.after(step)
    assert "resume it: it goes on from step 10" in caught.value.hint
    assert str(tmp_path) not in caught.value.message
    monkeypatch.undo()
    kept = contents(folder / "checkpoints" / "00000010")
    assert all(torch.equal(before[name], kept[name]) for name in before)
    go_on(settings, folder)
    assert [s.step for s in checkpoint.saved(folder / "checkpoints")] == [20]


def test_a_half_written_checkpoint_is_swept_away_and_never_resumed(
    data: Path, tmp_path: Path
) -> None:
    settings, folder = config(data), tmp_path / "run"
    go_on(settings, folder, 12)
    whole = folder / "checkpoints" / "00000010"
    half = folder / "checkpoints" / ".tmp-00000012"
    shutil.copytree(whole, half)
    (half / "weights.safetensors").write_bytes(b"half")
    with open_run(settings, folder, load_init=no_init) as run:
        assert run.state.step == 10
    assert not half.exists()


def test_a_run_killed_between_its_checkpoint_and_its_model_makes_up_for_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = config(data), tmp_path / "run"
    monkeypatch.setattr(Run, "_export", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go_on(settings, folder)
    monkeypatch.undo()
    assert not (folder / "model").exists()
    (folder / ".tmp-model").symlink_to("checkpoints")
    go_on(settings, folder, 0)
    assert (folder / "model").readlink() == Path("exports/00000000")
    assert not (folder / ".tmp-model").is_symlink()


@pytest.mark.parametrize("step", [10, 20])
def test_a_run_killed_while_it_paints_makes_up_for_it(
    step: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(data, sample_every=10, snapshot_every=10, keep_models=True, keep=1)
    go_on(settings, tmp_path / "straight")

    def killed(run: Run) -> None:
        if run.state.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "_snapshot", killed)
    with pytest.raises(KeyboardInterrupt):
        go_on(settings, tmp_path / "killed")
    monkeypatch.undo()
    go_on(settings, tmp_path / "killed", 0)
    for place in ("samples/{}.png", "snapshots/{}/ema-0.050.safetensors"):
        straight, made_up = (
            (tmp_path / name / place.format(f"{step:08d}")).read_bytes()
            for name in ("straight", "killed")
        )
        assert straight == made_up
    assert (tmp_path / "killed" / "exports" / f"{step:08d}").is_dir()


def test_samples_are_of_the_average_that_was_measured_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = config(data, held_out_share=0.2, sample_every=10), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_measure", lambda run: {})  # as when it is to stop meanwhile
        go_on(settings, folder, 10)
    before = (folder / "samples" / "00000010.png").stat().st_mtime_ns
    go_on(settings, folder, 0)
    assert (folder / "samples" / "00000010.png").stat().st_mtime_ns > before


def test_a_metrics_line_that_was_cut_off_is_dropped(data: Path, tmp_path: Path) -> None:
    settings, folder = config(data), tmp_path / "run"
    go_on(settings, folder, 10)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "step", "ste')
    go_on(settings, folder)
    steps = [line["step"] for line in read_metrics(folder)]
    assert steps == list(range(1, 21))


def test_the_newest_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    for step, loss in ((1, 0.5), (2, 0.3), (3, 0.4), (4, None), (5, 0.35)):
        folder = root / f"{step:08d}"
        folder.mkdir(parents=True)
        held_out = {} if loss is None else {"raw": 1.0, "ema-0.050": loss}
        state = {"step": step, "views": step, "held_out": held_out}
        (folder / "state.json").write_text(json.dumps(state))
    checkpoint.prune(root, keep=2)
    assert [state.step for state in checkpoint.saved(root)] == [2, 4, 5]


def test_a_run_leaves_a_model_that_the_studio_and_diffusers_load(
    data: Path, tmp_path: Path
) -> None:
    settings = config(
        data, labels={"source": "folders"}, objective="hybrid", held_out_share=0.2, sample_every=20
    )
    go_on(settings, tmp_path / "run")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "run" / "model")
    loaded = ModelStore([tmp_path / "run"], device="cpu").load("model")
    assert loaded.info.labels == ("garden", "river")
    assert loaded.info.null_label == 2
    assert loaded.info.learned_variance
    assert pipeline.scheduler.config["variance_type"] == "learned_range"
    state = checkpoint.saved(tmp_path / "run" / "checkpoints")[-1]
    best = min(settings.ema_names, key=lambda name: state.held_out[name])
    weights = checkpoint.read_tensors(tmp_path / f"run/checkpoints/00000020/{best}.safetensors")
    for name, value in pipeline.unet.state_dict().items():
        assert torch.equal(value, weights[name])
    with Image.open(tmp_path / "run" / "samples" / "00000020.png") as grid:
        assert grid.size == (32, 16)
    assert len(list((tmp_path / "run" / "exports").iterdir())) == 1


def test_the_models_that_painted_samples_are_kept_as_they_were(data: Path, tmp_path: Path) -> None:
    exports, weights = tmp_path / "run" / "exports", "unet/diffusion_pytorch_model.safetensors"
    settings = config(data, keep_models=True, save_every=5, sample_every=10, keep=1)
    go_on(settings, tmp_path / "run", 10)
    painted = (exports / "00000010" / weights).read_bytes()
    go_on(settings, tmp_path / "run")
    assert sorted(path.name for path in exports.iterdir()) == ["00000010", "00000020"]
    assert (exports / "00000010" / weights).read_bytes() == painted
    assert (exports / "00000020" / weights).read_bytes() != painted


def test_any_kept_weights_can_be_chosen_afterwards(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    go_on(config(data, snapshot_every=5, keep=1), run)
    export_choice(run, tmp_path / "late", weights="raw")
    late = DDPMPipeline.from_pretrained(tmp_path / "late").unet.state_dict()
    kept = checkpoint.read_tensors(run / "checkpoints/00000020/weights.safetensors")
    assert all(torch.equal(late[name], kept[name]) for name in kept)
    export_choice(run, tmp_path / "early", weights="ema-0.100", step=5, half=True)
    early = ModelFiles("early", tmp_path / "early")
    assert b'"F16"' in early.weights_files[0].read_bytes()[:400]
    assert load_initial_model(early).network.dtype == torch.float32
    for weights, step, reason in (("raw", 5, "kept no weights"), ("ema-9", None, "kept no")):
        with pytest.raises(StudioError, match=reason):
            export_choice(run, tmp_path / "no", weights=weights, step=step)
    with pytest.raises(StudioError, match="is no run"):
        export_choice(tmp_path, tmp_path / "no", weights="raw")
    with pytest.raises(StudioError, match="there already"):
        export_choice(run, tmp_path / "late", weights="raw")


def test_snapshots_keep_every_average_for_good(data: Path, tmp_path: Path) -> None:
    go_on(config(data, snapshot_every=5, keep=1), tmp_path / "run")
    kept = sorted(
        path.relative_to(tmp_path / "run" / "snapshots").as_posix()
        for path in (tmp_path / "run" / "snapshots").rglob("*.safetensors")
    )
    assert kept == [
        f"{step:08d}/{name}.safetensors"
        for step in (5, 10, 15, 20)
        for name in ("ema-0.050", "ema-0.100")
    ]


def test_a_model_stored_in_fp16_is_trained_on_in_fp32(data: Path, tmp_path: Path) -> None:
    source = save_tiny_model(tmp_path / "half")
    pipeline = DDPMPipeline.from_pretrained(source)
    pipeline.unet.half()
    pipeline.save_pretrained(source)
    stored = {n: w.float() for n, w in pipeline.unet.state_dict().items()}
    settings = TrainConfig.checked(fields(data, init="half", network=None))
    with open_run(
        settings,
        tmp_path / "run",
        load_init=lambda name: load_initial_model(ModelFiles(name, source)),
    ) as run:
        weights = run.state.weights()
        assert {w.dtype for w in weights.values()} == {torch.float32}
        assert all(torch.equal(weights[n], stored[n]) for n in stored)
        run.after(next(run.steps()))
        run.save()
    shutil.rmtree(source)  # a resumed run needs it no more
    with open_run(settings, tmp_path / "run", load_init=no_init) as run:
        assert run.state.step == 1


@pytest.mark.parametrize(
    ("model", "changes", "reason"),
    [
        ({"out_channels": 6}, {}, "learns its variance"),
        ({}, {"prediction": "v_prediction"}, "predicts epsilon"),
        ({"num_class_embeds": 3}, {}, "classes are"),
        ({"num_class_embeds": 4}, {"labels": {"source": "folders"}}, "classes are"),
        ({}, {"phases": [{"size": 15, "views": 8}]}, "can't take"),
    ],
)
def test_a_model_of_another_kind_is_refused_before_anything_is_written(
    model: dict[str, object], changes: dict[str, object], reason: str, data: Path, tmp_path: Path
) -> None:
    source = save_tiny_model(tmp_path / "model", **model)
    settings = TrainConfig.checked(fields(data, init="model", network=None) | changes)
    with (
        pytest.raises(StudioError, match=reason),
        open_run(
            settings,
            tmp_path / "run",
            load_init=lambda n: load_initial_model(ModelFiles(n, source)),
        ),
    ):
        pass
    assert not (tmp_path / "run").exists()


def test_other_settings_and_changed_data_are_refused_on_resuming(tmp_path: Path) -> None:
    folder, pictures = tmp_path / "run", save_pictures(tmp_path / "data", 8)
    go_on(config(pictures), folder, 1)
    with pytest.raises(StudioError, match="learning_rate"):
        go_on(config(pictures, learning_rate=1e-3), folder)
    go_on(config(pictures, keep=5, save_every=7), folder, 1)
    shutil.copy(pictures / "garden" / "00.png", pictures / "more.png")
    with pytest.raises(StudioError, match="pictures or their labels changed"):
        go_on(config(pictures), folder)


def test_a_run_that_knew_its_pictures_by_their_sizes_goes_on_and_knows_their_contents(
    tmp_path: Path,
) -> None:
    folder, pictures = tmp_path / "run", save_pictures(tmp_path / "data", 8)
    go_on(config(pictures), folder, 1)
    data = json.loads((folder / "data.json").read_text())
    data["fingerprints"] = {"data": data.pop("contents")["data"], "held_out": ""}
    (folder / "data.json").write_text(json.dumps(data))
    go_on(config(pictures), folder, 1)
    (pictures / "garden" / "00.png").write_bytes(b"another picture")
    with pytest.raises(StudioError, match="changed"):
        go_on(config(pictures), folder)


def test_changed_labels_are_refused_on_resuming(tmp_path: Path) -> None:
    folder, pictures = tmp_path / "run", save_pictures(tmp_path / "data", 8)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file,artist\n00.png,Monet\n01.png,Sisley\n")
    labels = {"source": "manifest", "manifest": str(manifest), "column": "artist"}
    go_on(config(pictures, labels=labels), folder, 1)
    go_on(config(pictures, labels=labels), folder, 1)
    manifest.write_text("file,artist\n00.png,Sisley\n01.png,Monet\n")
    with pytest.raises(StudioError, match="labels changed"):
        go_on(config(pictures, labels=labels), folder)


def test_a_run_may_be_made_longer_before_its_learning_rate_falls(
    data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    go_on(config(data, decay_share=0.4), folder, 10)  # of 20, the last 8 of which decay
    longer = config(data, decay_share=0.2, phases=[{"size": 16, "views": 100}])
    go_on(longer, folder)
    assert checkpoint.saved(folder / "checkpoints")[-1].step == 25
    with pytest.raises(StudioError, match="phases"):
        go_on(config(data, decay_share=0.2, phases=[{"size": 16, "views": 120}]), folder)
    with pytest.raises(StudioError, match="phases"):
        go_on(config(data, decay_share=0.2, phases=[{"size": 16, "views": 40}]), folder)


def test_a_checkpoint_of_another_architecture_or_a_damaged_one_is_refused(
    data: Path, tmp_path: Path
) -> None:
    settings, folder = config(data), tmp_path / "run"
    go_on(settings, folder, 10)
    newest = folder / "checkpoints" / "00000010"
    whole = (newest / "weights.safetensors").read_bytes()
    weights = checkpoint.read_tensors(folder / "checkpoints/00000010/weights.safetensors")
    checkpoint.write_tensors(newest / "weights.safetensors", {**weights, "extra": torch.ones(1)})
    with pytest.raises(StudioError, match="another architecture"):
        go_on(settings, folder)
    (newest / "weights.safetensors").write_bytes(whole[:-10])
    with pytest.raises(StudioError, match="can't be used") as caught:
        go_on(settings, folder)
    assert "Move that folder away" in caught.value.hint
    shutil.rmtree(newest)
    with open_run(settings, folder, load_init=no_init) as run:
        assert run.state.step == 0


def test_places_where_no_run_can_be_are_refused(data: Path, tmp_path: Path) -> None:
    settings = config(data)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "novel.txt").touch()
    for folder, reason in (
        (tmp_path / "other", "not empty"),
        (tmp_path / "other" / "novel.txt", "is a file"),
        (data / "run", "among the pictures"),
    ):
        with pytest.raises(StudioError, match=reason):
            go_on(settings, folder)
    for held_out in (data, data / "river", data.parent):
        with pytest.raises(StudioError, match="are training pictures"):
            go_on(config(data, held_out=str(held_out)), tmp_path / "run")
    (tmp_path / "titles.csv").write_text("file,name\na.png,A\n")
    with pytest.raises(StudioError, match="lacks a column"):
        go_on(config(data, titles=str(tmp_path / "titles.csv")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_has_one_process_at_a_time(data: Path, tmp_path: Path) -> None:
    settings = config(data)
    with (
        open_run(settings, tmp_path / "run", load_init=no_init),
        pytest.raises(StudioError, match="Another process"),
        open_run(settings, tmp_path / "run", load_init=no_init),
    ):
        pass


def test_a_loss_that_is_no_number_stops_the_run_and_is_not_saved(
    data: Path, tmp_path: Path
) -> None:
    settings = config(data, save_every=1)
    with open_run(settings, tmp_path / "run", load_init=no_init) as run:
        steps = run.steps()
        run.after(next(steps))
        with torch.no_grad():
            next(run.state.network.parameters()).fill_(float("nan"))
        with pytest.raises(StudioError, match="diverged"):
            run.after(next(steps))
    assert [s.step for s in checkpoint.saved(tmp_path / "run" / "checkpoints")] == [0, 1]


def test_the_skipped_pictures_are_in_the_runs_report(tmp_path: Path) -> None:
    pictures = save_pictures(tmp_path / "data", 6)
    (pictures / "broken.jpg").write_bytes(b"no picture")
    with open_run(config(pictures), tmp_path / "run", load_init=no_init) as run:
        assert isinstance(run, Run)
        assert [skipped.name for skipped in run.decoded.skipped] == ["broken.jpg"]
    report = json.loads((tmp_path / "run" / "data.json").read_text())
    assert report["skipped"][0]["name"] == "broken.jpg"
    assert report["pictures"] == 6
