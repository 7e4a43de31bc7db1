"""A model trained in a latent space: its data, its runs, and what they leave."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LDMPipeline
from PIL import Image

from app.__main__ import main
from app.errors import StudioError
from app.images.pixels import to_unit
from app.models.autoencoders import AutoencoderFiles, autoencoder_files, load_autoencoder
from app.models.files import ModelFiles
from app.models.store import ModelStore
from app.networks.autoencoder import latents_of
from app.painting.film import Moment
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.training import checkpoint
from app.training.architecture import load_initial_model
from app.training.config import TrainConfig
from app.training.export import export_choice
from app.training.latents import LatentCache
from app.training.resume import open_run
from tests.training.pictures import landscapes
from tests.training.test_run import read_metrics
from tests.training.tiny import no_init
from tests.training.tiny_latent import (
    autoencoder_config,
    go_on,
    latent_config,
    latent_fields,
    save_landscapes,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_landscapes(tmp_path_factory.mktemp("pictures") / "data")


@pytest.fixture(scope="module")
def autoencoder(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained autoencoder of f = 2 and 2 channels."""
    return go_on(autoencoder_config(pictures), tmp_path_factory.mktemp("autoencoder") / "run")


def test_pictures_are_encoded_once_each_with_its_mirror_image(
    autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, pixels = AutoencoderFiles("ae", autoencoder), landscapes(5, 32)
    space = LatentCache(files, tmp_path / "cache")
    found = space.latents(pixels, mirrored=True)
    assert found.shape == (5, 2, 2, 16, 16)
    network = load_autoencoder(files)
    for view, x in enumerate((to_unit(pixels), to_unit(pixels).flip(-1))):
        with torch.no_grad():
            expected = latents_of(network, x).half().numpy()
        np.testing.assert_array_equal(found[:, view], expected)
    monkeypatch.setattr("app.training.latents.load_autoencoder", lambda files: 1 / 0)
    np.testing.assert_array_equal(space.latents(pixels, mirrored=True), found)
    for other in (landscapes(5, 32, seed=1), pixels[:4]):
        with pytest.raises(ZeroDivisionError):
            space.latents(other, mirrored=True)
    with pytest.raises(ZeroDivisionError):
        space.latents(pixels, mirrored=False)


def test_batches_are_latents_of_unit_variance(
    pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    settings = latent_config(
        pictures, autoencoder, batch_size=24, phases=[{"size": 32, "views": 48}]
    )
    with open_run(settings, tmp_path / "run", load_init=no_init) as run:
        batch = run.decoded.training.views(settings, 0, 1000).rows(slice(0, 24))
        (size,) = run.decoded.training.pictures.pixels
        pixels = run.decoded.training.pictures.pixels[size]
        factor = run.decoded.scaling_factor
        assert factor is not None
        assert run.architecture.channels == 2
        assert run.architecture.picture_channels == 3
    assert batch.x_0.shape == batch.eps.shape == (24, 2, 16, 16)
    network = load_autoencoder(AutoencoderFiles("ae", autoencoder))
    with torch.no_grad():
        views = (to_unit(pixels), to_unit(pixels).flip(-1))
        plain, mirrored = (latents_of(network, x) for x in views)
    assert factor == pytest.approx(1 / float(plain.std()), rel=2e-3)
    known = torch.cat([plain, mirrored]) * factor
    for x_0 in batch.x_0:
        assert float((known - x_0).flatten(1).abs().max(1).values.min()) < 5e-3


def test_a_resumed_latent_run_is_bit_for_bit_an_uninterrupted_one(
    pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(autoencoder.resolve(), tmp_path / "moved")
    settings = latent_config(pictures, moved, held_out_share=0.3, sample_every=6)
    go_on(settings, tmp_path / "straight")
    go_on(settings, tmp_path / "halting", 4)
    shutil.rmtree(moved)  # the run has its own
    go_on(settings, tmp_path / "halting")
    ends = [tmp_path / name / "checkpoints" / "00000006" for name in ("straight", "halting")]
    for file in ends[0].glob("*.safetensors"):
        a, b = (checkpoint.read_tensors(end / file.name) for end in ends)
        assert [name for name in a if not torch.equal(a[name], b[name])] == []
    losses = [line for line in read_metrics(tmp_path / "straight") if line["kind"] == "held_out"]
    assert len(losses[-1]["by_quarter"]) == 4  # type: ignore[arg-type]
    with Image.open(tmp_path / "straight" / "samples" / "00000006.png") as sheet:
        assert sheet.size == (2 * 32, 32)


def test_diffusers_paints_with_what_a_run_leaves(
    pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    model = go_on(latent_config(pictures, autoencoder), tmp_path / "run")
    pipeline = LDMPipeline.from_pretrained(model)
    assert pipeline.unet.config.sample_size == 16
    assert pipeline.scheduler.config.clip_sample is False
    picture = pipeline(num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert picture.size == (32, 32)
    scale = json.loads((model / "vqvae" / "config.json").read_text())["scaling_factor"]
    with open_run(latent_config(pictures, autoencoder), tmp_path / "run", load_init=no_init) as run:
        assert run.decoded.scaling_factor == scale
    export_choice(tmp_path / "run", tmp_path / "half", weights="raw", half=True)
    assert LDMPipeline.from_pretrained(tmp_path / "half").vqvae.config.scaling_factor == scale
    again = autoencoder_files("again", tmp_path / "half")
    assert (again.factor, again.latent_channels) == (2, 2)
    # A further model in the same latent space takes the whole model's folder.
    other = go_on(latent_config(pictures, tmp_path / "half", seed=1), tmp_path / "other", 1)
    assert (other.parent / "vqvae" / "config.json").is_file()


def test_a_latent_model_is_trained_on_in_its_own_space(
    pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    model = go_on(latent_config(pictures, autoencoder), tmp_path / "first").resolve()
    files = ModelFiles("first", model)
    scale = json.loads((model / "vqvae" / "config.json").read_text())["scaling_factor"]
    few = save_landscapes(tmp_path / "few", 3)
    settings = latent_config(few, model, init="first", network=None)
    with open_run(settings, tmp_path / "run", load_init=lambda _: load_initial_model(files)) as run:
        assert run.decoded.scaling_factor == scale
        run.after(next(run.steps()))
        run.save()
    again = json.loads((tmp_path / "run" / "model" / "vqvae" / "config.json").read_text())
    assert again["scaling_factor"] == scale
    store = ModelStore([tmp_path / "run"])
    assert store.describe("model").size == 32
    wish = Recipe.checked({"model": "model", "steps": 2, "precision": "exact"})
    *_, last = Painter(store).films.stream(wish)
    assert isinstance(last, Moment)
    assert last.x_t.shape == (1, 32, 32, 3)


def test_the_shell_trains_on_in_the_models_own_space(
    pictures: Path, autoencoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = go_on(latent_config(pictures, autoencoder), tmp_path / "first").resolve()
    command = ["train", "--init", str(model), "--data", str(pictures), "--out", str(tmp_path / "r")]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--views", "8", "--batch-size", "4"])
    settings = json.loads((tmp_path / "r" / "config.json").read_text())
    assert settings["latent"] == str(model)
    assert settings["phases"] == [{"size": 32, "views": 8, "sides": None}]
    assert "of pixels, not of latents" in capsys.readouterr().err


def broken(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_class_name": "UNet2DModel"}, "its autoencoder's class is 'UNet2DModel'"),
        ({"latent_channels": 3}, "tensors of its autoencoder don't fit"),
        ({"scaling_factor": -1}, "scaling_factor"),
    ],
)
def test_an_autoencoder_that_cant_be_used_is_refused_before_a_run_begins(
    changes: dict[str, object], reason: str, pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(autoencoder.resolve(), tmp_path / "ae")
    broken(folder, **changes)
    with pytest.raises(StudioError, match=reason):
        go_on(latent_config(pictures, folder), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"crop_scale": 0.5}, "without crop_scale below 1"),
        ({"objective": "hybrid"}, "without objective hybrid"),
        ({"stage": {}, "network": None}, "give one of stage, latent"),
    ],
)
def test_settings_that_no_latent_model_can_be_trained_with_are_refused(
    changes: dict[str, object], reason: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudioError, match=r"configuration can't be used") as caught:
        TrainConfig.checked(latent_fields(pictures, tmp_path, **changes))
    assert reason in caught.value.message


def test_sizes_that_the_factor_doesnt_divide_are_refused(
    pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    settings = latent_config(pictures, autoencoder, phases=[{"size": 18, "views": 8}])
    with pytest.raises(StudioError, match=r"to 1/4: it can't take \[18\] px"):
        go_on(settings, tmp_path / "run")
