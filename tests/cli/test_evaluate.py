"""`evaluate` and `index` from a shell."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.__main__ import main
from app.images.pixels import to_unit
from app.models.store import ModelStore
from app.painting.recipe import read_recipe
from tests.conftest import (
    save_tiny_latent_model,
    save_tiny_model,
    save_tiny_stage,
    set_timesteps,
)
from tests.torchrun import torchrun
from tests.training.pictures import landscapes, save_pictures
from tests.training.tiny import config


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with `paintings`, `validation` and `empty`."""
    save_pictures(tmp_path / "data" / "paintings", landscapes(40, seed=1))
    save_pictures(tmp_path / "data" / "validation", landscapes(20, seed=2))
    (tmp_path / "data" / "empty").mkdir()
    return tmp_path / "data"


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Shell = Callable[..., Answer]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs a command with the models of a folder."""

    def run(models: Path, *arguments: object) -> Answer:
        monkeypatch.setenv("PLEIN_AIR_MODELS", str(models))
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Answer(ended.value.code, said.out, said.err)

    return run


def test_index_then_evaluate_prints_a_table_and_writes_json(
    shell: Shell, model_root: Path, data: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(model_root / "tiny", models / "tiny")
    paintings, validation = data / "paintings", data / "validation"
    made = shell(models, "index", "tiny", "--data", paintings, "--held-out", validation)
    assert made.code == 0, made.err
    assert "indexed 40 pictures" in made.out
    assert (models / "tiny" / "novelty.safetensors").is_file()

    out = tmp_path / "figures.json"
    done = shell(
        models, "evaluate", "tiny", "--data", validation, "--sampler", "ddim:2:17",
        "--sampler", "ddpm:3", "--count", 16, "--no-style", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "| ddim | 2 | 17 / 20 |" in done.out
    assert "| ddpm | 3 | 16 / 20 |" in done.out
    assert "nearest training picture of" in done.out
    assert "ddpm 3: 100%" in done.err
    found = json.loads(out.read_text())
    assert [row["plan"]["sampler"] for row in found["rows"]] == ["ddim", "ddpm"]
    assert found["rows"][0]["novelty"]["pictures"] == 17
    assert not list(tmp_path.glob("*.tmp"))


def test_a_schedule_is_judged_and_painted_by_its_name(
    shell: Shell, model_root: Path, data: Path, tmp_path: Path
) -> None:
    models, out = tmp_path / "models", tmp_path / "figures.json"
    tiny = shutil.copytree(model_root / "tiny", models / "tiny")
    lists = {"step_t": [1000, 400], "step_eta": [1, 0]}
    weights = ModelStore([models]).find("tiny").weights_sha256
    entry = {"name": "2 steps", "sampler": "dpm-solver-eta", "weights": weights} | lists
    (tiny / "schedules.json").write_text(json.dumps({"schedules": [entry]}))
    done = shell(
        models, "evaluate", "tiny", "--data", data / "validation", "--sampler",
        "schedule:2 steps:16", "--no-style", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "| dpm-solver-eta, schedule 2 steps | 2 | 16 / 20 |" in done.out
    assert json.loads(out.read_text())["rows"][0]["plan"]["schedule"] == entry
    wrong = shell(
        models, "evaluate", "tiny", "--data", data, "--sampler", "schedule:9", "--no-style"
    )
    assert (wrong.code, "Choose one of: 2 steps." in wrong.err) == (1, True)

    painted = shell(
        models, "paint", "--model", "tiny", "--schedule", "2 steps", "--out", tmp_path / "pictures"
    )
    assert painted.code == 0, painted.err
    (picture,) = (tmp_path / "pictures").glob("*.png")
    assert read_recipe(picture.read_bytes()).step_t == (1000, 400)


def test_a_latent_model_stands_beside_its_autoencoder_and_a_cascade(
    shell: Shell, model_root: Path, tmp_path: Path
) -> None:
    models, out = tmp_path / "models", tmp_path / "figures.json"
    shutil.copytree(model_root / "tiny", models / "tiny")
    save_tiny_latent_model(models / "latent")
    save_tiny_stage(models / "brush")
    paintings = save_pictures(tmp_path / "paintings", landscapes(24, 32, seed=1))
    validation = save_pictures(tmp_path / "validation", landscapes(20, 32, seed=2))
    done = shell(
        models, "evaluate", "latent", "--data", validation, "--train", paintings, "--sampler",
        "ddim:2:16", "--cascade", "brush", "--first-stage", "tiny", "--no-style", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "| training paintings through the autoencoder |" in done.out
    assert "| tiny and brush, reduced |" in done.out
    autoencoder, cascade = json.loads(out.read_text())["beside"]
    models_store = ModelStore([models])
    pictures = to_unit(landscapes(20, 32, seed=2))
    model = models_store.load("latent")
    again = model.decode(model.encode(pictures)).clamp(-1, 1)
    mse = (again - pictures).square().mean((1, 2, 3)) / 4
    assert autoencoder["psnr_db"] == pytest.approx(float(-10 * mse.log10().mean()), abs=0.05)
    assert autoencoder["comparison"]["samples"] == cascade["comparison"]["samples"] == 16
    assert cascade["seconds"] > 0


def test_variances_are_estimated_and_kept_beside_the_model(
    shell: Shell, model_root: Path, data: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    set_timesteps(shutil.copytree(model_root / "classes", models / "classes"), 20)
    done = shell(models, "variances", "classes", "--data", data / "paintings")
    assert done.code == 0, done.err
    assert "20 numbers" in done.out
    found = json.loads((models / "classes" / "analytic.json").read_text())
    assert (len(found["eps_square"]), found["pictures"]) == (20, 40)
    painted = shell(
        models, "paint", "--model", "classes", "--sampler", "ddpm-analytic", "--steps", 5,
        "--class", "street", "--out", tmp_path / "out",
    )  # fmt: skip
    assert painted.code == 0, painted.err
    picture = next((data / "validation").iterdir())
    bound = shell(
        models, "bound", picture, "--model", "classes", "--variance", "analytic", "--terms", 4,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert bound.code == 0, bound.err


@pytest.mark.slow
def test_a_second_stage_is_judged_with_real_and_with_painted_pictures(
    shell: Shell, model_root: Path, tmp_path: Path
) -> None:
    held_out = save_pictures(tmp_path / "held-out", landscapes(16, 56, seed=1))
    train = save_pictures(tmp_path / "train", landscapes(17, 56, seed=2))
    out = tmp_path / "figures.json"
    done = shell(
        model_root, "evaluate", "brushwork-256", "--data", held_out, "--train", train,
        "--first-stage", "tiny", "--sampler", "sde:2", "--sampler", "ode:1:30:raw", "--count", 16,
        "--no-style", "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "| paintings | sde 2 | 16 / 16 |" in done.out
    assert "| tiny | ode 1, noise 30, raw | 16 / 16 |" in done.out
    assert "ode 1, noise 30, raw: 100%" in done.err
    assert "held-out loss: 100%" in done.err
    found = json.loads(out.read_text())
    assert [row["plan"] and row["plan"]["steps"] for row in found["rows"]] == [None, 2, 1]
    assert (found["copying"]["plan"]["steps"], found["copying"]["pictures"]) == (2, 17)
    assert "| 16 crops of 16 px in 17 training pictures |" in done.out
    assert not list(tmp_path.glob("*.tmp"))


def test_a_model_with_classes_is_judged_class_by_class_and_scale_by_scale(
    shell: Shell, model_root: Path, data: Path, tmp_path: Path
) -> None:
    garden = save_pictures(tmp_path / "train" / "garden", landscapes(12, seed=3))
    save_pictures(tmp_path / "train" / "river", landscapes(12, seed=4))
    settings = tmp_path / "config.json"
    settings.write_text(config(garden.parent, labels={"source": "folders"}).to_json())
    out = tmp_path / "figures.json"
    arguments = (
        "evaluate", "classes", "--data", data / "validation", "--no-style", "--count", 16,
        "--sampler", "ddim:2", "--class", "each", "--guidance", 1, "--guidance", 2,
        "--guidance-from", 700, "--labels", settings,
    )  # fmt: skip
    alone = shell(model_root, *arguments)
    assert "Give --train too" in alone.err
    done = shell(model_root, *arguments, "--train", garden.parent, "--out", out)
    assert done.code == 0, done.err
    assert "| ddim, each, guidance 2 from t = 700 to 0 | 2 | 48 / 20 |" in done.out
    plain, guided = json.loads(out.read_text())["rows"]
    assert (plain["asked"]["guidance_scale"], guided["asked"]["guidance_scale"]) == (1, 2)
    assert [it["name"] for it in guided["classes"]] == ["garden", "river", "street"]
    assert guided["classes"][0]["probe"]["paintings"] == 12
    refused = shell(model_root, *arguments[:-10], "--class", "Monet")
    assert "no class 'Monet'" in refused.err


@pytest.mark.slow
def test_two_processes_paint_the_pictures_that_one_paints(
    shell: Shell, model_root: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["evaluate", "tiny", "--data", str(data / "validation"), "--no-style"]
    arguments += ["--sampler", "ddim:3:40", "--precision", "exact"]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = shell(model_root, *arguments, "--out", one)
    assert alone.code == 0, alone.err
    shared = torchrun("-m", "app", *arguments, "--out", str(two))
    assert shared.returncode == 0, shared.stderr
    assert shared.stdout.count("precision exact") == 1  # the first process alone prints
    assert "ddim 3: 100%" in shared.stderr
    ours, theirs = (json.loads(out.read_text())["rows"][0]["comparison"] for out in (one, two))
    assert ours["samples"] == 40
    for figure in ("patches", "mean"), ("spectrum", "error"), ("spaces", 0, "squared_mmd"):
        mine, other = ours, theirs
        for key in figure:
            mine, other = mine[key], other[key]
        assert mine == pytest.approx(other, rel=1e-3)  # intervals too: the order is the same


STAGE = ("evaluate", "brushwork-256", "--data", "{validation}", "--no-style")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("evaluate", "nobody", "--data", "{validation}"), "no model 'nobody'"),
        (("evaluate", "tiny", "--data", "{missing}"), "There is no folder"),
        (("evaluate", "tiny", "--data", "{empty}"), "no picture in"),
        (("evaluate", "tiny", "--data", "{validation}", "--train", "{empty}"), "no picture in"),
        (("evaluate", "tiny", "--data", "{validation}", "--sampler", "magic:5"), "no sampler"),
        (("evaluate", "tiny", "--data", "{validation}", "--sampler", "ddim"), "sampler:steps"),
        (("evaluate", "tiny", "--data", "{validation}", "--sampler", "ddim:1001"), "1000"),
        (("evaluate", "tiny", "--data", "{validation}", "--count", "3"), "can't be judged"),
        (("evaluate", "tiny", "--data", "{validation}", "--out", "{missing}/x.json"), "be written"),
        (("evaluate", "tiny", "--data", "{validation}", "--precision", "vague"), "precision"),
        (("evaluate", "tiny"), "--data"),
        ((*STAGE, "--first-stage", "nobody"), "no model 'nobody'"),
        ((*STAGE, "--first-stage", "tiny", "--sampler", "ddim:5"), "doesn't say how"),
        ((*STAGE, "--first-stage", "tiny", "--sampler", "sde:101"), "stage_steps is 101"),
        ((*STAGE, "--first-stage", "tiny", "--sampler", "sde:9:92"), "never seen small pictures"),
        ((*STAGE, "--first-stage", "tiny", "--count", "3"), "can't be judged"),
        ((*STAGE, "--first-stage", "tiny", "--out", "{missing}/x.json"), "be written"),
        ((*STAGE, "--first-stage", "tiny", "--train", "{empty}"), "no picture in"),
        ((*STAGE, "--first-stage", "tiny"), "20 pictures, and 32 are needed"),
        (("index", "nobody", "--data", "{validation}"), "no model 'nobody'"),
        (("index", "tiny", "--data", "{empty}"), "no picture in"),
        (("index", "tiny", "--data", "{validation}", "--manifest", "{missing}"), "can't be read"),
    ],
)  # fmt: skip
def test_a_wrong_word_gets_an_answer_before_any_time_is_spent(
    shell: Shell, model_root: Path, data: Path, arguments: tuple[str, ...], reason: str
) -> None:
    places = {name: data / name for name in ("validation", "empty", "missing")}
    said = shell(model_root, *(text.format(**places) for text in arguments))
    assert said.code != 0
    assert reason in said.err
    assert "reading" not in said.err
    assert said.out == ""


def test_a_missing_style_network_is_said_before_any_time_is_spent(
    shell: Shell, model_root: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.evaluation.features.find_spec", lambda name: None)
    said = shell(model_root, "evaluate", "tiny", "--data", data / "validation")
    assert said.code == 1
    assert "pip install" in said.err
    assert "reading" not in said.err


def test_a_stale_index_is_said_before_any_time_is_spent(
    shell: Shell, model_root: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_root / "tiny", tmp_path / "tiny")
    paintings = data / "paintings"
    assert shell(tmp_path, "index", "tiny", "--data", paintings).code == 0
    save_tiny_model(tmp_path / "tiny", block_out_channels=(16, 24))
    said = shell(tmp_path, "evaluate", "tiny", "--data", data / "validation", "--no-style")
    assert said.code == 1
    assert "other weights" in said.err
    assert "reading" not in said.err


def test_pictures_too_small_to_be_judged_are_refused(
    shell: Shell, data: Path, tmp_path: Path
) -> None:
    save_tiny_model(tmp_path / "small", sample_size=8)
    said = shell(tmp_path, "evaluate", "small", "--data", data / "validation", "--no-style")
    assert said.code == 1
    assert "too small to be judged" in said.err
