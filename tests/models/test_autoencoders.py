"""Latent models' folders: checked with their autoencoder, listed, loaded, and refused."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from app.errors import ModelError
from app.models.autoencoders import SCALING, autoencoder_files, load_autoencoder
from app.models.cache import MemoryBudget, decoding_bytes
from app.models.files import LatentInfo, ModelFiles
from app.models.network_files import CHECKSUMS, WEIGHTS
from app.models.store import ModelStore
from app.networks.autoencoder import AT_ONCE, LinearDecoder, latents_of
from tests.conftest import save_tiny_model


@pytest.fixture(scope="module")
def store(latent_root: Path) -> ModelStore:
    return ModelStore([latent_root], "cpu", 1)


@pytest.fixture
def folder(latent_root: Path, tmp_path: Path) -> Path:
    """A latent model's folder, to be damaged."""
    return Path(shutil.copytree(latent_root / "AutoencoderKL", tmp_path / "damaged"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_latent_models_are_listed_with_their_latents(store: ModelStore) -> None:
    assert {info.id for info in store.list()} == {*SCALING, "classes", "learned"}
    assert store.faults() == ()
    for info in store.list():
        assert (info.size, info.channels, info.shape) == (32, 3, (4, 8, 8))
        assert info.latent == LatentInfo(channels=4, side=8, factor=4, scaling_factor=0.5)
        assert "32 px, latent ·" in info.summary


@pytest.mark.parametrize("kind", SCALING)
def test_pictures_become_latents_and_pictures_again_as_in_diffusers(
    store: ModelStore, latent_root: Path, kind: str
) -> None:
    model, x_0 = store.load(kind), pictures(AT_ONCE + 1)
    oracle = load_autoencoder(autoencoder_files(kind, latent_root / kind))
    z = model.encode(x_0)
    with torch.no_grad():
        assert torch.allclose(z, 0.5 * latents_of(oracle, x_0), atol=1e-5)
        made = torch.as_tensor(oracle.decode(z / 0.5).sample)
    assert torch.allclose(model.decode(z), made, atol=1e-4)


def test_a_latent_of_kl_is_its_distributions_mode(latent_root: Path) -> None:
    kl, x_0 = AutoencoderKL.from_pretrained(latent_root / "AutoencoderKL" / "vqvae"), pictures(2)
    with torch.no_grad():
        assert torch.equal(latents_of(kl, x_0), kl.encode(x_0).latent_dist.mean)


def test_a_scaling_factor_that_is_left_out_is_the_classes_own(folder: Path) -> None:
    path = folder / "vqvae" / "config.json"
    config = json.loads(path.read_text())
    del config["scaling_factor"]
    path.write_text(json.dumps(config))
    info = ModelStore([folder.parent], "cpu", 1).describe("damaged")
    assert info.latent
    assert info.latent.scaling_factor == 0.18215


def test_the_part_may_be_called_vae(folder: Path) -> None:
    (folder / "vqvae").rename(folder / "vae")
    index = json.loads((folder / "model_index.json").read_text())
    index["vae"] = index.pop("vqvae")
    (folder / "model_index.json").write_text(json.dumps(index))
    (info,) = ModelStore([folder.parent], "cpu", 1).list()
    assert info.latent


def test_a_model_that_diffuses_pictures_reads_no_autoencoder(model_root: Path) -> None:
    files = ModelFiles("tiny", model_root / "tiny")
    assert (files.autoencoder, files.latent) == (None, None)
    assert files.all_weights_files == files.weights_files
    assert len({Path(path).parent.name for path, *_ in files.stamp}) == 3
    model, x = ModelStore([model_root], "cpu", 1).load("tiny"), torch.zeros(1, 3, 16, 16)
    for same in (model.encode, model.decode, model.seen, model.seen_noise):
        assert same(x) is x


def test_weights_hash_size_and_stamp_are_the_autoencoders_too(folder: Path) -> None:
    before = ModelFiles("damaged", folder)
    lines = before.checksums.splitlines()
    assert [line.split("  ")[1] for line in lines] == [f"unet/{WEIGHTS}", f"vqvae/{WEIGHTS}"]
    (folder / CHECKSUMS).write_text(before.checksums)
    parts = [folder / part / WEIGHTS for part in ("unet", "vqvae")]
    assert before.weights_bytes == sum(path.stat().st_size for path in parts)
    assert before.autoencoder
    assert before.num_parameters > before.autoencoder.num_parameters > 0
    stamp, sha256 = before.stamp, before.weights_sha256
    tensors = load_file(parts[1])
    save_file({name: value + 1 for name, value in tensors.items()}, parts[1])
    after = ModelFiles("damaged", folder)
    assert after.stamp != stamp
    with pytest.raises(ModelError, match=CHECKSUMS):
        _ = after.weights_sha256
    (folder / CHECKSUMS).unlink()
    assert ModelFiles("damaged", folder).weights_sha256 != sha256


def test_memory_is_set_aside_for_the_autoencoder_too(latent_root: Path, model_root: Path) -> None:
    files = ModelFiles("AutoencoderKL", latent_root / "AutoencoderKL")
    assert decoding_bytes(ModelFiles("tiny", model_root / "tiny")) == 0
    # At the least a map of all channels at the picture's side.
    assert decoding_bytes(files) > 4 * 8 * 32 * 32
    parameters, stored = files.num_parameters, files.weights_bytes
    budget = MemoryBudget(megabytes=100)
    alone = 16 * parameters
    assert budget.needed(files, parameters, stored) > alone + decoding_bytes(files)


def four_channels_only(folder: Path) -> None:
    save_tiny_model(folder, sample_size=8, in_channels=3, out_channels=3)
    index = {"_class_name": "LDMPipeline", "vqvae": ["diffusers", "AutoencoderKL"]}
    edit(folder / "model_index.json", **index)


def large(folder: Path) -> None:
    edit(folder / "unet" / "config.json", sample_size=512)


def autoencoder(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        edit(folder / "vqvae" / "config.json", **changes)

    return change


def pickled(folder: Path) -> None:
    (folder / "vqvae" / WEIGHTS).rename(folder / "vqvae" / "diffusion_pytorch_model.bin")


def cut(folder: Path) -> None:
    path = folder / "vqvae" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])


def without_config(folder: Path) -> None:
    (folder / "vqvae" / "config.json").unlink()


def without_folder(folder: Path) -> None:
    shutil.rmtree(folder / "vqvae")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (four_channels_only, "takes 3 channels, and its autoencoder's latents have 4"),
        (large, "its pictures have 2,048 px a side, 4 times a latent's"),
        (autoencoder(latent_channels=3), "takes 4 channels, and its autoencoder's latents have 3"),
        (autoencoder(block_out_channels=[8] * 7), "makes pictures 64 times smaller"),
        (autoencoder(block_out_channels=[8, 16, 8]), "tensors of its autoencoder don't fit"),
        (autoencoder(block_out_channels=[8, 8]), "its autoencoder"),
        (autoencoder(in_channels=4, out_channels=4), "its autoencoder takes no pictures"),
        (autoencoder(scaling_factor=0), "scaling_factor"),
        (autoencoder(scaling_factor=-1.0), "scaling_factor"),
        (autoencoder(scaling_factor="1"), "scaling_factor"),
        (autoencoder(shift_factor=0.1), "shift_factor is 0.1"),
        (autoencoder(latents_mean=[0.0] * 4), "latents_mean"),
        (autoencoder(layers_per_block=10_000), "layers_per_block"),
        (autoencoder(norm_num_groups=3), "its autoencoder's config.json describes none"),
        (autoencoder(_class_name="AutoencoderDC"), "its autoencoder's class is 'AutoencoderDC'"),
        (pickled, "pickle"),
        (cut, "truncated"),
        (without_config, "no config.json"),
        (without_folder, "no folder 'vqvae'"),
    ],
)
def test_a_broken_latent_model_is_refused_with_the_reason(
    folder: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(folder)
    store = ModelStore([folder.parent], "cpu", 1)
    assert store.list() == ()
    (fault,) = store.faults()
    assert re.search(reason, fault.message)
    with pytest.raises(ModelError, match=reason):
        store.load("damaged")


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    path = folder / "vqvae" / WEIGHTS
    tensors = load_file(path)
    tensors["encoder.conv_in.bias"][0] = torch.nan
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"NaN or infinity, in encoder.conv_in.bias"):
        ModelStore([folder.parent], "cpu", 1).load("damaged")


def test_the_linear_decoder_undoes_a_linear_encoder() -> None:
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(5, 3, generator=generator), torch.randn(5, 1, 1, generator=generator)

    def encode(x_0: Tensor) -> Tensor:
        return torch.einsum("lc,bchw->blhw", weight, avg_pool2d(x_0, 4)) + bias

    found = LinearDecoder.fitted(encode, (3, 32, 32), 4)
    x_0 = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    seen = found.picture(encode(x_0))
    torch.testing.assert_close(avg_pool2d(seen, 4), avg_pool2d(x_0, 4), rtol=0, atol=1e-3)
    eps = torch.randn(2, 5, 8, 8, generator=generator)
    flat = found.picture(torch.zeros_like(eps))
    assert torch.allclose(found.picture(eps) - flat, found.noise(eps), atol=1e-5)


def test_noise_of_latents_is_shown_with_unit_variance(store: ModelStore) -> None:
    space = store.load("AutoencoderKL").latents
    assert space
    eps = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(space.linear.unit_noise(eps).square().mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", SCALING)
def test_the_linear_decoder_is_the_same_each_time(
    store: ModelStore, latent_root: Path, kind: str
) -> None:
    spaces = [it.load(kind).latents for it in (store, ModelStore([latent_root], "cpu", 1))]
    first, again = (space.linear for space in spaces if space)
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(first.bias, again.bias)
