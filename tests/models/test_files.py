"""Sizes other than 64 px, and grey, work everywhere: painting, laboratories, player, training."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from PIL import Image

from app.laboratory.bound import BoundLab
from app.laboratory.experiments import (
    BoundRequest,
    Chain,
    Denoising,
    ForwardStrip,
    Grid,
    Morph,
    PosteriorStep,
    Subject,
)
from app.laboratory.mix import MixLab
from app.laboratory.noise import NoiseLab
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe
from app.settings import Settings
from app.studio import Studio
from app.training.architecture import load_initial_model
from app.training.resume import open_run
from app.ui.components.messages import Failure
from app.ui.paint.stream import paint_messages
from tests.conftest import save_tiny_model
from tests.laboratory.pictures import upload
from tests.training.tiny import config, save_pictures

EARLY: Final[Mapping[str, object]] = {
    # As google/ddpm-cifar10-32 and its like are configured, in small.
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
}
# Attention at 128 px would take gigabytes.
PLAIN: Final[Mapping[str, object]] = {
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "add_attention": False,
}
MODELS: Final[Mapping[str, Mapping[str, object]]] = {
    "grey-16": {"sample_size": 16, "in_channels": 1, "out_channels": 1},
    "early-32": {"sample_size": 32, **EARLY},
    "grey-learned-48": {"sample_size": 48, "in_channels": 1, "out_channels": 2},
    "large-256": {"sample_size": 256, "block_out_channels": (8, 8), **PLAIN},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    for name, changes in MODELS.items():
        save_tiny_model(folder / name, **changes)
    return folder


@pytest.fixture(scope="module")
def painter(root: Path) -> Painter:
    return Painter(ModelStore([root], "cpu", 1))


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def side(name: str) -> int:
    return int(name.rpartition("-")[2])


def test_a_painting_has_the_models_size_and_colours(painter: Painter, name: str) -> None:
    recipe = painter.complete(Recipe(model=name, steps=3, pictures=2))
    for _ in painter.films.stream(recipe):
        pass
    for result in painter.films.pictures(recipe):
        picture = Image.open(io.BytesIO(result.png()))
        assert picture.size == (side(name), side(name))
        if name.startswith("grey"):
            red, green, blue = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
            assert np.array_equal(red, green)
            assert np.array_equal(red, blue)
        assert Image.open(io.BytesIO(result.strip())).size[0] > side(name)
        assert Image.open(io.BytesIO(result.animation("gif"))).format == "GIF"


def test_the_network_is_diffusers_own(painter: Painter, root: Path, name: str) -> None:
    unet = UNet2DModel.from_pretrained(root / name / "unet")
    channels, generator = unet.config["in_channels"], torch.Generator().manual_seed(0)
    x_t = torch.randn((2, channels, side(name), side(name)), generator=generator)
    t = torch.tensor([3, 700])
    with torch.no_grad():
        expected = unet(x_t, t).sample[:, :channels]
    found = painter.models.load(name).denoiser("exact").predict(x_t, t, None).output
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_player_gets_every_frame(root: Path, tmp_path: Path, name: str) -> None:
    studio = Studio(Settings(models_dir=root, data_dir=tmp_path, device="cpu", threads=1))
    recipe = Recipe(model=name, steps=3, pictures=2)
    messages = list(paint_messages(studio, lambda: recipe))
    assert not any(isinstance(message, Failure) for message in messages)
    assert len(messages) >= 3


def test_noise_is_taken_apart(painter: Painter, name: str) -> None:
    lab, source = NoiseLab(painter), upload(side=side(name))
    strip = lab.strip(ForwardStrip(model=name, source=source, moments=3))
    assert strip.moments[0].sample.pixels.shape == (side(name), side(name), 3)
    assert strip.png()
    assert lab.chain(Chain(model=name, source=source, t=5)).png()
    assert lab.inspect(PosteriorStep(model=name, source=source, t=5)).png()
    wish = {"run": {"model": name, "steps": 4}, "source": source, "t": 500}
    (found,) = lab.films.pictures(Denoising.checked(wish))
    assert found.pixels.shape == (side(name), side(name), 3)


def test_pictures_are_mixed(painter: Painter, name: str) -> None:
    lab = MixLab(painter)
    pair = {
        "run": {"model": name, "steps": 4, "sampler": "ddim"},
        "first": upload(1, side(name)),
        "second": upload(2, side(name)),
    }
    grid = lab.grids.result(Grid.checked(pair | {"rows": (0, 500), "between": 1}))
    assert grid.rows[1] is not None
    assert grid.rows[1][0].shape == (side(name), side(name), 3)
    assert grid.png()
    assert lab.morphs.result(Morph.checked(pair | {"t": 500, "frames": 2})).strip()


def test_the_bound_is_computed(painter: Painter, name: str) -> None:
    subjects = (Subject(source=upload(side=side(name)), name="upload"),)
    wish = BoundRequest.checked({"model": name, "subjects": subjects, "terms": 3, "draws": 1})
    last = BoundLab(painter).bounds.result(wish).latest
    assert last is not None
    assert 0 < last.subjects[0].total < 1e6


@pytest.mark.parametrize("name", ["grey-16", "early-32", "grey-learned-48"])
def test_training_goes_on_from_it(painter: Painter, tmp_path: Path, name: str) -> None:
    data = save_pictures(tmp_path / "data", count=8, side=side(name))
    settings = config(
        data,
        network=None,
        init=name,
        phases=[{"size": side(name), "views": 8}],
        objective="hybrid" if "learned" in name else "simple",
        sample_every=2,
        save_every=2,
    )
    load = lambda init: load_initial_model(painter.models.find(init))  # noqa: E731
    with open_run(settings, tmp_path / "run", load_init=load) as run:
        for step in run.steps():
            run.after(step)
    trained = ModelStore([tmp_path / "run"], "cpu", 1).load("model")
    assert (trained.info.size, trained.info.channels) == (
        side(name),
        painter.models.describe(name).channels,
    )
    with Image.open(tmp_path / "run" / "samples" / "00000002.png") as grid:
        assert grid.size == (2 * side(name), side(name))
    assert json.loads((tmp_path / "run" / "model" / "unet" / "config.json").read_text())
