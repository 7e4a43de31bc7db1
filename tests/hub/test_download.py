"""Models come from the Hub, or are refused with the reason; later they come from the cache."""

import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file, save_file

from app.errors import HubError, ModelError, StudioError, UnreachableError
from app.models.network_files import WEIGHTS
from app.models.store import ModelStore
from app.painting.painter import Painter
from app.painting.recipe import Recipe, file_stem
from tests.conftest import save_tiny_model
from tests.hub.conftest import Here, MakeHere
from tests.hub.stand_in import TOKEN, StandIn

NAME = "monet/tiny"


@pytest.fixture
def folder(model_root: Path, tmp_path: Path) -> Path:
    """The files of a small model, to be published or changed."""
    return Path(shutil.copytree(model_root / "tiny", tmp_path / "published"))


def flat(folder: Path) -> Path:
    """The layout of the first models on the Hub: everything at the top."""
    for nested in ("unet", "scheduler"):
        for file in (folder / nested).iterdir():
            file.rename(folder / file.name)
        (folder / nested).rmdir()
    return folder


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def paint(store: ModelStore, name: str) -> torch.Tensor:
    recipe = Recipe(model=name, steps=3, sampler="ddim")
    return torch.tensor(Painter(store).films.result(recipe)[-1].x_t)


@pytest.mark.parametrize("layout", [lambda folder: folder, flat])
def test_a_model_of_the_hub_paints_as_its_folder_does(
    hub: StandIn, here: Here, folder: Path, model_root: Path, layout: object
) -> None:
    assert callable(layout)
    hub.put(NAME, layout(folder))
    _, info = here.add(NAME)
    assert (info.id, info.size) == (NAME, 16)
    assert [each.id for each in here.store.list()] == [NAME]
    beside = ModelStore([model_root], "cpu", 1)
    assert torch.equal(paint(here.store, NAME), paint(beside, "tiny"))


def test_the_names_of_attention_in_the_first_models_are_understood(
    hub: StandIn, here: Here, folder: Path
) -> None:
    hub.put("monet/new", folder)
    here.add("monet/new")
    weights = folder / "unet" / WEIGHTS
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(weights)
    for new, name in old.items():
        tensors = {key.replace(f".{new}.", f".{name}."): value for key, value in tensors.items()}
    assert any(".query." in key for key in tensors)
    save_file(tensors, weights)
    hub.put("monet/old", flat(folder))
    here.add("monet/old")
    assert torch.equal(paint(here.store, "monet/new"), paint(here.store, "monet/old"))


def test_progress_rises_to_the_size_of_all_files(hub: StandIn, here: Here, folder: Path) -> None:
    hub.put(NAME, folder)
    transfers, _ = here.add(NAME)
    done = [transfer.done for transfer in transfers]
    assert done == sorted(done)
    assert done[-1] == transfers[-1].total >= (folder / "unet" / WEIGHTS).stat().st_size
    assert "MB · unet/" in transfers[-1].in_words


def test_only_what_is_needed_is_downloaded(hub: StandIn, here: Here, folder: Path) -> None:
    pickle = {"unet/diffusion_pytorch_model.bin": b"x" * 30_000, "image.png": b"x" * 30_000}
    hub.put(NAME, folder, **pickle)
    here.add(NAME)
    asked = " ".join(hub.downloads())
    assert WEIGHTS in asked
    assert ".bin" not in asked
    assert "image.png" not in asked


def test_without_a_network_the_model_comes_from_the_cache(
    hub: StandIn, here: Here, folder: Path, make_here: MakeHere
) -> None:
    hub.put(NAME, folder)
    here.add(NAME)
    later = make_here("http://127.0.0.1:9")  # nothing listens there
    assert later.store.load(NAME).info.size == 16
    _, info = later.add(NAME)
    assert info.id == NAME


def test_what_another_program_left_in_the_cache_can_be_added_offline(
    hub: StandIn, folder: Path, make_here: MakeHere
) -> None:
    hub.put(NAME, folder)
    later = make_here("http://127.0.0.1:9", None)
    for path in hub.main(NAME):
        hf_hub_download(NAME, path, cache_dir=later.library.cache_dir, endpoint=hub.url)
    assert later.store.list() == ()
    later.add(NAME)
    assert [each.id for each in later.store.list()] == [NAME]


def test_who_has_no_token_gets_nothing_from_the_cache_that_was_not_added(
    hub: StandIn, folder: Path, make_here: MakeHere
) -> None:
    hub.put(NAME, folder)
    stranger = make_here("http://127.0.0.1:9", False)
    for path in hub.main(NAME):
        hf_hub_download(NAME, path, cache_dir=stranger.library.cache_dir, endpoint=hub.url)
    with pytest.raises(UnreachableError):
        stranger.add(NAME)


def test_without_network_and_cache_it_says_so(make_here: MakeHere, hub: StandIn) -> None:
    with pytest.raises(HubError, match="connection to the Hub failed") as caught:
        make_here("http://127.0.0.1:9").add(NAME)
    assert "network" in caught.value.hint


def test_a_model_that_left_the_cache_is_left_out_until_it_is_added_again(
    hub: StandIn, here: Here, folder: Path
) -> None:
    hub.put(NAME, folder)
    here.add(NAME)
    assert here.library.cache_dir
    shutil.rmtree(here.library.cache_dir)
    assert here.store.list() == ()
    with pytest.raises(ModelError, match="no model"):
        here.store.load(NAME)
    here.add(NAME)
    assert here.store.load(NAME).info.id == NAME


def test_a_revision_is_a_model_of_its_own(
    hub: StandIn, here: Here, folder: Path, tmp_path: Path
) -> None:
    repository = hub.put(NAME, folder)
    grey = save_tiny_model(tmp_path / "grey", in_channels=1, out_channels=1)
    files = {p.relative_to(grey).as_posix(): p.read_bytes() for p in grey.rglob("*") if p.is_file()}
    commit = repository.commit(files, "v2")
    assert here.add(NAME)[1].channels == 3
    assert here.add(NAME, "v2")[1].channels == 1
    assert here.add(f"{NAME}@{commit}")[1].channels == 1
    assert [each.id for each in here.store.list()] == [NAME, f"{NAME}@v2", f"{NAME}@{commit}"]


def test_a_pull_requests_revision_is_a_model_of_its_own_too(
    hub: StandIn, here: Here, make_here: MakeHere, folder: Path
) -> None:
    files = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    (folder / "unet" / WEIGHTS).unlink()
    hub.put(NAME, folder).commit(files, "refs/pr/1")
    with pytest.raises(ModelError, match=f"no unet/{WEIGHTS}"):
        here.add(NAME)
    name = f"{NAME}@refs/pr/1"
    assert here.add(NAME, "refs/pr/1")[1].id == here.add(name)[1].id == name
    recipe = Recipe.from_json(Recipe(model=name, steps=2, sampler="ddim").to_json())
    assert recipe.model == name
    assert Painter(here.store).films.result(recipe)
    assert "/" not in file_stem(name)
    assert make_here("http://127.0.0.1:9").add(name)[1].id == name


def test_adding_again_brings_the_newer_commit(
    hub: StandIn, here: Here, folder: Path, tmp_path: Path
) -> None:
    hub.put(NAME, folder)
    here.add(NAME)
    first = here.store.load(NAME)
    hub.put(NAME, save_tiny_model(tmp_path / "grey", in_channels=1, out_channels=1))
    assert here.store.load(NAME) is first
    here.add(NAME)
    assert here.store.load(NAME).info.channels == 1


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("unet/diffusion_pytorch_model.bin", "pickle"),
        ("unet/model.txt", "it has no unet/diffusion_pytorch_model.safetensors"),
    ],
)
def test_without_safetensors_nothing_is_downloaded(
    hub: StandIn, here: Here, folder: Path, path: str, hint: str
) -> None:
    (folder / "unet" / WEIGHTS).rename(folder / path)
    hub.put(NAME, folder)
    with pytest.raises(ModelError, match=hint):
        here.add(NAME)
    assert hub.downloads() == []
    assert here.store.list() == ()


def test_what_is_no_ddpm_is_refused_before_its_weights_come(
    hub: StandIn, here: Here, folder: Path
) -> None:
    edit(folder / "unet" / "config.json", _class_name="UNet2DConditionModel")
    hub.put(NAME, folder)
    with pytest.raises(ModelError, match="UNet2DConditionModel"):
        here.add(NAME)
    assert not any(WEIGHTS in line for line in hub.downloads())


def test_what_is_too_large_is_refused_before_its_weights_come(
    hub: StandIn, make_here: MakeHere, folder: Path
) -> None:
    hub.put(NAME, folder)
    with pytest.raises(ModelError, match=r"on the disk, in memory it needs about \d+ MB, and 1 MB"):
        make_here(hub.url, megabytes=1).add(NAME)
    assert not any(WEIGHTS in line for line in hub.downloads())


def test_a_small_file_with_the_configuration_of_a_huge_network_is_refused_before_it_comes(
    hub: StandIn, here: Here, folder: Path
) -> None:
    edit(folder / "unet" / "config.json", block_out_channels=[16_384, 16_384])
    hub.put(NAME, folder)
    with pytest.raises(ModelError, match="is too large"):
        here.add(NAME)
    assert not any(WEIGHTS in line for line in hub.downloads())


def test_weights_of_another_network_are_not_added(hub: StandIn, here: Here, folder: Path) -> None:
    edit(folder / "unet" / "config.json", block_out_channels=[16, 64])
    hub.put(NAME, folder)
    with pytest.raises(ModelError, match=r"don't fit config\.json"):
        here.add(NAME)
    assert here.store.list() == ()


def test_a_truncated_download_is_refused_and_mended_by_another(
    hub: StandIn, here: Here, folder: Path
) -> None:
    hub.put(NAME, folder)
    hub.cut = WEIGHTS
    with pytest.raises(HubError, match="broke off"):
        here.add(NAME)
    assert here.store.list() == ()
    hub.cut = ""
    here.add(NAME)
    assert here.store.load(NAME).info.size == 16


def test_closing_the_stream_ends_the_download(hub: StandIn, here: Here, folder: Path) -> None:
    hub.put(NAME, folder)
    hub.stall = threading.Event()
    stream = here.models.add(NAME)
    next(transfer for transfer in stream if WEIGHTS in transfer.what)
    stream.close()
    hub.stall.set()
    for thread in threading.enumerate():
        if thread.name == "hub":
            thread.join(10)
    assert here.store.list() == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("monet/nothing", "no public model monet/nothing"),
        (f"{NAME}@v9", "no revision 'v9'"),
        ("monet/gated", "gated"),
        ("monet/private", "no public model"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(
    hub: StandIn, here: Here, folder: Path, name: str, reason: str
) -> None:
    hub.put(NAME, folder)
    hub.put("monet/gated", folder).gated = True
    hub.put("monet/private", folder).private = True
    with pytest.raises(HubError, match=reason) as caught:
        here.add(name)
    assert caught.value.hint


def test_a_token_opens_what_is_private(hub: StandIn, make_here: MakeHere, folder: Path) -> None:
    hub.put("monet/private", folder).private = True
    assert make_here(hub.url, TOKEN).add("monet/private")[1].size == 16


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("tiny", ""),
        ("", ""),
        ("../../etc/passwd", ""),
        ("/etc/passwd", ""),
        ("a/b/c", ""),
        ("a/../b", ""),
        ("a/..", ""),
        ("https://huggingface.co/google/ddpm-cifar10-32", ""),
        ("a--b/c", ""),
        ("a/b\n", "x y"),
        (NAME, "../main"),
        (NAME, "refs/../.."),
        (NAME, "/refs/pr/1"),
        (NAME, "refs//pr"),
        (NAME, "refs/pr/"),
        (NAME, "refs/.hidden"),
        (NAME, f"refs/{'a' * 60}"),
        (f"a/{'b' * 100}", ""),
    ],
)
def test_only_a_name_is_asked_for(hub: StandIn, here: Here, name: str, revision: str) -> None:
    with pytest.raises(StudioError, match=r"no name|no revision"):
        here.add(name, revision)
    assert hub.requests == []


def test_a_damaged_list_says_what_to_do(here: Here, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hub.json").write_text('{"../../etc": {"commit": "x", "files": []}}')
    with pytest.raises(HubError, match=r"hub\.json .* is damaged"):
        here.store.list()


def test_a_latent_model_comes_with_its_autoencoder(
    hub: StandIn, here: Here, latent_root: Path
) -> None:
    hub.put(NAME, latent_root / "AutoencoderKL")
    _, info = here.add(NAME)
    assert info.latent
    fetched = hub.downloads()
    assert sum(f"vqvae/{WEIGHTS}" in line for line in fetched) > 0
    beside = ModelStore([latent_root], "cpu", 1)
    assert torch.equal(paint(here.store, NAME), paint(beside, "AutoencoderKL"))


def test_an_autoencoder_that_does_not_fit_is_refused_before_weights_are_asked_for(
    hub: StandIn, here: Here, latent_root: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(latent_root / "AutoencoderKL", tmp_path / "published"))
    edit(folder / "vqvae" / "config.json", latent_channels=3)
    hub.put(NAME, folder)
    with pytest.raises(ModelError, match="latents have 3"):
        here.add(NAME)
    assert not [line for line in hub.downloads() if WEIGHTS in line]


def test_an_autoencoder_as_a_pickle_is_refused(
    hub: StandIn, here: Here, latent_root: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(latent_root / "AutoencoderKL", tmp_path / "published"))
    (folder / "vqvae" / WEIGHTS).rename(folder / "vqvae" / "diffusion_pytorch_model.bin")
    hub.put(NAME, folder)
    with pytest.raises(ModelError, match=r"a pickle \(vqvae/"):
        here.add(NAME)
