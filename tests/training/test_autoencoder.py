"""An autoencoder trained: its views, its objective, its runs, and what they leave."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from torch.nn.functional import avg_pool2d

from app.datasets.folder import DecodedPictures
from app.errors import StudioError
from app.images.pixels import to_unit
from app.models.autoencoders import AutoencoderFiles, load_autoencoder
from app.networks.training_autoencoder import TrainableAutoencoder
from app.training import checkpoint
from app.training.architecture import load_initial_model, new_initial_model
from app.training.autoencoder_config import AutoencoderConfig
from app.training.autoencoder_data import AutoencoderData
from app.training.autoencoder_objective import (
    AutoencoderBatch,
    AutoencoderObjective,
    cosine_bands,
)
from app.training.config import TrainConfig
from app.training.export import export_choice
from app.training.resume import open_run
from app.training.trainer import TrainState
from tests.training.pictures import landscapes
from tests.training.test_run import read_metrics
from tests.training.tiny import CPU, no_init
from tests.training.tiny_latent import (
    AUTOENCODER,
    autoencoder_config,
    autoencoder_fields,
    go_on,
    save_landscapes,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_landscapes(tmp_path_factory.mktemp("pictures") / "data")


def views(settings: TrainConfig, step: int, pixels: np.ndarray) -> AutoencoderBatch:
    data = AutoencoderData(DecodedPictures(tuple(map(str, range(len(pixels)))), {32: pixels}))
    return data.views(settings, step, 1)


def test_views_are_crops_mirrored_or_not_and_at_the_end_whole_pictures(pictures: Path) -> None:
    pixels = landscapes(3, 32)
    settings = autoencoder_config(pictures, batch_size=64, phases=[{"size": 16, "views": 64}])
    batch = views(settings, 0, pixels)
    assert batch.x_0.shape == (64, 3, 16, 16)
    assert batch.eps.shape == (64, 2, 8, 8)
    crops = {
        crop.tobytes()
        for picture in to_unit(pixels).numpy()
        for y in range(17)
        for x in range(17)
        for crop in [np.ascontiguousarray(picture[:, y : y + 16, x : x + 16])]
    }
    plain = [view.numpy().tobytes() in crops for view in batch.x_0]
    mirrored = [
        np.ascontiguousarray(view.numpy()[..., ::-1]).tobytes() in crops for view in batch.x_0
    ]
    assert all(a or b for a, b in zip(plain, mirrored, strict=True))
    assert 16 < sum(plain) < 48
    assert len({view.numpy().tobytes() for view in batch.x_0}) > 40
    whole = views(autoencoder_config(pictures), 11, pixels)
    assert whole.x_0.shape == (4, 3, 32, 32)


def test_a_share_of_the_steps_halves_latents(pictures: Path) -> None:
    wish = AUTOENCODER | {"equivariant_share": 0.25}
    settings = autoencoder_config(pictures, autoencoder=wish, phases=[{"size": 16, "views": 2000}])
    pixels = landscapes(2, 32)
    halved = [views(settings, step, pixels).halved for step in range(400)]
    assert sum(halved) / 400 == pytest.approx(0.25, abs=0.06)


def test_a_process_makes_its_own_rows_of_the_same_batch(pictures: Path) -> None:
    found = views(autoencoder_config(pictures), 3, landscapes(5, 32))
    part = found.rows(slice(1, 3))
    assert part.halved == found.halved
    for name in ("x_0", "eps", "t"):
        assert torch.equal(getattr(part, name), getattr(found, name)[1:3])


def test_bands_are_a_blocks_cosines_and_keep_its_power() -> None:
    x = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    bands = cosine_bands(x)
    assert bands.shape == (2, 3, 2, 3, 8, 8)
    torch.testing.assert_close(bands.square().sum(), x.square().sum())
    block = x[1, 2, 8:, 16:]
    at = (torch.arange(8.0) + 0.5) * math.pi / 8
    by_hand = (block * torch.cos(2 * at)[:, None] * torch.cos(3 * at)).sum() / 4
    torch.testing.assert_close(bands[1, 2, 1, 2, 2, 3], by_hand)
    flat = cosine_bands(torch.ones(1, 1, 8, 8))
    assert float(flat[0, 0, 0, 0, 0, 0]) == pytest.approx(8)
    assert float(flat.abs().sum()) == pytest.approx(8, rel=1e-5)


@pytest.mark.parametrize("halved", [False, True])
def test_the_objective_is_the_sum_that_it_says(halved: bool, pictures: Path) -> None:
    settings = autoencoder_config(pictures, batch_size=2)
    wish = settings.autoencoder
    assert wish is not None
    initial = new_initial_model(settings, None)
    plain = AutoencoderKL.from_config(initial.network.config)
    plain.load_state_dict(initial.network.state_dict())
    state = TrainState.new(initial, settings, CPU)
    draw = torch.Generator().manual_seed(0)
    x, eps = (
        torch.rand(2, 3, 16, 16, generator=draw) * 2 - 1,
        torch.randn(2, 2, 8, 8, generator=draw),
    )
    batch = AutoencoderBatch(x, eps, torch.zeros(2, dtype=torch.int64), None, halved)
    losses = AutoencoderObjective(wish).of_batch(state, batch)

    posterior = plain.encode(x).latent_dist
    z = posterior.mean + posterior.std * eps
    error = plain.decode(avg_pool2d(z, 2) if halved else z).sample - (
        avg_pool2d(x, 2) if halved else x
    )
    torch.testing.assert_close(losses.simple, error.square().mean((1, 2, 3)), rtol=1e-4, atol=1e-6)
    frequency = torch.tensor([[max(1, math.hypot(i, j)) for j in range(8)] for i in range(8)])
    weights = frequency**wish.band_exponent / (frequency**wish.band_exponent).mean()
    bands = (cosine_bands(error).abs() * weights).flatten(1).mean(1)
    numbers = 3 * (8 if halved else 16) ** 2
    total = error.abs().mean((1, 2, 3)) + wish.band_weight * bands
    total = total + wish.kl_weight * posterior.kl() / numbers
    torch.testing.assert_close(losses.total, total, rtol=1e-4, atol=1e-6)


def test_the_network_is_trained_under_diffusers_names(pictures: Path) -> None:
    initial = new_initial_model(autoencoder_config(pictures), None)
    names = initial.network.state_dict().keys()
    network = initial.trainable()
    assert isinstance(network, TrainableAutoencoder)
    assert {name for name, _ in network.named_parameters()} == set(names)
    assert all(weight.requires_grad for weight in network.parameters())


def test_an_autoencoder_learns_and_is_measured_in_db(pictures: Path, tmp_path: Path) -> None:
    settings = autoencoder_config(
        pictures,
        phases=[{"size": 32, "views": 480}],
        batch_size=8,
        learning_rate=0.01,
        held_out_share=0.3,
        save_every=30,
        sample_every=60,
    )
    model = go_on(settings, tmp_path / "run")
    begun, *_, learned = (
        line for line in read_metrics(tmp_path / "run") if line["kind"] == "held_out"
    )
    assert isinstance(begun["psnr_db"], float)
    assert isinstance(learned["psnr_db"], float)
    assert learned["psnr_db"] > begun["psnr_db"] + 2
    # What is left is what was measured, in plain diffusers.
    autoencoder = load_autoencoder(AutoencoderFiles("model", model))
    with open_run(settings, tmp_path / "run", load_init=no_init) as run:
        x = next(iter(run.decoded.held_out.values())).x_0
    with torch.no_grad():
        out = autoencoder.decode(autoencoder.encode(x).latent_dist.mode()).sample
    psnr = 10 * torch.log10(4 / (out - x).square().mean((1, 2, 3)))
    assert float(psnr.mean()) == pytest.approx(learned["psnr_db"], abs=0.01)
    with Image.open(tmp_path / "run" / "samples" / "00000060.png") as sheet:
        assert sheet.size == (2 * 32, 2 * 32)  # two pictures, each above what is made of it


def test_a_resumed_autoencoder_is_bit_for_bit_an_uninterrupted_one(
    pictures: Path, tmp_path: Path
) -> None:
    settings = autoencoder_config(pictures, held_out_share=0.3, precision="fast")
    go_on(settings, tmp_path / "straight")
    for steps in (7, 1, None):
        go_on(settings, tmp_path / "halting", steps)
    ends = [tmp_path / name / "checkpoints" / "00000012" for name in ("straight", "halting")]
    for file in ends[0].glob("*.safetensors"):
        a, b = (checkpoint.read_tensors(end / file.name) for end in ends)
        assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_a_run_begins_from_an_autoencoder_and_exports_any_of_its_weights(
    pictures: Path, tmp_path: Path
) -> None:
    first = go_on(autoencoder_config(pictures), tmp_path / "first")
    settings = autoencoder_config(pictures, init=str(first))
    files = AutoencoderFiles("first", first)
    with open_run(settings, tmp_path / "run", load_init=lambda _: load_initial_model(files)) as run:
        begun = run.state.weights()
        theirs = load_autoencoder(files).state_dict()
        assert all(torch.equal(begun[name], theirs[name]) for name in theirs)
        run.after(next(run.steps()))
    export_choice(tmp_path / "first", tmp_path / "raw", weights="raw", half=True)
    chosen = AutoencoderFiles("raw", tmp_path / "raw")
    assert b'"F16"' in chosen.weights_files[0].read_bytes()[:400]
    assert (chosen.factor, chosen.latent_channels, chosen.scaling_factor) == (2, 2, 1)


def test_an_autoencoder_of_another_factor_is_refused(pictures: Path, tmp_path: Path) -> None:
    deeper = AUTOENCODER | {"block_out_channels": [4, 4, 8]}
    settings = autoencoder_config(pictures, init="x", autoencoder=deeper)
    initial = new_initial_model(autoencoder_config(pictures), None)
    with (
        pytest.raises(StudioError, match="makes pictures 2 times smaller, and its settings 4"),
        open_run(settings, tmp_path / "run", load_init=lambda _: initial),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phases": [{"size": 24, "views": 8}]}, "divisible by 16, not of 24"),
        ({"phases": [{"size": 64, "views": 8}]}, "of up to 32 px"),
        ({"autoencoder": AUTOENCODER | {"norm_num_groups": 3}}, "doesn't divide the width 4"),
        ({"autoencoder": AUTOENCODER | {"side": 30}}, "side"),
        ({"autoencoder": AUTOENCODER | {"kl_weight": -1}}, "kl_weight"),
        ({"autoencoder": AUTOENCODER | {"perceptual": 1}}, "perceptual"),
        ({"labels": {"source": "folders"}}, "without labels"),
        ({"objective": "hybrid", "min_snr_gamma": 5.0}, "without min_snr_gamma, objective hybrid"),
        ({"network": {}}, "without network"),
        ({"stage": {}}, "give one of stage, autoencoder"),
        ({"optimiser": "muon"}, "without optimiser muon"),
        ({"min_side": 20}, "without min_side below 32"),
    ],
)
def test_settings_that_no_autoencoder_can_be_trained_with_are_refused(
    changes: dict[str, object], reason: str, pictures: Path
) -> None:
    with pytest.raises(StudioError, match=r"configuration can't be used") as caught:
        autoencoder_config(pictures, **changes)
    assert reason in caught.value.message


def test_the_recipe_is_the_default(pictures: Path) -> None:
    settings = TrainConfig.checked({"data": str(pictures), "autoencoder": {}})
    assert settings.sizes == (64, 128)
    assert (settings.batch_size, settings.learning_rate) == (8, 1e-3)
    assert TrainConfig.checked(settings.model_dump(mode="json")) == settings
    assert settings.autoencoder == AutoencoderConfig()
    assert settings.autoencoder.factor == 4
    assert autoencoder_fields(pictures)["autoencoder"] == AUTOENCODER
